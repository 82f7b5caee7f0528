"""hg:// URLs."""

from bb.fetch2 import NativeMethod


class Hg(NativeMethod):
    _native = "hg"
    _supports_srcrev = True
