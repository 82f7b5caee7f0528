"""az:// URLs."""

from bb.fetch2.wget import Wget


class Az(Wget):
    _native = "az"
