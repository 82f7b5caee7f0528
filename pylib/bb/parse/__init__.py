"""Reading metadata files, for Python code that does so; the parser itself is native."""

import errno
import logging
import os
import sys

import bb

logger = logging.getLogger("BitBake.Parsing")


class ParseError(Exception):
    """A file could not be read."""

    def __init__(self, msg, filename, lineno=0):
        super().__init__(msg, filename, lineno)
        self.msg = msg
        self.filename = filename
        self.lineno = lineno

    def __str__(self):
        if self.lineno:
            return "ParseError at %s:%d: %s" % (self.filename, self.lineno, self.msg)
        return "ParseError in %s: %s" % (self.filename, self.msg)


class SkipRecipe(Exception):
    """Leaves the recipe out, for the reason given."""


class SkipPackage(SkipRecipe):
    """Old name of SkipRecipe."""


_seen = {}


def _facts(f):
    res = os.stat(f)
    return (res.st_mtime_ns, res.st_size, res.st_ino)


def cached_mtime(f):
    """What tells versions of a file apart, asked for once."""
    if f not in _seen:
        _seen[f] = _facts(f)
    return _seen[f]


def cached_mtime_noerror(f):
    """As cached_mtime; 0 for a file that is not there."""
    try:
        return cached_mtime(f)
    except OSError:
        return 0


def check_mtime(f, mtime):
    """Is the file still the one it was?"""
    try:
        now = _seen[f] = _facts(f)
    except OSError:
        now = 0
    return now == mtime


def update_mtime(f):
    try:
        _seen[f] = _facts(f)
    except OSError:
        _seen.pop(f, None)
        return 0
    return _seen[f]


def update_cache(f):
    if f in _seen:
        logger.debug("Updating mtime cache for %s" % f)
        update_mtime(f)


def clear_cache():
    _seen.clear()


def mark_dependency(d, f):
    """Makes the recipe depend on a file: it is parsed anew when that changes or appears."""
    import _hz_parse

    _hz_parse.mark_dependency(d, f)


def check_dependency(d, f):
    """Does the recipe depend on the file?"""
    import _hz_parse

    return _hz_parse.check_dependency(d, f)


def get_file_depends(d):
    """The files a recipe was made from."""
    import _hz_parse

    return _hz_parse.get_file_depends(d)


def supports(fn, data):
    """Is this a file we can read? An append is read with its recipe, not by itself."""
    return 1 if os.path.splitext(fn)[1] in (".bb", ".bbclass", ".inc", ".conf") else 0


def handle(fn, data, include=0, baseconfig=False):
    """Reads a file into a store."""
    if not supports(fn, data):
        raise ParseError("not a BitBake file", fn)
    import _hz_parse

    return _hz_parse.handle(fn, data, bool(include), bool(baseconfig))


def init(fn, data):
    """Readies a store for a file's kind."""
    if fn.endswith(".conf"):
        data.setVar("TOPDIR", data.getVar("TOPDIR", False) or os.getcwd())


def init_fetcher(d):
    """Opens the fetcher's caches; without its methods, unless somebody has named them before."""
    fetch2 = sys.modules.get("bb.fetch2")
    if fetch2:
        fetch2.fetcher_init(d)
    else:
        import bb.checksum

        bb.checksum.open_caches(d)


def init_parser(d):
    """Makes the signature generator that the configuration asks for."""
    import bb.siggen

    if "siggen" in globals():
        globals()["siggen"].exit()
    globals()["siggen"] = bb.siggen.init(d)


def resolve_file(fn, d):
    """Finds a file along BBPATH; every place looked at is a dependency."""
    if os.path.isabs(fn):
        mark_dependency(d, fn)
    else:
        bbpath = d.getVar("BBPATH")
        found, attempts = bb.utils.which(bbpath, fn, history=True)
        for attempt in attempts:
            mark_dependency(d, attempt)
        if not found:
            raise IOError(errno.ENOENT, "file %s not found in %s" % (fn, bbpath))
        fn = found
    if not os.path.isfile(fn):
        raise IOError(errno.ENOENT, "file %s not found" % fn)
    return fn


def vars_from_file(mypkg, d):
    """PN, PV and PR as the recipe's file name tells them; None for what it does not tell."""
    if not mypkg or not mypkg.endswith((".bb", ".bbappend")):
        return (None, None, None)
    parts = os.path.splitext(os.path.basename(mypkg))[0].split("_")
    if len(parts) > 3:
        raise ParseError("Unable to generate default variables from filename (too many underscores)", mypkg)
    return parts + [None] * (3 - len(parts))


def _collect(attribute, names):
    def decorate(f):
        setattr(f, attribute, getattr(f, attribute, set()) | set(names))
        return f

    return decorate


def vardeps(*varnames):
    """Decorator of a library function: it depends on these variables."""
    return _collect("bb_vardeps", varnames)


def vardepsexclude(*varnames):
    """Decorator of a library function: it does not depend on these variables."""
    return _collect("bb_vardepsexclude", varnames)


from bb.parse.parse_py import BBHandler, ConfHandler
