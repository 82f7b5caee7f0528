"""Checksums of the metadata's local files, and the revisions that floating branches had."""

import logging
import os
import stat

import _hz_fetch


def open_caches(d, servercontext=True):
    """Opens the caches on disk; the server's begin anew or go on, as BB_SRCREV_POLICY says."""
    policy = d.getVar("BB_SRCREV_POLICY") or "clear"
    _hz_fetch.cache_open(d.getVar("BB_CACHEDIR"), servercontext, policy)
    if servercontext:
        what = "Keeping" if policy == "cache" else "Clearing"
        logging.getLogger("BitBake.Fetcher").debug("%s SRCREV cache due to cache policy of: %s", what, policy)


class FileMtimeCache(object):
    """Modification times; a file is taken not to change during a run."""

    cache = {}

    def cached_mtime(self, f):
        return self.cache[f] if f in self.cache else self.update_mtime(f)

    def cached_mtime_noerror(self, f):
        try:
            return self.cached_mtime(f)
        except OSError:
            return 0

    def update_mtime(self, f):
        self.cache[f] = os.stat(f)[stat.ST_MTIME]
        return self.cache[f]

    def clear(self):
        self.cache.clear()


class FileChecksumCache(object):
    def __init__(self):
        self.mtime_cache = FileMtimeCache()

    def get_checksum(self, f):
        return _hz_fetch.file_md5(f)

    def get_checksums(self, filelist, pn, localdirsexclude):
        """Pairs of path and MD5 for a list such as `get_checksum_file_list` gives."""
        return _hz_fetch.get_file_checksums(filelist, pn, localdirsexclude)

    def save_extras(self):
        _hz_fetch.cache_save()

    def save_merge(self):
        _hz_fetch.cache_merge()


class RevisionsCache(object):
    def get_revs(self):
        return _hz_fetch.revisions()

    def get_rev(self, k):
        return _hz_fetch.get_rev(k)

    def set_rev(self, k, v):
        _hz_fetch.set_rev(k, v)

    def save_extras(self):
        _hz_fetch.cache_save()

    def save_merge(self):
        _hz_fetch.cache_merge()
