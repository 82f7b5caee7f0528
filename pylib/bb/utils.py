"""Helpers for metadata and for the engine's Python side, under the names that metadata calls.

The often called pure ones are native (`_hz_utils`); files, meta data editing, the environment and
requests to the system stand in modules of their own and are offered here too.
"""

import collections
import fnmatch
import glob
import importlib.machinery
import importlib.util
import logging
import os
import re
import signal
import subprocess
import time
import traceback
from contextlib import contextmanager

import _hz_utils
import bb
import bb.filter
import bb.msg
from _hz_utils import (
    contains,
    contains_any,
    cpu_count,
    filter,
    filter_string,
    md5_file,
    sha1_file,
    sha256_file,
    sha384_file,
    sha512_file,
    to_boolean,
    which,
)
from bb._environment import (
    approved_variables,
    build_environment,
    check_system_locale,
    clean_environment,
    empty_environment,
    environment,
    export_proxies,
    filter_environment,
    preserved_envvars,
    preserved_envvars_exported,
)
from bb._files import (
    _check_unsafe_delete_path,
    break_hardlinks,
    copyfile,
    fileslocked,
    goh1_file,
    is_path_on_nfs,
    lockfile,
    mkdirhier,
    mkstemp,
    movefile,
    nonblockingfd,
    path_is_descendant,
    prunedir,
    remove,
    rename,
    umask,
    unlockfile,
)
from bb._metaedit import edit_bblayers_conf, edit_metadata, edit_metadata_file

logger = logging.getLogger("BitBake.Util")

python_extensions = importlib.machinery.all_suffixes()


# -- The namespace that all metadata Python shares, and running code in it


def clean_context():
    """A namespace as metadata finds it before anything was defined."""
    return {"os": os, "bb": bb, "time": time}


_context = clean_context()


def get_context():
    return _context


def set_context(ctx):
    global _context
    _context = ctx


_code_cache = {}


def _around(lines, number):
    """The lines about `number` (from 1), that one marked."""
    shown = []
    for i in range(max(1, number - 4), min(number + 4, len(lines)) + 1):
        shown.append("%s%.4d:%s" % (" *** " if i == number else "     ", i, lines[i - 1].rstrip()))
    return shown


def better_compile(text, file, realfile, mode="exec", lineno=0):
    """Compiles metadata code; a syntax error is shown with the lines that cause it."""
    key = (text, realfile, mode, lineno)
    code = _code_cache.get(key)
    if code is not None:
        return code
    try:
        # Empty lines in front make line numbers those of the metadata file.
        code = compile("\n" * int(lineno) + text, realfile, mode)
    except Exception as exc:
        body = text.split("\n")
        line = getattr(exc, "lineno", None)
        report = ["Error in compiling python function in %s, line %s:\n" % (realfile, line)]
        if line is not None:
            report.append("The code lines resulting in this error were:")
            report += _around(body, line - int(lineno))
        else:
            report.append("The function causing this error was:")
            report += body
        report.append("%s: %s" % (type(exc).__name__, exc))
        logger.error("\n".join(report))
        raise bb.BBHandledException(exc)
    _code_cache[key] = code
    return code


