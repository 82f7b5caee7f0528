"""The Python side of the build engine, as metadata imports it.

Log messages of all `BitBake…` loggers leave through bb.event; submodules are imported when they
are first named, since metadata names them without importing them.
"""

__version__ = "2.18.0"

import builtins
import importlib
import logging
import os
import sys
from collections import namedtuple


class BBHandledException(Exception):
    """Something failed and the user has been told: nobody says more about it."""


class NullHandler(logging.Handler):
    """Takes records and does nothing with them."""

    def emit(self, record):
        pass


class BBLoggerMixin:
    """The levels between those of logging."""

    def __init__(self, *args, **kwargs):
        # Takes whatever a class derived from two bases passes on.
        pass

    def setup_bblogger(self, name):
        if name.partition(".")[0] == "BitBake":
            self.debug = self._debug_helper

    def _debug_helper(self, *args, **kwargs):
        return self.bbdebug(1, *args, **kwargs)

    def debug2(self, *args, **kwargs):
        return self.bbdebug(2, *args, **kwargs)

    def debug3(self, *args, **kwargs):
        return self.bbdebug(3, *args, **kwargs)

    def wants_debug(self, level):
        """Did anybody ask for debug messages of a level? In tasks all are, whose log files hold them."""
        event = sys.modules.get("bb.event")
        if event and event.worker_pid:
            return True
        return logging.DEBUG - level + 1 >= min(msg_module.loggerDefaultLogLevel, msg_module.loggerDefaultDomains.get(self.name, 100))

    def bbdebug(self, level, msg, *args, **kwargs):
        """Debug messages of a level; those nobody asked for are dropped here."""
        number = logging.DEBUG - level + 1
        if not self.wants_debug(level):
            return None
        if not isinstance(msg, str):
            mainlogger.warning("Invalid arguments in bbdebug: %s" % repr((level, msg) + args))
        return self.log(number, msg, *args, **kwargs)

    def plain(self, msg, *args, **kwargs):
        return self.log(logging.INFO + 1, msg, *args, **kwargs)

    def verbose(self, msg, *args, **kwargs):
        return self.log(logging.INFO - 1, msg, *args, **kwargs)

    def verbnote(self, msg, *args, **kwargs):
        return self.log(logging.INFO + 2, msg, *args, **kwargs)

    def warnonce(self, msg, *args, **kwargs):
        return self.log(logging.WARNING - 1, msg, *args, **kwargs)

    def erroronce(self, msg, *args, **kwargs):
        return self.log(logging.ERROR - 1, msg, *args, **kwargs)


class BBLogger(logging.getLoggerClass(), BBLoggerMixin):
    def __init__(self, name, *args, **kwargs):
        self.setup_bblogger(name)
        super().__init__(name, *args, **kwargs)


class BBLoggerAdapter(logging.LoggerAdapter, BBLoggerMixin):
    def __init__(self, logger, *args, **kwargs):
        self.setup_bblogger(logger.name)
        super().__init__(logger, *args, **kwargs)


logging.raiseExceptions = False
logging.setLoggerClass(BBLogger)
logging.LoggerAdapter = BBLoggerAdapter


class _ToEvents(logging.Handler):
    """Every record becomes an event. Attached once, to the root of our loggers."""

    _handler = None

    def handle(self, record):
        handler = _ToEvents._handler
        if handler is None:
            import bb.event

            handler = _ToEvents._handler = bb.event.LogHandler()
        return handler.handle(record)


logger = logging.getLogger("BitBake")
_to_events = _ToEvents()
logger.addHandler(_to_events)
logger.setLevel(logging.DEBUG - 2)

mainlogger = logging.getLogger("BitBake.Main")


class PrefixLoggerAdapter(BBLoggerAdapter):
    """Puts a text in front of every message."""

    def __init__(self, prefix, logger):
        super().__init__(logger, {})
        self.__msg_prefix = prefix

    def process(self, msg, kwargs):
        return "%s%s" % (self.__msg_prefix, msg), kwargs


# Metadata and the libraries it imports use both names without importing them.
builtins.bb = sys.modules[__name__]
builtins.os = os

import bb.msg as msg_module


def plain(*args):
    """Prints a message as it is."""
    mainlogger.plain("".join(args))


def debug(lvl, *args):
    """Prints a debug message of a level (1 to 3: with -D to -DDD)."""
    if isinstance(lvl, str):
        mainlogger.warning("Passed invalid debug level '%s' to bb.debug", lvl)
        args = (lvl,) + args
        lvl = 1
    mainlogger.bbdebug(lvl, "".join(args))


def note(*args):
    """Prints a note."""
    mainlogger.info("".join(args))


def verbnote(*args):
    """Prints a note that shows on the console as well."""
    mainlogger.verbnote("".join(args))


def warn(*args):
    """Prints a warning."""
    mainlogger.warning("".join(args))


def warnonce(*args):
    """Prints a warning, the same text once."""
    mainlogger.warnonce("".join(args))


def error(*args, **kwargs):
    """Prints an error; keywords become attributes of the record."""
    mainlogger.error("".join(args), extra=kwargs)


def erroronce(*args):
    """Prints an error, the same text once."""
    mainlogger.erroronce("".join(args))


def fatal(*args, **kwargs):
    """Prints an error and ends what runs."""
    mainlogger.critical("".join(args), extra=kwargs)
    raise BBHandledException()


def deprecated(func, name=None, advice=""):
    """Wraps a function so that calls of it warn."""
    import functools
    import warnings

    text = "Call to deprecated function %s%s." % (name or func.__name__, ": %s" % advice if advice else "")

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        warnings.warn(text, category=DeprecationWarning, stacklevel=2)
        return func(*args, **kwargs)

    return wrapper


def deprecate_import(current, modulename, fromlist, renames=None):
    """Offers names of one module in another, with a warning at each call."""
    module = __import__(modulename, fromlist=fromlist)
    for old, new in zip(fromlist, renames or fromlist):
        advice = "Please use {0}.{1} instead".format(modulename, old)
        setattr(sys.modules[current], new, deprecated(getattr(module, old), "{0}.{1}".format(current, old), advice))


TaskData = namedtuple(
    "TaskData", ["pn", "taskname", "fn", "deps", "provides", "taskhash", "unihash", "hashfn", "taskhash_deps"]
)


class MultiprocessingContext:
    """`multiprocessing` with the fork context: children share what was read and parsed."""

    def __getattr__(self, name):
        # Not before somebody uses it: it brings sockets and more, and most who import it do not.
        import multiprocessing as mp

        context = mp.get_context("fork")
        if name in ("_mp", "_ctx"):
            return mp if name == "_mp" else context
        return getattr(context if hasattr(context, name) else mp, name)

    def __setattr__(self, name, value):
        raise AttributeError("Unable to set attribute %s" % name)


def __getattr__(name):
    if name == "multiprocessing":
        value = globals()[name] = MultiprocessingContext()
        return value
    if not name.startswith("_"):
        try:
            # From now on it is found at once, also where it is another module's second name.
            module = globals()[name] = importlib.import_module("bb." + name)
            return module
        except ModuleNotFoundError as exc:
            if exc.name != "bb." + name:
                raise
    raise AttributeError("module 'bb' has no attribute %r" % name)
