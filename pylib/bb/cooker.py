"""Exceptions and events of the cooker, its loggers, and the collector of recipe files."""

import logging

import _hz_files
import bb
import bb.event


logger = logging.getLogger("BitBake")
collectlog = logging.getLogger("BitBake.Collection")
buildlog = logging.getLogger("BitBake.Build")
parselog = logging.getLogger("BitBake.Parsing")
providerlog = logging.getLogger("BitBake.Provider")


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


class CookerCollectFiles:
    """The recipe files of one multiconfig; `priorities` are its layers as (name, pattern, expression, priority)."""

    def __init__(self, priorities, mc=""):
        self.mc = mc
        # Nested layers come before those around them.
        self.bbfile_config_priorities = sorted(priorities, key=lambda layer: layer[1], reverse=True)
        self._files = _hz_files.collector(self.bbfile_config_priorities, mc)

    @property
    def bbappends(self):
        return self._files.appends()

    @property
    def overlayed(self):
        return self._files.overlayed()

    def calc_bbfile_priority(self, filename):
        priority, layer = self._files.priority(filename)
        expression = next((row[2] for row in self.bbfile_config_priorities if row[0] == layer), None)
        return priority, expression, layer

    def collect_bbfiles(self, config, eventdata):
        """(recipe files, how many BBMASK hides, folders looked into)"""
        found = self._files.collect(config)
        if not any(found) and not (config.getVar("BBFILES") or "").split():
            bb.event.fire(CookerExit(), eventdata)
        return found

    def get_file_appends(self, fn):
        return tuple(self._files.file_appends(fn))

    def collection_priorities(self, pkgfns, fns, d):
        return self._files.priorities(list(pkgfns), list(fns), d)
