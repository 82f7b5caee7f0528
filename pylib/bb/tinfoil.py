"""The cooker for programs: bitbake-layers and its plug-ins, bitbake-getvar, scripts.

A program that runs in our VM is its own server: `prepare` opens the cooker in its process, commands
run there, `shutdown` closes it. Stores are real ones, not proxies.
"""

import logging
import os
import re
import sys
from collections import OrderedDict, defaultdict
from contextlib import contextmanager
from functools import partial

import bb
import bb.command
import bb.cooker
import bb.event
import bb.msg
import bb.providers
import bb.utils


class TinfoilUIException(Exception):
    """The user interface ended with an error; `returncode` is its exit status."""

    def __init__(self, returncode):
        self.returncode = returncode

    def __repr__(self):
        return "UI module main returned %d" % self.returncode


class TinfoilCommandFailed(Exception):
    """A command given to the cooker failed."""


# What build_targets and its like want to see of a build.
_BUILD_EVENTS = (
    "bb.event.BuildStarted bb.event.BuildCompleted logging.LogRecord bb.event.NoProvider bb.command.CommandCompleted "
    "bb.command.CommandFailed bb.build.TaskStarted bb.build.TaskFailed bb.build.TaskSucceeded bb.build.TaskFailedSilent "
    "bb.build.TaskProgress bb.runqueue.runQueueTaskStarted bb.runqueue.sceneQueueTaskStarted bb.event.ProcessStarted "
    "bb.event.ProcessProgress bb.event.ProcessFinished"
).split()


class _ConnectorPart:
    """One of the objects of a store (`varhistory`, `inchistory`) by commands."""

    def __init__(self, tinfoil, dsindex, command, cls):
        self.tinfoil = tinfoil
        self.dsindex = dsindex
        self._command = command
        self._class = cls

    def remoteCommand(self, method, *args, **kwargs):
        return self.tinfoil.run_command(self._command, self.dsindex, method, args, kwargs)

    def emit(self, var, oval, val, o, d):
        o.write(self.tinfoil.run_command("dataStoreConnectorVarHistCmdEmit", self.dsindex, var, oval, val, d.dsindex))

    def __getattr__(self, name):
        if name.startswith("_") or not hasattr(self._class, name):
            raise AttributeError("%s has no such method %s" % (self._class.__name__, name))
        return partial(self.remoteCommand, name)


class TinfoilDataStoreConnector:
    """A store by its number, for code that has only that. `Tinfoil` gives the stores themselves."""

    def __init__(self, tinfoil, dsindex):
        from bb.data_smart import IncludeHistory, VariableHistory

        self.tinfoil = tinfoil
        self.dsindex = dsindex
        self.varhistory = _ConnectorPart(tinfoil, dsindex, "dataStoreConnectorVarHistCmd", VariableHistory)
        self.inchistory = _ConnectorPart(tinfoil, dsindex, "dataStoreConnectorIncHistCmd", IncludeHistory)

    def remoteCommand(self, method, *args, **kwargs):
        return self.tinfoil.run_command("dataStoreConnectorCmd", self.dsindex, method, args, kwargs)

    def __getattr__(self, name):
        from bb.data_smart import DataSmart

        if not hasattr(DataSmart, name):
            raise AttributeError("Data store has no such method %s" % name)
        return partial(self.remoteCommand, name)

    def __iter__(self):
        return iter(self.remoteCommand("keys"))


