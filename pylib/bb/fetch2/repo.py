"""repo:// URLs."""

from bb.fetch2 import NativeMethod


class Repo(NativeMethod):
    _native = "repo"
