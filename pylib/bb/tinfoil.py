"""The door of programs outside a build. They run under the host's Python, never here."""


class TinfoilUIException(Exception):
    """A program's user interface failed; `returncode` is its exit status."""

    def __init__(self, returncode):
        self.returncode = returncode

    def __repr__(self):
        return "UI module main returned %d" % self.returncode


class TinfoilCommandFailed(Exception):
    """A command given to the server failed."""


class Tinfoil:
    def __init__(self, *args, **kwargs):
        raise RuntimeError("bb.tinfoil cannot be used inside a build: start a program of its own")
