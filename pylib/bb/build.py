"""Tasks: running their functions, what they leave behind, and how recipes add and remove them.

Logs, scripts, stamps and processes are native (`_hz_build`); here are the events and the calls of
the metadata's functions, so that handlers and subclasses see what they expect.
"""

import builtins
import functools
import io
import logging
import os
import stat
import sys
import time
import traceback
import types

import _hz_build
import _hz_data
import _hz_meta
import bb
import bb.event
import bb.msg
import bb.process
import bb.utils

bblogger = logging.getLogger("BitBake")
logger = logging.getLogger("BitBake.Build")

# Set from the command line: show every command of shell functions; show task output as it comes.
verboseShellLogging = False
verboseStdoutLogging = False

logformatter = bb.msg.BBLogFormatter("%(levelname)s: %(message)s")

# Every Python that metadata runs finds these two without an import.
builtins.bb = bb
builtins.os = os


# -- Events


class TaskBase(bb.event.Event):
    """Something about the task `_task` of the recipe `_fn`, with its log."""

    def __init__(self, t, fn, logfile, d):
        self._task = self.taskname = t
        self._fn = fn
        self._package = d.getVar("PF")
        self._mc = d.getVar("BB_CURRENT_MC")
        self.taskfile = d.getVar("FILE")
        self.logfile = logfile
        self.time = time.time()
        self.pn = d.getVar("PN")
        self.pv = d.getVar("PV")
        super().__init__()
        self._message = "recipe %s: task %s: %s" % (self._package, t, self.getDisplayName())

    def getTask(self):
        return self._task

    def setTask(self, task):
        self._task = task

    def getDisplayName(self):
        """The class name without `Task`."""
        return bb.event.getName(self)[len("Task"):]

    task = property(getTask, setTask)


class TaskStarted(TaskBase):
    """A task begins; `taskflags` are its flags."""

    def __init__(self, t, fn, logfile, taskflags, d):
        super().__init__(t, fn, logfile, d)
        self.taskflags = taskflags


class TaskSucceeded(TaskBase):
    """A task has ended well."""


class TaskFailed(TaskBase):
    """A task has failed; `errprinted`: the user has been told why."""

    def __init__(self, task, fn, logfile, metadata, errprinted=False):
        self.errprinted = errprinted
        super().__init__(task, fn, logfile, metadata)


class TaskFailedSilent(TaskBase):
    """A task has failed that may fail."""

    def getDisplayName(self):
        return "Failed"


class TaskInvalid(TaskBase):
    """There is no such task."""

    def __init__(self, task, fn, metadata):
        super().__init__(task, fn, None, metadata)
        self._message = "No such task '%s'" % task


class TaskProgress(bb.event.Event):
    """How far the task of this process is: 0 to 100, or less than 0 for a count without an end."""

    def __init__(self, progress, rate=None):
        self.progress = progress
        self.rate = rate
        super().__init__()


# -- Where output goes


class StdoutNoopContextManager:
    """sys.stdout, whatever that is at the moment; leaving a `with` does not close it."""

    def __enter__(self):
        return sys.stdout

    def __exit__(self, *exc_info):
        pass

    def write(self, string):
        return sys.stdout.write(string)

    def flush(self):
        sys.stdout.flush()

    @property
    def name(self):
        return getattr(sys.stdout, "name", "<mem>")


class LogTee:
    """Shows what is written through a logger as well as writing it."""

    def __init__(self, logger, outfile):
        self.logger = logger
        self.outfile = outfile
        self.name = outfile.name

    def write(self, string):
        self.logger.plain(string)
        self.outfile.write(string)

    def flush(self):
        self.outfile.flush()

    def __enter__(self):
        self.outfile.__enter__()
        return self

    def __exit__(self, *exc_info):
        self.outfile.__exit__(*exc_info)

    def __repr__(self):
        return "<LogTee %s>" % self.name


