"""s3:// URLs."""

from bb.fetch2 import NativeMethod


class S3(NativeMethod):
    _native = "s3"
