"""ssh:// URLs."""

from bb.fetch2 import NativeMethod


class SSH(NativeMethod):
    _native = "ssh"
