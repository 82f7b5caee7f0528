"""svn:// URLs."""

from bb.fetch2 import NativeMethod


class Svn(NativeMethod):
    _native = "svn"
    _supports_srcrev = True
