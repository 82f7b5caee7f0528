"""crate:// URLs: crates of a Cargo registry."""

from bb.fetch2.wget import Wget


class Crate(Wget):
    _native = "crate"