def _resolve_class(dotted):
    """A class by its dotted name in the namespace of metadata, else of Python's builtins."""

    def step(found, name):
        if found is None:
            return None
        if isinstance(found, types.ModuleType):
            return getattr(found, name, None)
        return found.get(name) if hasattr(found, "get") else getattr(found, name, None)

    for namespace in (bb.utils.get_context(), vars(builtins)):
        found = functools.reduce(step, dotted.split("."), namespace)
        if found:
            return found
    return None


def create_progress_handler(func, progress, logfile, d):
    """The file object for the `progress` flag of a function: it looks for progress in the output and
    passes it on to `logfile`. With a flag that means nothing, `logfile` itself."""
    import bb.progress

    kind, colon, rest = progress.partition(":")
    if progress == "percent":
        return bb.progress.BasicProgressHandler(d, outfile=logfile)
    if kind == "percent" and colon:
        return bb.progress.BasicProgressHandler(d, regex=rest, outfile=logfile)
    if kind == "outof" and colon:
        return bb.progress.OutOfProgressHandler(d, regex=rest, outfile=logfile)
    if kind == "custom" and colon:
        name, _, arguments = rest.partition(":")
        if name:
            cls = _resolve_class(name)
            if cls:
                return cls(d, outfile=logfile, otherargs=arguments or None)
            bb.warn('%s: unknown custom progress handler in task progress varflag value "%s", ignoring' % (func, name))
    else:
        bb.warn('%s: invalid task progress varflag value "%s", ignoring' % (func, progress))
    return logfile


# -- Functions


def _getcwd():
    try:
        return os.getcwd()
    except OSError:
        return None


def _prepare_dirs(d, flags, dirs, oldcwd):
    """Empties and makes the directories a function asks for; gives the one to run in, or None."""
    for path in d.expand(flags.get("cleandirs") or "").split():
        bb.utils.remove(path, True)
        bb.utils.mkdirhier(path)
        if path == oldcwd:
            # What we stood in is gone: stand in the new one.
            os.chdir(path)
    if dirs is None:
        dirs = d.expand(flags.get("dirs") or "").split()
    for path in dirs:
        bb.utils.mkdirhier(path)
    return dirs[-1] if dirs else None


def _link_runfile(tempdir, task, name):
    """Makes `run.TASK` point to the run file, before it exists: a failing function has its link."""
    link = os.path.join(tempdir, "run.%s" % task)
    bb.utils.remove(link)
    try:
        os.symlink(name, link)
    except OSError:
        pass


def exec_func(func, d, dirs=None):
    """Runs a metadata function, shell or Python, as its flags say."""
    oldcwd = _getcwd()
    flags = d.getVarFlags(func) or {}
    cwd = _prepare_dirs(d, flags, dirs, oldcwd)

    body = d.getVar(func, False)
    if not body:
        if body is None:
            logger.warning("Function %s doesn't exist", func)
        return

    lockfiles = d.expand(flags["lockfiles"]).split() if flags.get("lockfiles") else None

    # Functions also run outside of tasks: from event handlers, for one.
    tempdir = d.getVar("T")
    task = d.getVar("BB_RUNTASK") or func
    names = {"taskfunc": func if task == func else "%s.%s" % (task, func), "task": task, "func": func, "pid": os.getpid()}
    runname = (d.getVar("BB_RUNFMT") or "run.{func}.{pid}").format(**names)
    runfile = os.path.join(tempdir, runname)
    bb.utils.mkdirhier(os.path.dirname(runfile))
    if task == func:
        _link_runfile(tempdir, task, runname)

    with bb.utils.fileslocked(lockfiles):
        if flags.get("python"):
            exec_func_python(func, d, runfile, cwd=cwd)
        else:
            exec_func_shell(func, d, runfile, cwd=cwd)

    curcwd = _getcwd()
    if oldcwd and curcwd != oldcwd:
        try:
            bb.warn("Task %s changed cwd to %s" % (func, curcwd))
            os.chdir(oldcwd)
        except OSError:
            pass


