"""Errors of shell code."""


class ShellError(Exception):
    """Something is wrong with shell code."""


class ShellSyntaxError(ShellError):
    """Shell code cannot be read."""
