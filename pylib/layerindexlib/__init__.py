"""Layer indexes: of this build's layers (`cooker://`), of a web service, of a file.

    index = LayerIndex(d)
    index.load_layerindex("http://…/layerindex/api/;branch=master", load=["layerDependencies"])
    needed, unknown = index.find_dependencies(names=["meta-x"])
"""

import importlib
import logging
from collections import OrderedDict

from layerindexlib._index import LayerIndexObj
from layerindexlib._items import (
    Branch,
    Distro,
    LayerBranch,
    LayerDependency,
    LayerIndexItemObj,
    LayerIndexItemObj_LayerBranch,
    LayerItem,
    Machine,
    Recipe,
)
from layerindexlib.plugin import LayerIndexPluginUrlError

logger = logging.getLogger("BitBake.layerindexlib")


class LayerIndexException(Exception):
    def __init__(self, message):
        self.msg = message
        super().__init__(message)

    def __str__(self):
        return self.msg


def _with_url(text, url, message):
    return "%s layerindex url %s: %s" % (text, url, message) if message else "%s layerindex url %s" % (text, url)


class LayerIndexUrlError(LayerIndexException):
    """An address cannot be used."""

    def __init__(self, url, message=""):
        self.url = url
        super().__init__(_with_url("Unable to access", url, message))


class LayerIndexFetchError(LayerIndexException):
    """What is at an address cannot be had."""

    def __init__(self, url, message=""):
        self.url = url
        super().__init__(_with_url("Unable to fetch", url, message))


def _reason(error):
    """Why a connection failed, in the words of the system if it has any."""
    inner = getattr(error, "reason", None)
    cause = inner if hasattr(inner, "errno") and hasattr(inner, "strerror") else error
    if cause.errno == -2:
        return "%s: %s" % (error, cause.strerror)
    if cause.errno:
        return "Unexpected exception: [Error %s] %s" % (cause.errno, cause.strerror)
    return "Unable to fetch OSError exception: %s" % error