def exec_func_python(func, d, runfile, cwd=None):
    """Runs a Python function; the run file lists what runs."""
    bb.utils.mkdirhier(os.path.dirname(runfile))
    with open(runfile, "w") as listing:
        listing.write(_hz_build.listing(func, d))
    _call_python(func, d, cwd)


def _call_python(func, d, cwd):
    bb.debug(2, "Executing python function %s" % func)
    try:
        _call_in(func, d, cwd)
    finally:
        bb.debug(2, "Python function %s finished" % func)


def _call_in(func, d, cwd):
    """Calls a Python function of the metadata, in the directory it wants."""
    olddir = None
    if cwd:
        try:
            olddir = os.getcwd()
        except OSError as exc:
            bb.warn("%s: Cannot get cwd: %s" % (func, exc))
        os.chdir(cwd)

    captured = None
    streams = sys.stdout, sys.stderr
    try:
        if verboseStdoutLogging:
            for stream in streams:
                stream.flush()
            captured = sys.stdout = sys.stderr = io.StringIO()
        filename = d.getVarFlag(func, "filename", False) or "<%s>" % func
        lineno = int(d.getVarFlag(func, "lineno", False) or 1)
        _hz_meta.call_function(d, func, d.getVar(func, False), filename, lineno - 1)
    finally:
        if captured is not None:
            sys.stdout, sys.stderr = streams
            logger.plain(captured.getvalue())
        # What was printed stands before what is logged from now on.
        sys.stdout.flush()
        sys.stderr.flush()
        if cwd and olddir:
            try:
                os.chdir(olddir)
            except OSError as exc:
                bb.warn("%s: Cannot restore cwd %s: %s" % (func, olddir, exc))


def shell_trap_code():
    """The first part of generated shell scripts: failures end them and are reported."""
    return _hz_build.prologue_text()


def _shell_message(command, text):
    """A message of a shell function."""
    if command == "bbplain":
        bb.plain(text)
    elif command == "bbnote":
        bb.note(text)
    elif command == "bbverbnote":
        bb.verbnote(text)
    elif command == "bbwarn":
        bb.warn(text)
    elif command in ("bberror", "bbfatal"):
        # After bbfatal the script exits by itself.
        bb.error(text)
    elif command == "bbfatal_log":
        bb.error(text, forcelog=True)
    elif command == "bbdebug":
        level, _, rest = text.partition(" ")
        bb.debug(int(level), rest)
    else:
        bb.warn("Unrecognised command '%s' on FIFO" % command)


def _output_of(func, d):
    """Where a shell function's output goes: a file object, or None for plain standard output."""
    own = sys.stdout is sys.__stdout__
    # Within another function the output is captured already: not twice.
    logfile = LogTee(logger, StdoutNoopContextManager()) if verboseStdoutLogging and own else StdoutNoopContextManager()
    progress = d.getVarFlag(func, "progress")
    if progress:
        try:
            return create_progress_handler(func, progress, logfile, d)
        except Exception:
            logger.error("Failed to create progress handler")
            logger.error(traceback.format_exc())
            raise
    return None if own and not verboseStdoutLogging else logfile


def exec_func_shell(func, d, runfile, cwd=None):
    """Runs a shell function as a script of its own."""
    # A script has its own idea of where it is.
    d.delVarFlag("PWD", "export")
    trace = bool(verboseShellLogging or bb.utils.to_boolean(d.getVar("BB_VERBOSE_LOGS", False)))
    with open(runfile, "w") as script:
        script.write(_hz_build.script(func, d, cwd, trace))
    os.chmod(runfile, 0o775)

    command = runfile
    if d.getVarFlag(func, "fakeroot", False):
        fakeroot = d.getVar("FAKEROOT")
        if fakeroot:
            command = [fakeroot, runfile]

    output = _output_of(func, d)
    fifo = os.path.join(d.getVar("T"), "fifo.%s" % os.getpid())
    bb.debug(2, "Executing shell function %s" % func)
    sys.stdout.flush()
    sys.stderr.flush()
    argv = [command] if isinstance(command, str) else command
    try:
        if output is None:
            code = _hz_build.run_shell(argv, fifo, _shell_message)
        else:
            with output:

                def write(text):
                    output.write(text)
                    output.flush()

                code = _hz_build.run_shell(argv, fifo, _shell_message, write)
    except FileNotFoundError:
        raise bb.process.NotFoundError(command)
    except OSError as exc:
        raise bb.process.CmdError(command, exc)
    if code:
        raise bb.process.ExecutionError(command, code)
    bb.debug(2, "Shell function %s finished" % func)