def _report_exception(exc, realfile, text):
    """Logs an exception of metadata code with its frames and the code around each."""
    report = ["Error executing a python function in %s:\n" % realfile]
    try:
        frames = exc.__traceback__
        # The first frame is better_exec's own, unless nothing was entered.
        if frames is not None and frames.tb_next is not None:
            frames = frames.tb_next
        own = text.split("\n") if isinstance(text, str) else []
        entries = traceback.extract_tb(frames)
        report.append("The stack trace of python calls that resulted in this exception/failure was:")
        previous = None
        for entry in entries:
            report.append("File: '%s', lineno: %s, function: %s" % (entry.filename, entry.lineno, entry.name))
            if previous is None:
                report += _around(own, entry.lineno)
            elif entry.filename == previous.filename and entry.name == previous.filename:
                report += _around(own, entry.lineno)
            elif entry.filename.startswith("/"):
                try:
                    with open(entry.filename) as f:
                        report += _around(f.readlines(), entry.lineno)
                except (OSError, UnicodeError):
                    report += traceback.format_list([entry])
            else:
                report += traceback.format_list([entry])
            previous = entry
        report.append("Exception: %s" % "".join(traceback.format_exception_only(type(exc), exc)))
        if isinstance(exc, subprocess.CalledProcessError) and exc.output:
            output = exc.output
            report.append("Subprocess output:")
            report.append(output if isinstance(output, str) else output.decode("utf-8", errors="ignore"))
    finally:
        logger.error("\n".join(report))


def better_exec(code, context, text=None, realfile="<code>", pythonexception=False):
    """Runs metadata code with `context` as its locals in the shared namespace.

    Exceptions that have been told already pass; any other is shown with its lines and becomes a
    bb.BBHandledException, unless `pythonexception` asks for it as it is.
    """
    import bb.data_smart
    import bb.parse
    import bb.process

    text = text or code
    if not hasattr(code, "co_filename"):
        code = better_compile(code, realfile, realfile)
    try:
        exec(code, get_context(), context)
    except (bb.BBHandledException, bb.parse.SkipRecipe, bb.data_smart.ExpansionError, bb.process.ExecutionError):
        raise
    except Exception as exc:
        if pythonexception:
            raise
        try:
            _report_exception(exc, realfile, text)
        except Exception as second:
            logger.error("Exception handler error: %s" % second)
        raise bb.BBHandledException(exc)


def simple_exec(code, context):
    exec(code, get_context(), context)


def better_eval(source, locals, extraglobals=None):
    """Evaluates an expression in the shared namespace, with more globals if given."""
    namespace = get_context()
    if extraglobals:
        namespace = {**namespace, **extraglobals}
    return eval(source, namespace, locals)


def exec_flat_python_func(func, *args, **kwargs):
    """Calls the function of the given name in the shared namespace and gives its value."""
    context = {"arg_%d" % (i + 1): value for i, value in enumerate(args)}
    passed = list(context) + ["%s=%s" % (name, name) for name in kwargs]
    context.update(kwargs)
    source = "retval = %s(%s)" % (func, ", ".join(passed))
    better_exec(better_compile(source, "<string>", "<string>"), context, source, "<string>")
    return context["retval"]


# -- Versions and dependency lists


class VersionStringException(Exception):
    """A version demand or an operator that cannot be read."""


def split_version(s):
    """(PE, PV, PR) of `[PE:]PV[-PR]`; PE is a number."""
    return _hz_utils.split_version(s)


def explode_version(s):
    """The runs of a version as (class, text or number): -1 `~`, 0 numbers, 1 letters, 2 others."""
    runs = []
    for number, letters, other in re.findall(r"([0-9]+)|([a-zA-Z]+)|(.)", s, re.DOTALL):
        if number:
            runs.append((0, int(number)))
        elif letters:
            runs.append((1, letters))
        else:
            runs.append((-1 if other == "~" else 2, other))
    return runs


vercmp_part = _hz_utils.vercmp_part


def vercmp(ta, tb):
    """Compares two (PE, PV, PR); negative, 0 or positive."""
    (ea, va, ra), (eb, vb, rb) = ta, tb
    return int(ea or 0) - int(eb or 0) or vercmp_part(va, vb) or vercmp_part(ra, rb)


def vercmp_string(a, b):
    """vercmp of two version texts."""
    return vercmp(split_version(a), split_version(b))


