"""The Python side of the build engine, as metadata imports it."""

__version__ = "2.18.0"
