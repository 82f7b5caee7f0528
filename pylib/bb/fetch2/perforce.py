"""p4:// URLs."""

from bb.fetch2 import NativeMethod


class Perforce(NativeMethod):
    _native = "perforce"
    _supports_srcrev = True
