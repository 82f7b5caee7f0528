"""ccrc:// URLs."""

from bb.fetch2 import NativeMethod


class ClearCase(NativeMethod):
    _native = "clearcase"
    _supports_srcrev = True
