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


class CookerFeatures:
    """What a user interface may ask of the cooker, by number."""

    _feature_list = [HOB_EXTRA_CACHES, BASEDATASTORE_TRACKING, SEND_SANITYEVENTS, RECIPE_SIGGEN_INFO, SKIP_FRAGMENTS] = list(range(5))

    def __init__(self):
        self._features = set()

    def setFeature(self, f):
        if f in self._feature_list:
            self._features.add(f)

    def delFeature(self, f):
        self._features.discard(f)

    def __contains__(self, f):
        return f in self._features

    def __iter__(self):
        return iter(self._features)
