"""Files compressed by zstd, or by pzstd where several threads are asked for and it is installed."""

import shutil

from bb.compress._pipecompress import PipeFile, open_wrap


class ZstdFile(PipeFile):
    def __init__(self, *args, num_threads=1, compresslevel=3, **kwargs):
        self.num_threads = num_threads
        self.compresslevel = compresslevel
        super().__init__(*args, **kwargs)

    def _program(self):
        if self.num_threads != 1 and shutil.which("pzstd"):
            return ["pzstd", "-p", "%d" % self.num_threads]
        return ["zstd"]

    def get_compress(self):
        return self._program() + ["-c", "-%d" % self.compresslevel]

    def get_decompress(self):
        return self._program() + ["-d", "-c"]


def open(*args, **kwargs):
    """As built-in open(), for a compressed file; `num_threads` and `compresslevel` may be given."""
    return open_wrap(ZstdFile, *args, **kwargs)
