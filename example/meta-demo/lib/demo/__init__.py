"""Helpers of the demo layer, importable from every recipe as ``demo.*``."""

BBIMPORTS = ["trees"]