class _RecipeCache:
    """The recipe tables of one multiconfig, each fetched when it is first read."""

    # Name -> (command, type of the table)
    _TABLES = {
        "deps": ("getRecipeDepends", partial(defaultdict, list)),
        "rundeps": ("getRuntimeDepends", partial(defaultdict, lambda: defaultdict(list))),
        "runrecs": ("getRuntimeRecommends", partial(defaultdict, lambda: defaultdict(list))),
        "pkg_pn": ("getRecipes", partial(defaultdict, list)),
        "pkg_pepvpr": ("getRecipeVersions", dict),
        "inherits": ("getRecipeInherits", dict),
        "bbfile_priority": ("getBbFilePriority", dict),
        "pkg_dp": ("getDefaultPreference", dict),
        "fn_provides": ("getRecipeProvides", dict),
        "packages": ("getRecipePackages", dict),
        "packages_dynamic": ("getRecipePackagesDynamic", dict),
        "rproviders": ("getRProviders", dict),
    }

    def __init__(self, tinfoil, mc=""):
        self.tinfoil = tinfoil
        self.mc = mc

    def forget(self):
        for name in ("pkg_fn", *self._TABLES):
            self.__dict__.pop(name, None)

    def __getattr__(self, name):
        if name == "pkg_fn":
            value = {fn: pn for pn, files in self.pkg_pn.items() for fn in files}
        elif name in self._TABLES:
            command, kind = self._TABLES[name]
            value = kind(self.tinfoil.run_command(command, self.mc) or ())
        else:
            raise AttributeError("%s instance has no attribute '%s'" % (type(self).__name__, name))
        setattr(self, name, value)
        return value


class _Collection:
    """The recipe files and appends of one multiconfig."""

    def __init__(self, tinfoil, mc=""):
        self.tinfoil = tinfoil
        self.mc = mc

    def get_file_appends(self, fn):
        return self.tinfoil.get_file_appends(fn, self.mc)

    @property
    def overlayed(self):
        return self.tinfoil.get_overlayed_recipes(self.mc)

    @property
    def bbappends(self):
        return self.tinfoil.run_command("getAllAppends", self.mc)


class _Skiplists:
    def __init__(self, tinfoil):
        self.tinfoil = tinfoil

    def __getitem__(self, mc):
        return self.tinfoil.get_skipped_recipes(mc)


class TinfoilCookerAdapter:
    """What programs read of the cooker object."""

    TinfoilCookerCollectionAdapter = _Collection
    TinfoilRecipeCacheAdapter = _RecipeCache
    TinfoilSkiplistByMcAdapter = _Skiplists

    def __init__(self, tinfoil):
        self.tinfoil = tinfoil
        self.multiconfigs = [""] + (tinfoil.config_data.getVar("BBMULTICONFIG") or "").split()
        self.collections = {mc: _Collection(tinfoil, mc) for mc in self.multiconfigs}
        self.recipecaches = {mc: _RecipeCache(tinfoil, mc) for mc in self.multiconfigs}
        self.skiplist_by_mc = _Skiplists(tinfoil)

    @property
    def bbfile_config_priorities(self):
        rows = self.tinfoil.run_command("getLayerPriorities")
        return [(name, pattern, re.compile(expression), priority) for name, pattern, expression, priority in rows]

    def findBestProvider(self, pn):
        return self.tinfoil.find_best_provider(pn)


class TinfoilRecipeInfo:
    """What is known of a recipe without parsing it again."""

    def __init__(self, recipecache, d, pn, fn, fns):
        self._recipecache = recipecache
        self._d = d
        self.pn = pn
        self.fn = fn
        self.fns = fns
        self.inherit_files = recipecache.inherits[fn]
        self.depends = recipecache.deps[fn]
        self.pe, self.pv, self.pr = recipecache.pkg_pepvpr[fn]

    def _names(self, table):
        """The names of a table whose recipes include this one."""
        return [name for name, files in getattr(self._recipecache, table).items() if self.fn in files]

    @property
    def alternates(self):
        return [fn for fn in self.fns if fn != self.fn]

    @property
    def rdepends(self):
        return self._recipecache.rundeps[self.fn]

    @property
    def rrecommends(self):
        return self._recipecache.runrecs[self.fn]

    @property
    def provides(self):
        return self._recipecache.fn_provides[self.fn]

    @property
    def packages(self):
        return self._names("packages")

    @property
    def packages_dynamic(self):
        return self._names("packages_dynamic")

    @property
    def rprovides(self):
        return self._names("rproviders")

    def inherits(self, only_recipe=False):
        """Names of the inherited classes; with `only_recipe` without those that all recipes have."""
        everywhere = set()
        if only_recipe:
            everywhere = {fn for fn in (self._d.getVar("BBINCLUDED") or "").split() if fn.endswith(".bbclass")}
        for fn in self.inherit_files:
            if fn not in everywhere:
                yield os.path.splitext(os.path.basename(fn))[0]

    def __str__(self):
        return "%s" % self.pn