# -- Tasks


class _LogFileHandler(logging.Handler):
    """Writes records of Python's loggers into the task's log, down to the most detailed."""

    def __init__(self):
        super().__init__(logging.DEBUG - 2)
        self.setFormatter(logformatter)

    def emit(self, record):
        try:
            _hz_build.write_log(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


class _ErrorCheckHandler(logging.Handler):
    """Notes whether an error was shown to the user; one that asks for the log does not count."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.triggered = False

    def emit(self, record):
        self.triggered = not getattr(record, "forcelog", False)


def _task_data(fn, task, d):
    """The store a task runs with: a copy in which the task's own override is active."""
    localdata = d.createCopy()
    localdata.setVar("BB_FILENAME", fn)
    localdata.setVar("OVERRIDES", "task-%s:%s" % (task[3:].replace("_", "-"), d.getVar("OVERRIDES", False)))
    bb.data.expandKeys(localdata)
    return localdata


def _set_priorities(d):
    """Applies BB_TASK_NICE_LEVEL and BB_TASK_IONICE_LEVEL to this process."""
    level = d.getVar("BB_TASK_NICE_LEVEL")
    if level:
        logger.debug("Renice to %s " % os.nice(int(level) - os.nice(0)))
    level = d.getVar("BB_TASK_IONICE_LEVEL")
    if level:
        try:
            cls, prio = level.split(".", 1)
            bb.utils.ioprio_set(os.getpid(), int(cls), int(prio))
        except Exception:
            bb.warn("Invalid ionice level %s" % level)


def _run_functions(fn, task, d, logfn, handler):
    """Runs a task's functions with the log open, and closes it: interfaces may look at it after."""
    prefuncs = (d.getVarFlag(task, "prefuncs") or "").split()
    postfuncs = (d.getVarFlag(task, "postfuncs") or "").split()
    d.setVar("BB_LOGFILE", logfn)
    d.setVar("BB_RUNTASK", task)
    d.setVar("BB_TASK_LOGGER", bblogger)
    try:
        bb.event.fire(TaskStarted(task, fn, logfn, d.getVarFlags(task), d), d)
        for func in [*prefuncs, task, *postfuncs]:
            exec_func(func, d)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        bblogger.removeHandler(handler)
        if _hz_build.close_log():
            logger.debug2("Zero size logfn %s, removing", logfn)


def _exec_task(fn, task, d, quieterr):
    """Runs a task in this process; 0 if it went well."""
    if not d.getVarFlag(task, "task", False):
        bb.event.fire(TaskInvalid(task, fn, d), d)
        logger.error("No such task: %s" % task)
        return 1

    logger.debug("Executing task %s", task)
    localdata = _task_data(fn, task, d)
    tempdir = localdata.getVar("T")
    if not tempdir:
        bb.fatal("T variable not set, unable to build")
    _set_priorities(localdata)

    logname = (localdata.getVar("BB_LOGFMT") or "log.{task}.{pid}").format(task=task, pid=os.getpid())
    sys.stdout.flush()
    sys.stderr.flush()
    bb.utils.mkdirhier(tempdir)
    logfn = _hz_build.open_log(tempdir, task, logname)
    handler = _LogFileHandler()
    errors = _ErrorCheckHandler()
    bblogger.addHandler(handler)
    bblogger.addHandler(errors)
    try:
        _run_functions(fn, task, localdata, logfn, handler)
    except (Exception, SystemExit) as exc:
        handled = isinstance(exc, bb.BBHandledException)
        if quieterr:
            if not handled:
                logger.warning(str(exc))
            bb.event.fire(TaskFailedSilent(task, fn, logfn, localdata), localdata)
        else:
            # With the output on the terminal the user has seen it all.
            printed = errors.triggered or _hz_build.native_errors() or verboseStdoutLogging or handled
            if not handled:
                logger.error(str(exc))
            bb.event.fire(TaskFailed(task, fn, logfn, localdata, bool(printed)), localdata)
        return 1
    finally:
        bblogger.removeHandler(errors)

    bb.event.fire(TaskSucceeded(task, fn, logfn, localdata), localdata)
    if not localdata.getVarFlag(task, "nostamp", False) and not localdata.getVarFlag(task, "selfstamp", False):
        make_stamp(task, localdata)
    return 0


def exec_task(fn, task, d, profile=False):
    """Runs a task in this process; gives its exit code. With `profile`, times go to a file."""
    quieterr = d.getVarFlag(task, "quieterrors", False) is not None
    try:
        output = "profile-%s.log" % ((d.getVar("PN") or "") + "-" + task)
        return bb.utils.profile_function(profile, lambda: _exec_task(fn, task, d, quieterr), output)
    except Exception:
        if not quieterr:
            _tell_failed(task, fn, d)
        return 1


def _set_environment(d, task, extra):
    """Leaves this process only what the recipe exports, and what the task is to have besides."""
    exports = _hz_build.exported_vars(d)
    bb.utils.empty_environment()
    os.environ.update(exports)
    for name, value in extra:
        os.environ[name] = value
        d.setVar(name, value)
        d.setVarFlag(name, "export", "1")
    for name in (d.getVarFlag(task, "exports") or "").split():
        d.setVarFlag(name, "export", "1")
        value = d.getVar(name)
        if value is not None:
            os.environ[name] = value


def _task_dep_data(data):
    """BB_TASKDEPDATA from its JSON form."""
    return {
        tid: bb.TaskData(
            pn=entry["pn"],
            taskname=entry["taskname"],
            fn=entry["fn_"],
            deps=set(entry["deps"]),
            provides=entry["provides"],
            taskhash=entry["taskhash"],
            unihash=entry["unihash"],
            hashfn=entry["hashfn"],
            taskhash_deps=None if entry["taskhash_deps"] is None else set(entry["taskhash_deps"]),
        )
        for tid, entry in data.items()
    }


def _buffer_stdout():
    """Printed text goes to the log in blocks, at the latest when a function ends: logs have it there."""
    sys.stdout.flush()
    sys.stdout = sys.__stdout__ = _running.stdout or _stdout_in_blocks()


def _stdout_in_blocks():
    return open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)


