"""The classes of events. bb.event offers them, and under that name metadata masks know them."""

# Classes get the module name under which everybody knows them, for masks and for pickle.
__name__ = "bb.event"


class Event:
    """Something that happened; `pid` is the task's process, 0 outside of tasks."""

    def __init__(self):
        import bb.event

        self.pid = bb.event.worker_pid


class HeartbeatEvent(Event):
    """Comes regularly while a build runs."""

    def __init__(self, time):
        super().__init__()
        self.time = time


class OperationStarted(Event):
    def __init__(self, msg="Operation Started"):
        Event.__init__(self)
        self.msg = msg


class OperationCompleted(Event):
    def __init__(self, total, msg="Operation Completed"):
        Event.__init__(self)
        self.total = total
        self.msg = msg


class OperationProgress(Event):
    def __init__(self, current, total, msg="Operation in Progress"):
        Event.__init__(self)
        self.current = current
        self.total = total
        self.msg = "%s: %s/%s" % (msg, current, total)


class ConfigParsed(Event):
    """The configuration has been read."""


class MultiConfigParsed(Event):
    """All configurations have been read: `mcdata` holds their stores by name."""

    def __init__(self, mcdata):
        super().__init__()
        self.mcdata = mcdata


class RecipeEvent(Event):
    """Something about the recipe file `fn`."""

    def __init__(self, fn):
        super().__init__()
        self.fn = fn


class RecipePreDeferredInherits(RecipeEvent):
    """Before the deferred inherits: `inherits` are the classes to come, unexpanded."""

    def __init__(self, fn, inherits):
        super().__init__(fn)
        self.inherits = inherits


class RecipePreFinalise(RecipeEvent):
    """Read, not yet finished: keys are unexpanded."""


class RecipePostKeyExpansion(RecipeEvent):
    """Keys are expanded, anonymous functions have not run."""


class RecipeTaskPreProcess(RecipeEvent):
    """The tasks are known; handlers may still change what depends on what."""

    def __init__(self, fn, tasklist):
        super().__init__(fn)
        self.tasklist = tasklist


class RecipeParsed(RecipeEvent):
    """The recipe is finished."""


class BuildBase(Event):
    def __init__(self, n, p, failures=0):
        self._name = n
        self._pkgs = p
        Event.__init__(self)
        self._failures = failures

    def getPkgs(self):
        return self._pkgs

    def setPkgs(self, pkgs):
        self._pkgs = pkgs

    def getName(self):
        return self._name

    def setName(self, name):
        self._name = name

    def getFailures(self):
        """How many tasks failed."""
        return self._failures

    pkgs = property(getPkgs, setPkgs)
    name = property(getName, setName)


class BuildInit(BuildBase):
    """A build was asked for."""

    def __init__(self, p=[]):
        super().__init__(None, p)


class BuildStarted(BuildBase, OperationStarted):
    def __init__(self, n, p, failures=0):
        OperationStarted.__init__(self, "Building Started")
        BuildBase.__init__(self, n, p, failures)


class BuildCompleted(BuildBase, OperationCompleted):
    def __init__(self, total, n, p, failures=0, interrupted=0):
        OperationCompleted.__init__(self, total, "Building Failed" if failures else "Building Succeeded")
        self._interrupted = interrupted
        BuildBase.__init__(self, n, p, failures)


class DiskFull(Event):
    """A file system ran low and the build was halted."""

    def __init__(self, dev, type, freespace, mountpoint):
        super().__init__()
        self._dev = dev
        self._type = type
        self._free = freespace
        self._mountpoint = mountpoint


class DiskUsageSample:
    """Sizes of a file system in bytes: for users, for root, altogether."""

    def __init__(self, available_bytes, free_bytes, total_bytes):
        self.available_bytes = available_bytes
        self.free_bytes = free_bytes
        self.total_bytes = total_bytes


class MonitorDiskEvent(Event):
    """A look at the watched file systems: `disk_usage` holds a DiskUsageSample by device path."""

    def __init__(self, disk_usage):
        super().__init__()
        self.disk_usage = disk_usage


class NoProvider(Event):
    """Nothing provides what is asked for; as text: what to tell the user."""

    def __init__(self, item, runtime=False, dependees=None, reasons=None, close_matches=None):
        super().__init__()
        self._item = item
        self._runtime = runtime
        self._dependees = dependees
        self._reasons = reasons
        self._close_matches = close_matches

    def getItem(self):
        return self._item

    def isRuntime(self):
        return self._runtime

    def __str__(self):
        r = "R" if self._runtime else ""
        text = "Nothing %sPROVIDES '%s'" % (r, self._item)
        if self._dependees:
            text += " (but %s %sDEPENDS on or otherwise requires it)" % (", ".join(self._dependees), r)
        if self._reasons:
            return "\n".join([text, *self._reasons])
        if self._close_matches:
            text += ". Close matches:\n  %s" % "\n  ".join(sorted(set(self._close_matches)))
        return text