class TinfoilConfigParameters:
    """Options of `bitbake` for the cooker: quiet, debug, verbose, prefile, postfile and others."""

    def __init__(self, config_only, **options):
        self.quiet = 0
        self.debug = 0
        self.verbose = False
        self.prefile = []
        self.postfile = []
        self.parse_only = not config_only
        self.ui = "knotty"
        self.initial_options = options
        self.__dict__.update(options)


class Tinfoil:
    def __init__(self, output=sys.stdout, tracking=False, setup_logging=True):
        """`output`: where log records go; `tracking`: record where variables are set;
        `setup_logging`: print log records from now on."""
        self.logger = logging.getLogger("BitBake")
        self.config_data = None
        self.cooker = None
        self.cooker_data = None
        self.tracking = tracking
        self.ui_module = None
        self.server_connection = None
        self.recipes_parsed = False
        self.quiet = 0
        self._commands = None
        self.oldhandlers = self.logger.handlers[:]
        self.localhandlers = []
        if setup_logging:
            bb.msg.logger_create("BitBake", output)
            self.localhandlers = [handler for handler in self.logger.handlers if handler not in self.oldhandlers]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.shutdown()

    # -- Opening and closing

    def prepare(self, config_only=False, config_params=None, quiet=0, extra_features=None):
        """Reads the configuration and, unless `config_only`, all recipes. `quiet` is bitbake's -q,
        counted; `extra_features` are numbers of bb.cooker.CookerFeatures."""
        from bb._commands import Commands
        from bb._inprocess import Connection

        self.quiet = quiet
        features = bb.cooker.CookerFeatures
        wanted = set(extra_features or ())
        params = config_params or TinfoilConfigParameters(config_only, quiet=quiet)
        if config_only:
            self.logger.info("Starting bitbake server...")
        if not self.localhandlers or not config_only:
            # What is logged now shows on the terminal, or nowhere.
            self._replace_handlers([bb.NullHandler()])
        options = {
            "tracking": self.tracking or features.BASEDATASTORE_TRACKING in wanted,
            "skip_fragments": features.SKIP_FRAGMENTS in wanted,
            "quiet": params.quiet,
            "debug": params.debug,
            "verbose": bool(params.verbose),
            "prefiles": list(params.prefile or ()),
            "postfiles": list(params.postfile or ()),
            "command": list(sys.argv),
        }
        try:
            self.server_connection = Connection(options)
        except bb.BBHandledException:
            self._tell_why_not(config_only)
            raise
        self._commands = Commands(self.server_connection)
        self._drain()
        self.config_data = self._commands.data()
        self.cooker = TinfoilCookerAdapter(self)
        self.cooker_data = self.cooker.recipecaches[""]
        if config_only:
            self.run_command("parseConfiguration")
        else:
            self.run_actions(params)
            self.recipes_parsed = True

    def _tell_why_not(self, config_only):
        """Shows what was logged before the cooker failed to open."""
        import _hz_cooker

        if config_only:
            while event := _hz_cooker.next_event():
                if isinstance(event, logging.LogRecord) and event.levelno >= bb.msg.loggerDefaultLogLevel:
                    self.logger.handle(event)
        else:
            _hz_cooker.hold(False)

    def _replace_handlers(self, handlers):
        for handler in self.localhandlers:
            if handler in self.logger.handlers:
                self.logger.handlers.remove(handler)
        self.localhandlers = handlers
        self.logger.handlers = list(handlers)

    def run_actions(self, config_params):
        """Parses all recipes, with the terminal as the interface.

        Raises TinfoilUIException with its exit status if that fails.
        """
        import _hz_cooker

        status = self._connected().interface(_hz_cooker.parse)
        self._replace_handlers([self.server_connection.show_handler()])
        if status:
            raise TinfoilUIException(status)
        self._renew()

    def _renew(self):
        """The configuration may have been read again."""
        self.config_data = self._commands.data()
        for cache in self.cooker.recipecaches.values():
            cache.forget()

    def parse_recipes(self):
        """Parses all recipes, after prepare(config_only=True)."""
        self.run_actions(None)
        self.recipes_parsed = True

    parseRecipes = parse_recipes

    def modified_files(self):
        """Says that files of the configuration or recipes have been changed."""
        self.run_command("revalidateCaches")

    def shutdown(self):
        """Closes the cooker. A `with` block does it."""
        try:
            if self.server_connection:
                connection, self.server_connection = self.server_connection, None
                connection.close()
                bb.event.ui_queue = []
        finally:
            self.logger.handlers = self.oldhandlers[:]

    # -- Commands and events

    def _connected(self):
        if not self.server_connection:
            raise Exception("Not connected to server (did you call .prepare()?)")
        return self.server_connection

    def _drain(self):
        """Shows the log records that wait; other events nobody waited for are gone."""
        while event := self.wait_event():
            if isinstance(event, logging.LogRecord) and (event.taskpid == 0 or event.levelno > logging.INFO):
                self.logger.handle(event)

    def run_command(self, command, *params, handle_events=True):
        """Runs a command by its name. Queued ones have run when this returns; their events wait
        for wait_event, unless `handle_events`.

        Raises TinfoilCommandFailed, or BBHandledException if the user has been told already.
        """
        self._connected()
        try:
            result, error = self._commands.run(command, params)
        finally:
            if handle_events and command not in self._commands.QUEUED:
                self._drain()
        if error:
            raise TinfoilCommandFailed(error)
        if command in ("parseConfiguration", "resetCooker", "clientComplete"):
            self._renew()
        return result

    def set_event_mask(self, eventlist):
        """Sets which events wait_event gives, by class names."""
        level, domains = bb.msg.constructLogOptions()
        if not self.run_command("setEventMask", self._connected().handle, level, domains, eventlist):
            raise Exception("setEventMask failed")

    def wait_event(self, timeout=0):
        """The next event, or None. Commands run to their end when they are given: nothing comes
        later, so there is nothing to wait for."""
        return self._connected().next_event()

    # -- Recipes

    def get_overlayed_recipes(self, mc=""):
        """Recipes that hide others of the same file name: the lists of those."""
        return defaultdict(list, self.run_command("getOverlayedRecipes", mc))

    def get_skipped_recipes(self, mc=""):
        """Recipes that skipped themselves: objects with pn, skipreason, provides, rprovides."""
        return OrderedDict(self.run_command("getSkippedRecipes", mc))

    def get_all_providers(self, mc=""):
        return defaultdict(list, self.run_command("allProviders", mc))

    def find_providers(self, mc=""):
        return self.run_command("findProviders", mc)

    def find_best_provider(self, pn):
        return self.run_command("findBestProvider", pn)

    def get_runtime_providers(self, rdep):
        return self.run_command("getRuntimeProviders", rdep)

    def get_recipe_file(self, pn):
        """The recipe that provides something; bb.providers.NoProvider with the reasons if there is none."""
        best = self.find_best_provider(pn)
        if best and best[3]:
            return best[3]
        reasons = []
        for skipped in self.get_skipped_recipes().values():
            if skipped.pn == pn:
                reasons.append("%s was skipped: %s" % (pn, skipped.skipreason))
            elif pn in skipped.provides:
                reasons.append("%s PROVIDES %s but was skipped: %s" % (skipped.pn, pn, skipped.skipreason))
        if reasons:
            raise bb.providers.NoProvider("%s is unavailable:\n  %s" % (pn, "  \n".join(reasons)))
        text = 'Unable to find any recipe file matching "%s"' % pn
        import difflib

        close = difflib.get_close_matches(pn, self.get_all_providers(), cutoff=0.7)
        if close:
            text += ". Close matches:\n  %s" % "\n  ".join(close)
        raise bb.providers.NoProvider(text)

    def get_file_appends(self, fn, mc=""):
        """The appends that apply to a recipe file."""
        return self.run_command("getFileAppends", fn, mc)

    def all_recipes(self, mc="", sort=True):
        """A TinfoilRecipeInfo of the best recipe for every PN."""
        cache = self.cooker.recipecaches[mc]
        for pn, files in sorted(cache.pkg_pn.items()) if sort else cache.pkg_pn.items():
            yield TinfoilRecipeInfo(cache, self.config_data, pn=pn, fn=self.find_best_provider(pn)[3], fns=files)

    def all_recipe_files(self, mc="", variants=True, preferred_only=False):
        """All recipe files (`variants`: those of BBCLASSEXTEND too), or the preferred of each PN."""
        cache = self.cooker.recipecaches[mc]
        files = [self.find_best_provider(pn)[3] for pn in cache.pkg_pn] if preferred_only else cache.pkg_fn
        for fn in sorted(files):
            if variants or not fn.startswith("virtual:"):
                yield fn

    def get_recipe_info(self, pn, mc=""):
        """The TinfoilRecipeInfo of what provides something, or None."""
        cache = self.cooker.recipecaches[mc]
        fn = self.find_best_provider(pn)[3]
        if not fn:
            return None
        actual = cache.pkg_fn[fn]
        return TinfoilRecipeInfo(cache, self.config_data, pn=actual, fn=fn, fns=cache.pkg_pn[actual])

    @contextmanager
    def _tracked(self):
        if self.tracking:
            self.run_command("enableDataTracking")
        yield
        if self.tracking:
            self.run_command("disableDataTracking")

    def finalizeData(self):
        """A copy of the configuration with its keys expanded and its anonymous functions run."""
        with self._tracked():
            return self.run_command("finalizeData")

    def parse_recipe(self, pn):
        """The store of the recipe that provides something."""
        return self.parse_recipe_file(self.get_recipe_file(pn))

    def parse_recipe_file(self, fn, appends=True, appendlist=None, config_data=None):
        """The store of a recipe file or variant. `appends`: with its appends, or those of `appendlist`;
        `config_data`: the configuration to parse it with."""
        with self._tracked():
            if isinstance(config_data, TinfoilDataStoreConnector):
                config_data = self._commands._store(config_data.dsindex)
            return self.run_command("parseRecipeFile", fn, appends and appendlist != [], appendlist, config_data)

    # -- Building

    def _build(self, command, args, handle_events, extra_events, event_callback):
        """Runs a queued command. With `handle_events` the terminal shows it as `bitbake` would, and
        `event_callback` sees events first; else events wait for wait_event."""
        import _hz_cooker

        if not handle_events:
            return self.run_command(command, *args)
        self.set_event_mask(_BUILD_EVENTS + list(extra_events or ()))
        connection = self._connected()

        def listener(event):
            return bool(connection.wanted(event) and event_callback(event))

        self._commands.listener = listener if event_callback else None
        before = _hz_cooker.hold(False)
        try:
            return self.run_command(command, *args) and self._commands.succeeded
        finally:
            self._commands.listener = None
            _hz_cooker.hold(before)

    def build_targets(self, targets, task=None, handle_events=True, extra_events=None, event_callback=None):
        """Builds targets (a list, or a text of names). Gives whether it went well; without
        `handle_events` CommandCompleted or CommandFailed says that."""
        if isinstance(targets, str):
            targets = targets.split()
        task = task or self.config_data.getVar("BB_DEFAULT_TASK")
        return self._build("buildTargets", (targets, task), handle_events, extra_events, event_callback)

    def build_file(self, buildfile, task, internal=True):
        """Runs one task of a recipe file alone."""
        return self.run_command("buildFile", buildfile, task, internal)

    def build_file_sync(self, *args, handle_events=True, extra_events=None, event_callback=None):
        """build_file as build_targets does it."""
        return self._build("buildFile", args, handle_events, extra_events, event_callback)
