"""Exceptions and events of the cooker."""

import bb
import bb.event


class NoSpecificMatch(bb.BBHandledException):
    """No recipe, or several, where exactly one was asked for."""


class NothingToBuild(Exception):
    """Nothing is left to be built."""


class CollectionError(bb.BBHandledException):
    """The layers are not set up rightly."""


class CookerExit(bb.event.Event):
    """The server goes down."""
