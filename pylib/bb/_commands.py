"""The commands that programs give the cooker (`Tinfoil.run_command`), over the native cooker.

Their names, arguments and results are those of the reference's server. `QUEUED` ones report through
events; CommandCompleted or CommandFailed is the last.
"""

import io
import os
import re
import traceback

import _hz_cooker
import bb
import bb.event
import bb.fetch2
from bb.command import CommandCompleted, CommandError, CommandExit, CommandFailed


def _mc_of(args, place):
    return args[place] if len(args) > place else ""


class SkippedPackage:
    """A recipe that is not built, and why."""

    def __init__(self, pn=None, reason=None, provides=None, rprovides=None):
        self.pn = pn
        self.skipreason = reason
        self.provides = provides
        self.rprovides = rprovides


class Commands:
    """One method a command."""

    # Commands that only look things up in what is parsed: no metadata runs.
    LOOKUPS = frozenset(
        "ping getUIHandlerNum setEventMask getVariable getRecipes getRecipeDepends getRecipeVersions getRecipeProvides "
        "getRecipePackages getRecipePackagesDynamic getRProviders getRuntimeDepends getRuntimeRecommends getRecipeInherits "
        "getBbFilePriority getDefaultPreference getSkippedRecipes getOverlayedRecipes getFileAppends getAllAppends findProviders "
        "findBestProvider allProviders getRuntimeProviders revalidateCaches enableDataTracking disableDataTracking".split()
    )

    QUEUED = frozenset(
        "buildFile buildTargets generateDepTreeEvent generateDotGraph generateTargetsTree findConfigFiles findFilesMatchingInDir "
        "testCookerCommandEvent findConfigFilePath showVersions showEnvironmentTarget showEnvironment parseFiles "
        "compareRevisions triggerEvent resetCooker clientComplete findSigInfo getTaskSignatures".split()
    )

    def __init__(self, connection):
        self.connection = connection
        # Stores that were given away, by number; 0 is the configuration.
        self.stores = {}
        self.listener = None
        # How the last queued command ended; its result only says that it was taken.
        self.succeeded = False

    def data(self, mc=""):
        return _hz_cooker.store(mc)

    # -- State

    def ping(self):
        return "Still alive!"

    def stateShutdown(self):
        return None

    stateForceShutdown = stateShutdown

    def getUIHandlerNum(self):
        return self.connection.handle

    def setEventMask(self, handle, level, domains, mask):
        self.connection.mask = (level, domains, frozenset(mask))
        return handle == self.connection.handle

    def setFeatures(self, features):
        return None

    def updateConfig(self, options, environment, cmdline):
        return None

    def setConfig(self, name, value):
        return None

    def setPrePostConfFiles(self, prefiles, postfiles):
        if prefiles or postfiles:
            raise CommandError("setPrePostConfFiles: give the files to prepare()")

    def parseConfiguration(self):
        _hz_cooker.configure()

    def revalidateCaches(self):
        _hz_cooker.revalidate()

    def enableDataTracking(self):
        self.data().enableTracking()

    def disableDataTracking(self):
        self.data().disableTracking()

    # -- Variables

    def getVariable(self, name, expand="True"):
        return self.data().getVar(name, expand == "True")

    def setVariable(self, name, value):
        self.data().setVar(name, str(value))

    def getSetVariable(self, name, expand="True"):
        value = self.getVariable(name, expand)
        self.data().setVar(name, value)
        return value

    def getAllKeysWithFlags(self, flaglist):
        d = self.data()
        dump = {}
        for name in d.keys():
            flags = d.getVarFlags(name) or {}
            try:
                value = d.getVar(name, not ("func" in flags and "python" in flags))
            except Exception as exc:
                print(exc)
                continue
            if name.startswith("__") or isinstance(value, bb.data_smart.DataSmart):
                continue
            entry = dump[name] = {"v": str(value), "history": d.varhistory.variable(name)}
            for flag in flaglist:
                entry[flag] = flags.get(flag)
        return dump

    def keep(self, store):
        """Numbers a store for a connector."""
        number = len(self.stores) + 1
        self.stores[number] = store
        return number

    def _store(self, number):
        return self.data() if number == 0 else self.stores[number]

    def dataStoreConnectorCmd(self, number, method, args, kwargs):
        return getattr(self._store(number), method)(*args, **kwargs)

    def dataStoreConnectorVarHistCmd(self, number, method, args, kwargs):
        return getattr(self._store(number).varhistory, method)(*args, **kwargs)

    def dataStoreConnectorVarHistCmdEmit(self, number, name, oldvalue, value, other):
        out = io.StringIO()
        self._store(number).varhistory.emit(name, oldvalue, value, out, self._store(other))
        return out.getvalue()

    def dataStoreConnectorIncHistCmd(self, number, method, args, kwargs):
        return getattr(self._store(number).inchistory, method)(*args, **kwargs)

    def dataStoreConnectorRelease(self, number):
        if number <= 0:
            raise CommandError("dataStoreConnectorRelease: invalid index %d" % number)
        self.stores.pop(number, None)

    # -- Recipes

    def getLayerPriorities(self):
        _hz_cooker.configure()
        return _hz_cooker.collections()

    def _items(self, table, mc):
        return list(_hz_cooker.table(table, mc).items())

    def getRecipes(self, mc=""):
        return self._items("pkg_pn", mc)

    def getRecipeDepends(self, mc=""):
        return self._items("deps", mc)

    def getRuntimeDepends(self, mc=""):
        return self._items("rundeps", mc)

    def getRuntimeRecommends(self, mc=""):
        return self._items("runrecs", mc)

    def getRecipeVersions(self, mc=""):
        return _hz_cooker.table("pkg_pepvpr", mc)

    def getRecipeProvides(self, mc=""):
        return _hz_cooker.table("fn_provides", mc)

    def getRecipePackages(self, mc=""):
        return _hz_cooker.table("packages", mc)

    def getRecipePackagesDynamic(self, mc=""):
        return _hz_cooker.table("packages_dynamic", mc)

    def getRProviders(self, mc=""):
        return _hz_cooker.table("rproviders", mc)

    def getRecipeInherits(self, mc=""):
        return _hz_cooker.table("inherits", mc)

    def getBbFilePriority(self, mc=""):
        return _hz_cooker.table("bbfile_priority", mc)

    def getDefaultPreference(self, mc=""):
        return _hz_cooker.table("pkg_dp", mc)

    def getSkippedRecipes(self, mc=""):
        return [(fn, SkippedPackage(*facts)) for fn, *facts in _hz_cooker.skipped(mc)]

    def getOverlayedRecipes(self, mc=""):
        return list(_hz_cooker.overlayed(mc).items())

    def getFileAppends(self, fn, mc=""):
        return _hz_cooker.file_appends(fn, mc)

    def getAllAppends(self, mc=""):
        return _hz_cooker.all_appends(mc)

    def findProviders(self, mc=""):
        return _hz_cooker.find_providers(mc)

    def findBestProvider(self, name):
        import bb.runqueue

        mc, pn = bb.runqueue.split_mc(name)
        return _hz_cooker.find_best_provider(pn, mc)

    def allProviders(self, mc=""):
        return list(_hz_cooker.all_providers(mc).items())

    def getRuntimeProviders(self, name, mc=""):
        found, best = _hz_cooker.runtime_providers(name, mc)
        return found, best

    def matchFile(self, expression, mc=""):
        import bb.cooker

        if os.path.abspath(expression) in (files := _hz_cooker.recipe_files(mc)):
            return os.path.abspath(expression)
        matches = [fn for fn in files if re.search(expression, fn) and os.path.exists(fn)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            text = "Unable to match '%s' to a specific recipe file - %s matches found:" % (expression, len(matches))
            bb.error("\n    ".join([text] + matches))
        else:
            bb.error("Unable to find any recipe file matching '%s'" % expression)
        raise bb.cooker.NoSpecificMatch

    def parseRecipeFile(self, virtualfn, appends=True, appendlist=None, config=None):
        if not appends:
            appendlist = []
        return _hz_cooker.parse_recipe(virtualfn, appendlist, config)

    def finalizeData(self):
        return _hz_cooker.finalize()

    # -- What reports through events

    def _found(self, event):
        bb.event.fire(event, self.data())

    def buildTargets(self, targets, task):
        return _hz_cooker.run("build", targets, task, self.listener)

    def generateDepTreeEvent(self, targets, task):
        return _hz_cooker.run("tree", targets, task, self.listener)

    def generateDotGraph(self, targets, task):
        return _hz_cooker.run("graph", targets, task, self.listener)

    def generateTargetsTree(self, klass, pkg_list):
        return _hz_cooker.run("targets", pkg_list or [], None, self.listener, {"inherits": klass})

    def getTaskSignatures(self, target, tasks):
        return _hz_cooker.run("signatures", target, None, self.listener, {"tasks": tasks or []})

    def buildFile(self, bfile, task, internal=False):
        return _hz_cooker.run("file", [], task, self.listener, {"buildfile": bfile, "internal": bool(internal)})

    def showEnvironment(self, bfile):
        return _hz_cooker.run("environment", [], None, self.listener, {"buildfile": bfile})

    def showEnvironmentTarget(self, pkg):
        return _hz_cooker.run("environment", pkg, None, self.listener)

    def compareRevisions(self):
        _hz_cooker.parse()
        if bb.fetch2.fetcher_compare_revisions(self.data()):
            bb.event.fire(CommandExit(1), self.data())
            return True

    def showVersions(self):
        return _hz_cooker.run("versions", [], None, self.listener)

    def parseFiles(self):
        _hz_cooker.parse()

    def resetCooker(self):
        _hz_cooker.revalidate()

    def clientComplete(self):
        self.stores.clear()
        _hz_cooker.reset()

    def testCookerCommandEvent(self, pattern):
        self._found(bb.event.FilesMatchingFound(pattern, ["A", "B"]))

    def triggerEvent(self, text):
        self._found(eval(text, {"bb": bb}))

    def _below(self, folder):
        """Names of the files under a folder of every BBPATH entry."""
        for path in self.data().getVar("BBPATH").split(":"):
            for _, _, names in os.walk(os.path.join(path, folder)):
                yield from names

    def findConfigFiles(self, variable):
        kind = variable.lower()
        found = [name[: -len(".conf")] for name in self._below(os.path.join("conf", kind)) if name.endswith(".conf")]
        if found:
            self._found(bb.event.ConfigFilesFound(kind, found))

    def findFilesMatchingInDir(self, pattern, directory):
        found = [name for name in self._below(directory) if pattern in name]
        if found:
            self._found(bb.event.FilesMatchingFound(pattern, found))

    def findConfigFilePath(self, name):
        import bb.cookerdata

        d = self.data()
        path = bb.cookerdata.findConfigFile(name, d)
        read = [entry[0] for entry in (d.getVar("__base_depends", False) or []) + (d.getVar("__depends", False) or [])]
        if path and path in [fn for fn in read if fn.endswith(".conf")]:
            self._found(bb.event.ConfigFilePathFound(path))

    def findSigInfo(self, name, task, sigs):
        import bb.runqueue
        import bb.siggen

        mc, pn = bb.runqueue.split_mc(name)
        d = self.data(mc)
        bb.siggen.check_siggen_version(bb.siggen)
        bb.event.fire(bb.event.FindSigInfoResult(bb.siggen.find_siginfo(pn, task, sigs, d)), d)

    # -- Running one

    def run(self, name, params):
        """Runs a command by name; gives (result, None) or (None, error text).

        What BBHandledException means has been told: it is raised.
        """
        method = getattr(self, name, None) if not name.startswith("_") and name not in ("run", "keep", "data") else None
        if method is None or not callable(method):
            if name in self.QUEUED:
                return None, "%s is not built yet in this BitBake" % name
            return None, "No such command"
        if name in self.QUEUED:
            return self._run_queued(name, method, params)
        try:
            if name in self.LOOKUPS:
                return method(*params), None
            with self.connection.inside():
                return method(*params), None
        except CommandError as exc:
            return None, exc.args[0]
        except (bb.BBHandledException, SystemExit):
            raise bb.BBHandledException() from None
        except Exception:
            return None, traceback.format_exc()

    def _run_queued(self, name, method, params):
        self.succeeded = False
        with self.connection.inside():
            try:
                result = method(*params)
            except bb.BBHandledException:
                bb.event.fire(CommandFailed(""), self.data())
                return True, None
            except (Exception, SystemExit):
                bb.event.fire(CommandFailed(traceback.format_exc()), self.data())
                return True, None
            if result is None:
                # Native commands say themselves that they are done.
                bb.event.fire(CommandCompleted(), self.data())
                result = True
            self.succeeded = bool(result)
        return True, None