def worker_run(d, spec):
    """Called natively in a task's own process, whose standard streams lead nowhere: runs the task
    that `spec` describes with its recipe's store, and gives the exit code."""
    global verboseShellLogging, verboseStdoutLogging
    fn, task = spec["mcfn"], spec["task"]
    verboseShellLogging = spec["verbose_shell"]
    verboseStdoutLogging = spec["verbose_stdout"]
    try:
        _buffer_stdout()
        bb.event.worker_pid = os.getpid()
        d.setVar("BB_TASKDEPDATA", _task_dep_data(spec["taskdepdata"]))
        bb.parse.siggen.setup_datacache_from_datastore(fn, d)
        bb.utils.set_process_name("%s:%s" % (d.getVar("PN"), task.replace("do_", "")))
        if not bb.utils.to_boolean(d.getVarFlag(task, "network")):
            uid, gid = spec["uid"], spec["gid"]
            if bb.utils.is_local_uid(uid):
                logger.debug("Attempting to disable network for %s" % task)
                bb.utils.disable_network(uid, gid)
            else:
                logger.debug("Skipping disable network for %s since %s is not a local uid." % (task, uid))
        _set_environment(d, task, spec["environment"])
        if spec["quieterrors"]:
            d.setVarFlag(task, "quieterrors", "1")
    except Exception:
        if not spec["quieterrors"]:
            logger.critical(traceback.format_exc())
        return 1
    try:
        return exec_task(fn, task, d)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


