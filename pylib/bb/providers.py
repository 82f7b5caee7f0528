"""Exceptions about who provides what."""

import bb


class NoProvider(bb.BBHandledException):
    """Nothing provides a build dependency."""


class NoRProvider(bb.BBHandledException):
    """Nothing provides a run-time dependency."""


class MultipleRProvider(bb.BBHandledException):
    """Several recipes provide a run-time dependency and none is preferred."""