class MultipleProviders(Event):
    """Several recipes provide what is asked for; as text: what to tell the user."""

    def __init__(self, item, candidates, runtime=False):
        super().__init__()
        self._item = item
        self._candidates = candidates
        self._is_runtime = runtime

    def isRuntime(self):
        return self._is_runtime

    def getItem(self):
        return self._item

    def getCandidates(self):
        return self._candidates

    def __str__(self):
        kind, r = ("runtime ", "R") if self._is_runtime else ("", "")
        return (
            "Multiple providers are available for %s%s (%s)" % (kind, self._item, ", ".join(self._candidates))
            + "\nConsider defining a PREFERRED_%sPROVIDER entry to match %s" % (r, self._item)
        )


class ParseStarted(OperationStarted):
    def __init__(self, total):
        super().__init__("Recipe parsing Started")
        self.total = total


class ParseCompleted(OperationCompleted):
    def __init__(self, cached, parsed, skipped, masked, virtuals, errors, total):
        super().__init__(total, "Recipe parsing Completed")
        self.cached = cached
        self.parsed = parsed
        self.skipped = skipped
        self.virtuals = virtuals
        self.masked = masked
        self.errors = errors
        self.sofar = cached + parsed


class ParseProgress(OperationProgress):
    def __init__(self, current, total):
        super().__init__(current, total, "Recipe parsing")


class CacheLoadStarted(OperationStarted):
    def __init__(self, total):
        super().__init__("Loading cache Started")
        self.total = total


class CacheLoadProgress(OperationProgress):
    def __init__(self, current, total):
        super().__init__(current, total, "Loading cache")


class CacheLoadCompleted(OperationCompleted):
    def __init__(self, total, num_entries):
        super().__init__(total, "Loading cache Completed")
        self.num_entries = num_entries


class TreeDataPreparationStarted(OperationStarted):
    def __init__(self):
        super().__init__("Preparing tree data Started")


class TreeDataPreparationProgress(OperationProgress):
    def __init__(self, current, total):
        super().__init__(current, total, "Preparing tree data")


class TreeDataPreparationCompleted(OperationCompleted):
    def __init__(self, total):
        super().__init__(total, "Preparing tree data Completed")


class DepTreeGenerated(Event):
    def __init__(self, depgraph):
        super().__init__()
        self._depgraph = depgraph


class TargetsTreeGenerated(Event):
    def __init__(self, model):
        super().__init__()
        self._model = model


class ReachableStamps(Event):
    """All stamps that the parsed recipes can reach: what else is there is stale."""

    def __init__(self, stamps):
        super().__init__()
        self.stamps = stamps


class StaleSetSceneTasks(Event):
    """Set-scene tasks that will run again: `tasks` holds their old stamps by task."""

    def __init__(self, tasks):
        super().__init__()
        self.tasks = tasks


class FilesMatchingFound(Event):
    def __init__(self, pattern, matches):
        super().__init__()
        self._pattern = pattern
        self._matches = matches


class ConfigFilesFound(Event):
    def __init__(self, variable, values):
        super().__init__()
        self._variable = variable
        self._values = values


class ConfigFilePathFound(Event):
    def __init__(self, path):
        super().__init__()
        self._path = path


class MsgBase(Event):
    def __init__(self, msg):
        super().__init__()
        self._message = msg


class MsgDebug(MsgBase):
    pass


class MsgNote(MsgBase):
    pass


class MsgWarn(MsgBase):
    pass


class MsgError(MsgBase):
    pass


class MsgFatal(MsgBase):
    pass


class MsgPlain(MsgBase):
    pass


class LogExecTTY(Event):
    """Asks the interface to run a program on its terminal."""

    def __init__(self, msg, prog, sleep_delay, retries):
        super().__init__()
        self.msg = msg
        self.prog = prog
        self.sleep_delay = sleep_delay
        self.retries = retries


class MetadataEvent(Event):
    """Whatever metadata has to report: a name for the kind, and data."""

    def __init__(self, eventtype, eventdata):
        super().__init__()
        self.type = eventtype
        self._localdata = eventdata


class ProcessStarted(Event):
    """A long step begins, of `total` parts."""

    def __init__(self, processname, total):
        super().__init__()
        self.processname = processname
        self.total = total


class ProcessProgress(Event):
    def __init__(self, processname, progress):
        super().__init__()
        self.processname = processname
        self.progress = progress


class ProcessFinished(Event):
    def __init__(self, processname):
        super().__init__()
        self.processname = processname


class SanityCheck(Event):
    """Asks for the sanity checks; with `generateevents` the result comes as events."""

    def __init__(self, generateevents=True):
        super().__init__()
        self.generateevents = generateevents


class SanityCheckPassed(Event):
    pass


class SanityCheckFailed(Event):
    def __init__(self, msg, network_error=False):
        super().__init__()
        self._msg = msg
        self._network_error = network_error


class NetworkTest(Event):
    """Asks for a test of the network; with `generateevents` the result comes as events."""

    def __init__(self, generateevents=True):
        super().__init__()
        self.generateevents = generateevents


class NetworkTestPassed(Event):
    pass


class NetworkTestFailed(Event):
    pass


class FindSigInfoResult(Event):
    def __init__(self, result):
        super().__init__()
        self.result = result


class GetTaskSignatureResult(Event):
    def __init__(self, sig):
        super().__init__()
        self.sig = sig


class ParseError(Event):
    def __init__(self, msg):
        super().__init__()
        self._msg = msg
