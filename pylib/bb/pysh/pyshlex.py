"""Errors of splitting shell code into words."""


class NeedMore(Exception):
    """The code ends within a quotation, an expansion or a comment."""