_COMPARISONS = {
    "=": lambda order: order == 0,
    "==": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">>": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def vercmp_string_op(a, b, op):
    """Does `a op b` hold?"""
    order = vercmp_string(a, b)
    if op not in _COMPARISONS:
        raise VersionStringException('Unsupported comparison operator "%s"' % op)
    return _COMPARISONS[op](order)


@bb.filter.filter_proc(name="bb.utils.explode_deps")
def explode_deps(s):
    """The names of a dependency list, without their versions."""
    return _hz_utils.explode_deps(s)


def explode_dep_versions2(s, *, sort=True):
    """The names of a dependency list, each with the list of its version demands."""
    try:
        pairs = _hz_utils.explode_dep_versions2(s, bool(sort))
    except ValueError as exc:
        raise VersionStringException(str(exc)) from None
    return collections.OrderedDict(pairs)


def explode_dep_versions(s):
    """As explode_dep_versions2, with one version demand (or None) a name."""
    deps = explode_dep_versions2(s)
    for name, demands in deps.items():
        if len(demands) > 1:
            bb.warn(
                "explode_dep_versions(): Item %s appeared in dependency string '%s' multiple times with different values.  explode_dep_versions cannot cope with this."
                % (name, s)
            )
        deps[name] = demands[0] if demands else None
    return deps


def join_deps(deps, commasep=True):
    """The text of a dependency list from what explode_dep_versions or its relative gave."""
    entries = []
    for name, demands in deps.items():
        if not demands:
            entries.append(name)
        elif isinstance(demands, list):
            entries += ["%s (%s)" % (name, demand) for demand in demands]
        else:
            entries.append(name + " (" + demands + ")")
    return (", " if commasep else " ").join(entries)


_SEMVER = (
    r"(?P<core>(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2})"
    r"(?:-(?P<pre>(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
)


def is_semver(version):
    """Is this a version of Semantic Versioning 2.0.0?"""
    return re.match(_SEMVER, version) is not None


# -- Small values


def to_filemode(input):
    """A file mode: a number as it is, a text read as octal."""
    return input if type(input) is int else int(input, 8)


def prune_suffix(var, suffixes, d):
    """`var` without the first of the suffixes that it ends with."""
    for suffix in suffixes:
        if suffix and var.endswith(suffix):
            return var[: -len(suffix)]
    return var


def get_referenced_vars(start_expr, d):
    """The variables an expression refers to, and those that their values refer to, level by level."""
    import bb.data

    empty = bb.data.init()
    order = []
    known = set()

    def new_references(expression):
        found = empty.expandWithRefs(expression, None).references - known
        known.update(found)
        return found

    queue = collections.deque(new_references(start_expr))
    while queue:
        name = queue.popleft()
        order.append(name)
        queue.extend(new_references(d.getVar(name, False)))
    return order


# -- Layers and plug-ins


def get_collection_res(d):
    """The path expression of each layer collection."""
    names = (d.getVar("BBFILE_COLLECTIONS") or "").split()
    return {name: d.getVar("BBFILE_PATTERN_%s" % name) or "" for name in names}


def get_file_layer(filename, d, collection_res={}):
    """The collection that a file belongs to, or None; of nested layers the innermost."""
    patterns = collection_res or get_collection_res(d)
    path = filename
    for entry in (d.getVar("BBFILES_PRIORITIZED") or "").split():
        if fnmatch.fnmatchcase(filename, entry):
            path = entry
            break
    best, longest = None, 0
    for name, pattern in patterns.items():
        if len(pattern) > longest and re.match(pattern, path):
            best, longest = name, len(pattern)
    return best


def load_plugins(logger, plugins, pluginpath):
    """Imports every module in a directory and adds it, or what its plugin_init gives, to `plugins`."""
    logger.debug("Loading plugins from %s..." % pluginpath)
    names = set()
    for extension in python_extensions:
        for path in glob.glob(os.path.join(pluginpath, "*" + extension)):
            names.add(os.path.splitext(os.path.basename(path))[0])
    names.discard("__init__")
    for name in names:
        logger.debug("Loading plugin %s" % name)
        spec = importlib.machinery.PathFinder.find_spec(name, path=[pluginpath])
        if spec is None:
            continue
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        init = getattr(module, "plugin_init", None)
        plugins.append((init(plugins) if init else None) or module)


class LogCatcher(logging.Handler):
    """Keeps formatted messages of level warning and above for a later look."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(bb.build.logformatter.format(record))

    def contains(self, message):
        return message in self.messages


# -- Requests to the system

PR_SET_PDEATHSIG = 1
IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_SHIFT = 13


class PrCtlError(Exception):
    """The kernel refused."""


def signal_on_parent_exit(signame):
    """Asks for the signal of this name when the parent process ends."""
    if _hz_utils.signal_on_parent_exit(int(getattr(signal, signame))):
        raise PrCtlError("prctl failed with error code -1")


def ioprio_set(who, cls, value):
    """I/O class and priority of a process (0: this one)."""
    if _hz_utils.ioprio_set(int(who), int(cls), int(value)):
        raise ValueError("Unable to set ioprio, syscall returned -1")


def set_process_name(name):
    """The name that process listings show."""
    _hz_utils.set_process_name(name)


def enable_loopback_networking():
    """Brings up the loopback interface of the current network name space."""
    _hz_utils.enable_loopback()


def disable_network(uid=None, gid=None):
    """Cuts this process off the network, if the system lets it."""
    uid = os.getuid() if uid is None else uid
    gid = os.getgid() if gid is None else gid
    if not _hz_utils.disable_network(uid, gid):
        logger.debug("System doesn't support disabling network without admin privs")


def is_local_uid(uid=""):
    """Does /etc/passwd itself know the user id (default: ours)?"""
    wanted = str(uid or os.getuid())
    with open("/etc/passwd") as f:
        return any(fields[2] == wanted for fields in (line.split(":") for line in f) if len(fields) > 2)


valid_signals = signal.valid_signals()
sigmask = signal.pthread_sigmask


@contextmanager
def _signals_held():
    before = sigmask(signal.SIG_BLOCK, valid_signals)
    try:
        yield
    finally:
        sigmask(signal.SIG_SETMASK, before)


@contextmanager
def lock_timeout(lock):
    """Holds a thread lock with signals held back; ends the process rather than wait for ever."""
    with _signals_held():
        if not lock.acquire(timeout=5 * 60):
            logger.critical("Couldn't get the lock for 5 mins, timed out, exiting.\n%s" % "".join(traceback.format_stack()))
            os._exit(1)
        try:
            yield True
        finally:
            lock.release()


@contextmanager
def lock_timeout_nocheck(lock):
    """Tries for ten seconds to hold a thread lock, and gives whether it does."""
    with _signals_held():
        held = lock.acquire(timeout=10)
        try:
            yield held
        finally:
            if held:
                lock.release()


# -- Profiling


def profile_function(profile, function, output_fn, process=True):
    """Calls `function`; if `profile`, under the profiler with its data in `output_fn`."""
    if not profile:
        return function()
    try:
        import cProfile as profiler
    except ImportError:
        import profile as profiler
    run = profiler.Profile()
    result = run.runcall(function)
    run.dump_stats(output_fn)
    if process:
        process_profilelog(output_fn)
        logger.info("Raw profiling information saved to %s and processed statistics to %s.report*" % (output_fn, output_fn))
    return result


def process_profilelog(fn, fn_out=None):
    """Writes the four reports (.time, .cumulative, each also with callers) of profile data."""
    import pstats

    files = fn if isinstance(fn, list) else [fn]
    base = fn_out or fn + ".report"
    for order in ("time", "cumulative"):
        for suffix, show in (("", "print_stats"), ("-callers", "print_callers")):
            with open("%s.%s%s" % (base, order, suffix), "w") as out:
                getattr(pstats.Stats(*files, stream=out).sort_stats(order), show)()