# -- What Python has to do with tasks that run natively (`hz_exec`). Each gives 0, or 1 for what failed.


# The handlers of the log while a task runs, its standard output, and what its functions raised.
_running = types.SimpleNamespace(log=None, errors=None, stdout=None, failure=None)


def before_tasks():
    """Called natively before the first task's process is forked: what each would make for itself is made here, and
    what there is now no task's garbage collection looks at, which would copy all of it for that process."""
    _running.log, _running.errors = _LogFileHandler(), _ErrorCheckHandler()
    _running.stdout = _stdout_in_blocks()
    import gc

    gc.collect()
    gc.freeze()


def task_enter(d, spec):
    """What Python code finds in a task: called once, before any of it runs."""
    global verboseShellLogging, verboseStdoutLogging
    verboseShellLogging = spec["verbose_shell"]
    verboseStdoutLogging = spec["verbose_stdout"]
    _buffer_stdout()
    bb.event.worker_pid = os.getpid()
    # The process has it already; this is Python's copy.
    os.environ._data.clear()
    os.environ._data.update(_hz_build.environment())
    bb.siggen._prepare_for_task(spec["mcfn"], d)
    if _running.log is None:
        _running.log, _running.errors = _LogFileHandler(), _ErrorCheckHandler()
    bblogger.addHandler(_running.log)
    bblogger.addHandler(_running.errors)
    d.setVar("BB_TASK_LOGGER", bblogger)
    return 0


def task_warm(d, spec):
    """In a process made ahead of its task: what handlers of its start are given and mostly do is done once, so that it
    has been. Nothing of it can be noticed."""
    event = TaskStarted(spec["task"], spec["mcfn"], spec["logfile"], d.getVarFlags(spec["task"]), d)
    _hz_build.call_as_handler(_as_handlers_do, event, d)
    return 0


def _as_handlers_do(e, d):
    """What handlers of a task's start mostly do: they note it in a file of the build's or the recipe's folder."""
    import bb.build
    import bb.event
    import time, subprocess

    folder = os.path.dirname(os.path.join(d.getVar("T"), e.task))
    if isinstance(e, bb.build.TaskSucceeded):
        return
    bb.utils.mkdirhier("/")
    with open(os.devnull, "a") as f:
        f.write("Event: %s in %s\n" % (bb.event.getName(e), folder))
        f.write("Started: %0.2f \n" % e.time)


def task_log_closed(d, spec):
    """The task's functions have run. Called before the next Python that does."""
    bblogger.removeHandler(_running.log)
    return 0


def _status_of(step):
    """What a step of a task gives to native code: 0, or 1 with the failure kept. Its output is written then."""
    try:
        step()
        return 0
    except (Exception, SystemExit) as exc:
        _running.failure = exc
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def task_event(d, spec):
    """Fires an event of the task at class handlers and user."""

    def step():
        args = [spec["task"], spec["mcfn"], spec["logfile"]]
        if spec["class"] == "TaskStarted":
            args.append(d.getVarFlags(spec["task"]))
        _hz_build.fire("bb.build." + spec["class"], globals()[spec["class"]](*args, d), d)

    return _status_of(step)


def task_function(d, spec):
    """Runs a function: with `runfile` a Python one for which all is ready, the messages as well, else any."""
    if "runfile" in spec:
        return _status_of(lambda: _call_in(spec["function"], d, spec["cwd"]))
    return _status_of(lambda: exec_func(spec["function"], d))


def _tell_failed(task, fn, d):
    """What went wrong around a task, not in its functions."""
    logger.error("Build of %s failed" % task)
    logger.error(traceback.format_exc())
    bb.event.fire(TaskFailed(task, fn, None, d, True), d)


