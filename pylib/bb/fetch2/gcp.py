"""gs:// URLs."""

from bb.fetch2 import NativeMethod


class GCP(NativeMethod):
    _native = "gcp"
