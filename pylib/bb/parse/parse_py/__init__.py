"""The two kinds of metadata files."""

from bb.parse.parse_py import BBHandler, ConfHandler
