"""gitsm:// URLs: git with submodules."""

from bb.fetch2.git import Git


class GitSM(Git):
    _native = "gitsm"
