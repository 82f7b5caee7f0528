"""gitannex:// URLs: git with an annex of large files."""

from bb.fetch2.git import Git


class GitANNEX(Git):
    _native = "gitannex"
