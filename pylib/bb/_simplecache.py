"""Files that keep a Python value between builds. bb.cache offers this."""

import os
import pickle
import shutil
import tempfile

import bb.utils

# Everybody knows it as bb.cache's.
__name__ = "bb.cache"


class SimpleCache:
    """A value in a file of PERSISTENT_DIR (else CACHE), which the reference reads and writes too."""

    def __init__(self, version):
        self.cachefile = None
        self.cachedata = None
        self.cacheversion = version

    def init_cache(self, d, cache_file_name=None, defaultdata=None):
        """The value of the file; `defaultdata` if there is none of our version."""
        self._open(d, cache_file_name)
        return self._load(defaultdata)

    def _open(self, d, cache_file_name=None):
        directory = d.getVar("PERSISTENT_DIR") or d.getVar("CACHE")
        if directory:
            bb.utils.mkdirhier(directory)
            self.cachefile = os.path.join(directory, cache_file_name or type(self).cache_file_name)

    def _load(self, defaultdata):
        if not self.cachefile:
            return defaultdata
        with bb.utils.fileslocked([self.cachefile + ".lock"]):
            try:
                with open(self.cachefile, "rb") as stored:
                    data, version = pickle.load(stored)
            except Exception:
                # Not there, or not what we know: it is a cache.
                return defaultdata
        return data if version == self.cacheversion else defaultdata

    def save(self, data):
        if not self.cachefile:
            return
        directory, name = os.path.split(self.cachefile)
        with bb.utils.fileslocked([self.cachefile + ".lock"]):
            fd, temporary = tempfile.mkstemp(prefix=name + ".", dir=directory)
            try:
                with open(fd, "wb") as stored:
                    pickle.dump([data, self.cacheversion], stored, -1)
                mask = os.umask(0)
                os.umask(mask)
                os.chmod(temporary, 0o666 & ~mask)
                os.replace(temporary, self.cachefile)
            except BaseException:
                bb.utils.remove(temporary)
                raise

    def copyfile(self, target):
        if self.cachefile:
            with bb.utils.fileslocked([self.cachefile + ".lock"]):
                shutil.copy(self.cachefile, target)