class LayerIndex:
    """Several indexes, the first of which counts first."""

    def __init__(self, d):
        if not d:
            raise LayerIndexException("Must be initialized with bb.data.")
        self.data = d
        self.indexes = []
        self.plugins = []
        for name in ("cooker", "restapi"):
            plugin = importlib.import_module("layerindexlib." + name).plugin_init(self.plugins)
            plugin.init(self)
            self.plugins.append(plugin)

    def __add__(self, other):
        if not isinstance(other, LayerIndex):
            raise TypeError("Can not add different types.")
        both = LayerIndex(self.data)
        both.indexes = self.indexes + other.indexes
        return both

    def _parse_params(self, params):
        """`a=1;b=2` as a dict; the last of a name counts."""
        return dict(param.split("=", 1) for param in params.split(";") if param)

    def _fetch_url(self, url, username=None, password=None, debuglevel=0):
        """The response at an address. Whether the network may be used is the caller's affair."""
        if not url:
            raise LayerIndexUrlError(url, "empty url")
        from urllib import request
        from urllib.error import HTTPError

        handlers = [request.HTTPSHandler(debuglevel=debuglevel)] if hasattr(request, "HTTPSHandler") else []
        if username:
            passwords = request.HTTPPasswordMgrWithDefaultRealm()
            passwords.add_password(None, url, username, password)
            handlers.append(request.HTTPBasicAuthHandler(passwords))
        logger.debug("Fetching %s (%s authentication)..." % (url, "with" if username else "without"))
        wanted = request.Request(url, headers={"User-Agent": "Mozilla/5.0 (bitbake/lib/layerindex)"}, unverifiable=True)
        try:
            return request.build_opener(*handlers).open(wanted)
        except HTTPError as error:
            logger.debug("HTTP Error: %s: %s" % (error.code, error.reason))
            raise LayerIndexFetchError(url, error)
        except OSError as error:
            raise LayerIndexFetchError(url, _reason(error))

    def _plugin_for(self, uri, act):
        """What `act` gives for the first plug-in that takes an address."""
        if not self.plugins:
            raise LayerIndexException("No LayerIndex Plugins available")
        for plugin in self.plugins:
            if not getattr(plugin, "type", None):
                continue
            try:
                return act(plugin)
            except LayerIndexPluginUrlError as error:
                logger.debug("%s doesn't support %s" % (plugin.type, error.url))
            except NotImplementedError:
                pass
        raise LayerIndexException("No plugins support %s" % uri)

    def load_layerindex(self, indexURI, load=[], reload=False):
        """Adds the index at `ADDRESS[;branch=A,B][;desc=TEXT][;cache=FILE]`.

        `load`: what beyond branches and layers (layerDependencies, recipes, machines, distros);
        `reload`: instead of all indexes so far.
        """
        if reload:
            self.indexes = []
        logger.debug("Loading: %s" % indexURI)
        index = self._plugin_for(indexURI, lambda plugin: plugin.load_index(indexURI, load))
        index.config["local"] = ["config"]
        index.lockData()
        self.indexes.append(index)

    def store_layerindex(self, indexURI, index=None):
        """Writes an index to `file://PATH`: one file, or in an existing directory one a layer."""
        if not index:
            logger.warning("No index to write, nothing to do.")
            return
        self._plugin_for(indexURI, lambda plugin: plugin.store_index(indexURI, index))

    def is_empty(self):
        """Is there no layer on any branch?"""
        return not any(self.indexes)

    def _first(self, find):
        return next((found for found in map(find, self.indexes) if found), None)

    def find_vcs_url(self, vcs_url, branch=None):
        """The first layer of a repository."""
        return self._first(lambda index: index.find_vcs_url(vcs_url, [branch] if branch else None))

    def find_collection(self, collection, version=None, branch=None):
        """The first layer of a collection."""
        return self._first(lambda index: index.find_collection(collection, version, [branch] if branch else None))

    def find_layerbranch(self, name, branch=None):
        """The first layer of a name."""
        return self._first(lambda index: index.find_layerbranch(name, [branch] if branch else None))

    def find_dependencies(self, names=None, layerbranches=None, ignores=None):
        """What layers need, in a good order for BBLAYERS: (name -> [layer, LayerDependency…], names
        that are nowhere). A layer that an earlier index has too is taken from there."""
        layerbranches = [] if layerbranches is None else layerbranches
        unknown = []
        for name in names or ():
            if ignores and name in ignores:
                continue
            found = self._first(lambda index: index.find_layerbranch(name))
            if found:
                layerbranches.append(found)
            else:
                unknown.append(name)

        def own(needed):
            if needed.index is self.indexes[0]:
                return needed
            earlier = self.find_collection(collection=needed.collection, version=needed.version)
            return earlier or needed

        return resolve(layerbranches, ignores, own), unknown

    def list_obj(self, object):
        """Prints one kind of thing of every index."""
        from layerindexlib._listing import print_table

        for index in self.indexes:
            if hasattr(index, object):
                logger.plain("")
                logger.plain("Index: %s" % index.config["DESCRIPTION"])
                print_table(logger, index, object)
        logger.plain("")


def resolve(layerbranches, ignores, own):
    """The dependencies of layers, deepest first; `own` says which layer stands for a needed one."""
    dependencies = OrderedDict()
    ignores = ignores or ()

    def walk(layerbranch, way):
        if layerbranch.layer.name in ignores:
            return
        for need in layerbranch.index.layerDependencies_layerBranchId[layerbranch.id]:
            try:
                needed = need.dependency_layerBranch
            except AttributeError:
                logger.error(
                    "LayerBranch does not exist for dependent layer %s:%s\n"
                    "       Cannot continue successfully.\n"
                    "       You might be able to resolve this by checking out the layer locally.\n"
                    "       Consider reaching out the to the layer maintainers or the layerindex admins"
                    % (need.dependency.name, layerbranch.branch.name)
                )
                raise LayerIndexException("%s is not in the layer index" % need.dependency.name) from None
            if needed.layer.name in ignores:
                continue
            if needed.layer.name in way:
                logger.warning("Circular layer dependency found: %s -> %s" % (way, needed.layer.name))
                continue
            needed = own(needed)
            name = needed.layer.name
            if name not in dependencies:
                walk(needed, way + [name])
            entry = dependencies.setdefault(name, [needed])
            if need not in entry[1:]:
                entry.append(need)

    for layerbranch in layerbranches:
        walk(layerbranch, [])
    for layerbranch in layerbranches:
        dependencies.setdefault(layerbranch.layer.name, [layerbranch])
    return dependencies


def sort_entry(item):
    """An index's JSON in an order that is the same each time: dicts by key, lists by `id`."""
    try:
        if type(item) is dict:
            return OrderedDict((key, sort_entry(item[key])) for key in sorted(item))
        if type(item) is list:
            return [sort_entry(entry) for entry in sorted(item, key=lambda entry: entry["id"])]
    except (TypeError, KeyError):
        logger.error("Sort failed for item %s" % type(item))
    return item
