"""gomod:// and gomodgit:// URLs: Go modules."""

import re

from bb.fetch2.git import Git
from bb.fetch2.wget import Wget


def escape(path):
    """Go's file names: `!a` for `A`."""
    return re.sub("[A-Z]", lambda letter: "!" + letter.group(0).lower(), path)


class GoMod(Wget):
    _native = "gomod"


class GoModGit(Git):
    _native = "gomodgit"
