"""sftp:// URLs."""

from bb.fetch2 import NativeMethod


class SFTP(NativeMethod):
    _native = "sftp"