def task_failed(d, spec):
    """Tells that the task failed, by `message` or by what its functions raised."""
    fn, task, logfn, quieterr, text = spec["mcfn"], spec["task"], spec["logfile"] or None, spec["quieterr"], spec["message"]
    handled = spec["handled"]
    if text is None and _running.failure is not None:
        text, handled = str(_running.failure), isinstance(_running.failure, bb.BBHandledException)
    try:
        if quieterr:
            if not handled:
                logger.warning(text)
            bb.event.fire(TaskFailedSilent(task, fn, logfn, d), d)
        else:
            # With the output on the terminal the user has seen it all.
            printed = _running.errors.triggered or _hz_build.native_errors() or verboseStdoutLogging or handled
            if not handled:
                logger.error(text)
            bb.event.fire(TaskFailed(task, fn, logfn, d, bool(printed)), d)
    except Exception:
        if not quieterr:
            _tell_failed(task, fn, d)
    return 1


def task_succeeded(d, spec):
    """Tells that the task succeeded, if class handlers want to know, and writes its stamp, if it has one."""
    fn, task = spec["mcfn"], spec["task"]
    if _running.errors in bblogger.handlers:
        bblogger.removeHandler(_running.errors)
    try:
        if spec["event"]:
            _hz_build.fire("bb.build.TaskSucceeded", TaskSucceeded(task, fn, spec["logfile"], d), d)
        if spec["stamp"]:
            make_stamp(task, d)
        return 0
    except Exception:
        if d.getVarFlag(task, "quieterrors", False) is None:
            _tell_failed(task, fn, d)
        return 1


# -- Stamps


_mtimes = {}


def cached_mtime_noerror(f):
    """Modification time of a file, asked once; 0 if it is not there."""
    if f not in _mtimes:
        try:
            _mtimes[f] = os.stat(f)[stat.ST_MTIME]
        except OSError:
            return 0
    return _mtimes[f]


def reset_cache():
    _mtimes.clear()


def _get_cleanmask(taskname, mcfn):
    """The masks of a task's stamps whatever their hash, those of its set-scene variant included."""
    mask = bb.parse.siggen.stampcleanmask_mcfn(taskname, mcfn)
    if not mask:
        return []
    plain = taskname.replace("_setscene", "")
    return [mask, mask.replace(plain, plain + "_setscene")]


def clean_stamp_mcfn(task, mcfn):
    """Removes the stamps of a task, with any hash."""
    _hz_build.clean_stamps(_get_cleanmask(task, mcfn))


def clean_stamp(task, d):
    clean_stamp_mcfn(task, d.getVar("BB_FILENAME"))


def make_stamp_mcfn(task, mcfn):
    """Writes a task's stamp and removes its others."""
    stamp = bb.parse.siggen.stampfile_mcfn(task, mcfn)
    if stamp:
        _hz_build.make_stamp(stamp, _get_cleanmask(task, mcfn))


def make_stamp(task, d):
    """Writes a task's stamp and its signature data."""
    mcfn = d.getVar("BB_FILENAME")
    make_stamp_mcfn(task, mcfn)
    # What a set-scene task restores has its data already.
    if not task.endswith("_setscene"):
        bb.parse.siggen.dump_sigtask(mcfn, task, bb.parse.siggen.stampfile_base(mcfn), True)


def del_stamp(task, d):
    """Removes a task's stamp."""
    stamp = bb.parse.siggen.stampfile_mcfn(task, d.getVar("BB_FILENAME"))
    if stamp:
        bb.utils.remove(stamp)


def stampfile(taskname, mcfn, extrainfo=True):
    """Path of a task's stamp."""
    return bb.parse.siggen.stampfile_mcfn(taskname, mcfn, extrainfo)


def find_stale_stamps(task, mcfn):
    """Stamps of a task whose hash is not the current one."""
    siggen = bb.parse.siggen
    current = {siggen.stampfile_mcfn(task, mcfn), siggen.stampfile_mcfn(task + "_setscene", mcfn)}
    stale = [name for name in _hz_build.matching_stamps(_get_cleanmask(task, mcfn)) if name not in current]
    for name in stale:
        logger.debug2("Stampfile %s does not match %s" % (name, " or ".join(sorted(map(str, current)))))
    return stale


def write_taint(task, d):
    """Makes a task run again, and all that depend on it, by changing its hash."""
    bb.parse.siggen.invalidate_task(task, d.getVar("BB_FILENAME"))


# -- The tasks of a recipe


# Flags recorded for the run queue.
_TASK_FLAGS = (
    "mcdepends", "depends", "rdepends", "deptask", "rdeptask", "recrdeptask", "recideptask", "nostamp", "fakeroot",
    "noexec", "umask",
)
_TRUTH_FLAGS = ("noexec", "fakeroot", "nostamp")


def add_tasks(tasklist, d):
    """Records what the run queue is to know of the tasks (`_task_deps`)."""
    task_deps = d.getVar("_task_deps", False) or {}
    tasks = list(task_deps.get("tasks", ()))
    parents = dict(task_deps.get("parents", ()))
    task_deps["tasks"], task_deps["parents"] = tasks, parents
    for task in map(d.expand, tasklist):
        d.setVarFlag(task, "task", 1)
        if task not in tasks:
            tasks.append(task)
        flags = d.getVarFlags(task)
        for name in _TASK_FLAGS:
            if name not in flags:
                continue
            value = d.expand(flags[name])
            if name in _TRUTH_FLAGS and value != "1":
                bb.warn(
                    "In a future version of BitBake, setting the '%s' flag to something other than '1' "
                    "will result in the flag not being set. See YP bug #13808." % name
                )
            task_deps[name] = {**task_deps.get(name, {}), task: value}
        parents[task] = [d.expand(dep) for dep in flags.get("deps", ())]
    d.setVar("_task_deps", task_deps)


def ensure_task_prefix(name):
    return name if name.startswith("do_") else "do_" + name


def _prefixed(names):
    return [ensure_task_prefix(name) for name in (names or "").split()]


def addtask(task, before, after, d):
    """Makes a function a task that runs after the tasks `after` and before those of `before`."""
    task = ensure_task_prefix(task)
    d.setVarFlag(task, "task", 1)
    tasks = d.getVar("__BBTASKS", False) or []
    if task not in tasks:
        tasks.append(task)
    d.setVar("__BBTASKS", tasks)

    deps = d.getVarFlag(task, "deps", False) or []
    for name in _prefixed(after):
        if name not in deps:
            deps.append(name)
    d.setVarFlag(task, "deps", deps)
    for name in _prefixed(before):
        deps = d.getVarFlag(name, "deps", False) or []
        if task not in deps:
            d.setVarFlag(name, "deps", [task] + deps)


def deltask(task, d):
    """Removes a task and what names it as a dependency."""
    task = ensure_task_prefix(task)
    tasks = d.getVar("__BBTASKS", False) or []
    if task in tasks:
        tasks.remove(task)
        d.delVarFlag(task, "task")
        d.setVar("__BBTASKS", tasks)
    d.delVarFlag(task, "deps")
    for name in tasks:
        deps = d.getVarFlag(name, "deps", False) or []
        if task in deps:
            deps.remove(task)
            d.setVarFlag(name, "deps", deps)


def preceedtask(task, with_recrdeptasks, d):
    """The tasks of this recipe that a task runs after; with those of `recrdeptask` if asked for (the
    task itself may be one)."""
    if task not in (d.getVar("__BBTASKS", False) or []):
        return set()
    found = set(d.getVarFlag(task, "deps") or [])
    if with_recrdeptasks:
        found.update((d.getVarFlag(task, "recrdeptask") or "").split())
    return found


def tasksbetween(task_start, task_end, d):
    """The tasks on the ways from `task_start` to `task_end`, which depends on it."""
    between, circle = _hz_data.tasks_between(d, task_start, task_end)
    if circle:
        bb.fatal("Circular task dependencies as %s depends on itself via the chain %s" % (circle[0], " -> ".join(circle[1])))
    return between


def listtasks(d):
    """The tasks of the recipe."""
    return tuple(d.getVar("__BBTASKS", False) or ())
