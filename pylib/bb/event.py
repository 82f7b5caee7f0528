"""Events: their classes, the metadata functions that handle them, and the way to user interfaces.

An event goes to the class handlers (metadata's `addhandler` functions) in the process that fires
it, with the store it happened in, and then to the user interface: natively through `_hz_events`,
and to handlers that Python code registered here.
"""

import atexit
import logging
import os
import pickle
import sys
import threading
import traceback

import _hz_data
import _hz_events
import bb
import bb.utils
from bb._events import *

logger = logging.getLogger("BitBake.Event")

# Set in a task's process: its pid, which events carry, and a function that takes over the firing.
worker_pid = 0
worker_fire = None

# What register() gives.
Registered = 10
AlreadyRegistered = 14

# Class handlers: function by name in order of registration; names by event class; names for all.
_handlers = {}
_event_handler_map = {}
_catchall_handlers = {}
_eventfilter = None

# Interfaces that Python code registered, by number, and what of the events each wants.
_ui_handlers = {}
_ui_logfilters = {}
_ui_handler_seq = 0
_uiready = False
_thread_lock = threading.Lock()
# Events that wait for the first interface.
ui_queue = []

_heartbeat_enabled = False
_should_exit = threading.Event()


def _class_name(event):
    """`module.Class`: what masks hold."""
    cls = type(event)
    return "%s.%s" % (cls.__module__, cls.__qualname__)


# -- Class handlers


def get_class_handlers():
    return _handlers


def set_class_handlers(h):
    global _handlers
    _handlers = h


def clean_class_handlers():
    return {}


def forget_handlers():
    """Drops all class handlers: the configuration that registered them is read again."""
    _handlers.clear()
    _event_handler_map.clear()
    _catchall_handlers.clear()


get_handlers = get_class_handlers
set_handlers = set_class_handlers


def set_eventfilter(func):
    """A function (name, handler, event, d) that decides whether a handler is called."""
    global _eventfilter
    _eventfilter = func


def _qualified(name, data):
    """Handlers of a further configuration have its name in front."""
    mc = data.getVar("BB_CURRENT_MC") if data is not None else None
    return mc.replace("-", "_") + name if mc else name


def _handlers_of(data):
    return data.getVar("__BBHANDLERS_MC") or set()


def _registered_with(data, name):
    if isinstance(data, _hz_data.Store):
        return _hz_data.set_holds(data, "__BBHANDLERS_MC", name)
    return name in _handlers_of(data)


def _noop(event, d=None):
    pass


def _compile_handler(name, text, filename, lineno):
    """The function of a handler's body, with the line numbers of its file."""
    source = "def %s(e, d):\n%s" % (name, text)
    code = bb.utils._code_cache.get((source, filename, lineno))
    if code is None:
        padded = "\n" * (lineno - 1) + source if lineno is not None else source
        try:
            code = compile(padded, filename or "%s(e, d)" % name, "exec")
        except SyntaxError:
            logger.error("Unable to register event handler '%s':\n%s", name, "".join(traceback.format_exc(limit=0)))
            return None
        bb.utils._code_cache[source, filename, lineno] = code
    namespace = {}
    bb.utils.better_exec(code, namespace)
    if filename and lineno is not None:
        _hz_data.note_source(namespace[name], source, filename, lineno - 1)
    return namespace[name]


def register(name, handler, mask=None, filename=None, lineno=None, data=None):
    """Registers a class handler: a function, or the text of one's body with its place.

    `mask` holds the class names of the events it wants, `*` or nothing for all. With `data` it is
    called only for events of stores that were registered with.
    """
    name = _qualified(name, data)
    if name in _handlers:
        if data is not None and not _registered_with(data, name):
            data.setVar("__BBHANDLERS_MC", _handlers_of(data) | {name})
        return AlreadyRegistered
    if handler is None:
        return None

    if isinstance(handler, str):
        function = _compile_handler(name, handler, filename, lineno)
        if function is None:
            # Told already; the name is taken so that it is not told again.
            _handlers[name] = _noop
            return None
        handler = function
    _handlers[name] = handler

    if not mask or "*" in mask:
        _catchall_handlers[name] = True
    else:
        for wanted in mask:
            _event_handler_map.setdefault(wanted, {})[name] = True
    if data is not None:
        data.setVar("__BBHANDLERS_MC", _handlers_of(data) | {name})
    return Registered


def remove(name, handler, data=None):
    """Takes a class handler back."""
    name = _qualified(name, data)
    del _handlers[name]
    _catchall_handlers.pop(name, None)
    for names in _event_handler_map.values():
        names.pop(name, None)
    if data is not None:
        remaining = _handlers_of(data)
        if name in remaining:
            data.setVar("__BBHANDLERS_MC", remaining - {name})


def execute_handler(name, handler, event, d):
    """Calls a class handler; what it raises is logged and passes."""
    event.data = d
    try:
        handler(event, d)
    except BaseException as exc:
        # Without our own frame.
        _tell_failed(name, exc, exc.__traceback__.tb_next)
        raise
    finally:
        del event.data


def _tell_failed(name, exc, trace=None):
    """Logs what a class handler raised, unless that is an ordinary way to end."""
    if isinstance(exc, (bb.parse.SkipRecipe, bb.BBHandledException)):
        return
    if isinstance(exc, Exception):
        logger.error("Execution of event handler '%s' failed" % name, exc_info=(type(exc), exc, trace or exc.__traceback__))
    elif isinstance(exc, SystemExit) and exc.code != 0:
        logger.error("Execution of event handler '%s' failed" % name)


def fire_class_handlers(event, d):
    """Calls the class handlers whose mask wants the event, in order of registration."""
    if isinstance(event, logging.LogRecord):
        return
    wanting = _event_handler_map.get(_class_name(event), ())
    if not wanting and not _catchall_handlers:
        return
    for name, handler in list(_handlers.items()):
        if name not in wanting and name not in _catchall_handlers:
            continue
        if _eventfilter and not _eventfilter(name, handler, event, d):
            continue
        if d is not None and not _registered_with(d, name):
            continue
        execute_handler(name, handler, event, d)


# -- Firing


def fire(event, d):
    """Sends an event to the class handlers and to the user interface."""
    fire_class_handlers(event, d)
    fire_to_others(event, d)


def fire_to_others(event, d):
    """The part of firing after the class handlers."""
    if worker_fire:
        worker_fire(event, d)
        return
    if _uiready and ui_queue:
        _flush_queue(d)
    fire_ui_handlers(event, d)


# Native code stands in for these, as long as they are the module's.
_FIRING = (fire, fire_class_handlers, execute_handler)


def fire_from_worker(event, d):
    fire_ui_handlers(event, d)


def fire_ui(event):
    """Sends an event to the native readers."""
    if isinstance(event, logging.LogRecord):
        text = event.getMessage()
        trace = getattr(event, "bb_exc_formatted", None)
        if trace is not None:
            text += "\n" + "".join(trace)
        taskpid = getattr(event, "taskpid", worker_pid)
        _hz_events.log(event.levelno, event.name, text, event.process or os.getpid(), taskpid, getattr(event, "fn", None))
    else:
        name = _class_name(event)
        if _hz_events.wanted(name):
            _hz_events.emit_ui(name, event.__dict__, getattr(event, "pid", 0) or os.getpid())


def fire_ui_handlers(event, d):
    """Sends an event to every user interface; keeps it while there is none."""
    native = _hz_events.active()
    if native:
        fire_ui(event)
    if not _uiready:
        if not native:
            ui_queue.append(event)
        return
    with bb.utils.lock_timeout_nocheck(_thread_lock) as held:
        if not held:
            # An interface's handler has fired this: it comes after the current one.
            ui_queue.append(event)
            return
        _send(event)
    _flush_queue(d)


def _flush_queue(d):
    while ui_queue:
        with bb.utils.lock_timeout_nocheck(_thread_lock) as held:
            if not held:
                return
            _send(ui_queue.pop(0))


def _send(event):
    """Hands an event to the registered interfaces; one that fails is dropped."""
    for number, handler in list(_ui_handlers.items()):
        try:
            if not _ui_logfilters[number].filter(event):
                continue
            if hasattr(handler.event, "sendpickle"):
                handler.event.sendpickle(pickle.dumps(event))
            else:
                handler.event.send(event)
        except Exception:
            _ui_handlers.pop(number, None)


@atexit.register
def _print_at_exit():
    # Without a handler of that kind the reference's loggers tell events nothing, so there nothing waits.
    if any(isinstance(handler, LogHandler) for handler in logging.getLogger("BitBake").handlers):
        print_ui_queue()


def print_ui_queue():
    """At exit without an interface ever: shows the log records on the terminal."""
    if _uiready or not ui_queue:
        return
    from bb.msg import BBLogFormatter

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    records = [event for event in ui_queue if isinstance(event, logging.LogRecord)]
    ui_queue.clear()
    troubled = any(record.levelno >= logging.WARNING for record in records)
    # Debug messages only where there is nothing else to show.
    proper = [record for record in records if record.levelno > logging.DEBUG] or records
    console = logging.StreamHandler(sys.stderr if troubled else sys.stdout)
    console.setFormatter(BBLogFormatter("%(levelname)s: %(message)s"))
    bitbake = logging.getLogger("BitBake")
    bitbake.addHandler(console)
    try:
        for record in proper:
            bitbake.handle(record)
    finally:
        bitbake.removeHandler(console)


# -- Interfaces in Python


class UIEventFilter:
    """What of the events an interface wants: log records from a level on, other events by class."""

    def __init__(self, level, debug_domains):
        self.update(None, level, debug_domains)

    def update(self, eventmask, level, debug_domains):
        self.eventmask = eventmask
        self.stdlevel = level
        self.debug_domains = debug_domains

    def filter(self, event):
        if isinstance(event, logging.LogRecord):
            return event.levelno >= min(self.stdlevel, self.debug_domains.get(event.name, self.stdlevel))
        return not self.eventmask or _class_name(event) in self.eventmask


def register_UIHhandler(handler, mainui=False):
    """Registers an interface: `handler.event` has send(event) or sendpickle(bytes). Gives its number."""
    global _ui_handler_seq, _uiready
    with bb.utils.lock_timeout(_thread_lock):
        _ui_handler_seq += 1
        _ui_handlers[_ui_handler_seq] = handler
        _ui_logfilters[_ui_handler_seq] = UIEventFilter(*bb.msg.constructLogOptions())
        if mainui:
            _uiready = _ui_handler_seq
        return _ui_handler_seq


def unregister_UIHhandler(handlerNum, mainui=False):
    global _uiready
    if mainui:
        _uiready = False
    with bb.utils.lock_timeout(_thread_lock):
        _ui_handlers.pop(handlerNum, None)


def get_uihandler():
    """Number of the main interface, or None."""
    return None if _uiready is False else _uiready


def set_UIHmask(handlerNum, level, debug_domains, mask):
    """Sets what an interface wants; False if there is none of that number."""
    if handlerNum not in _ui_handlers:
        return False
    _ui_logfilters[handlerNum].update(None if "*" in mask else mask, level, debug_domains)
    return True


class LogHandler(logging.Handler):
    """Turns log records into events."""

    def emit(self, record):
        # A record is one event, however many of us it passes, and also when it is shown again.
        if getattr(record, "bb_fired", False):
            return
        record.bb_fired = True
        if record.exc_info:
            record.bb_exc_formatted = traceback.format_exception(*record.exc_info)
            record.exc_info = None
        fire(record, None)

    def filter(self, record):
        record.taskpid = worker_pid
        return True


# -- The rest


def getName(e):
    """Name of a class, or of an object's class."""
    return getattr(e, "__name__", None) or type(e).__name__


def check_for_interrupts():
    """Ends what runs long, if the user asked for it."""
    if _should_exit.is_set():
        bb.warn("Exiting due to interrupt.")
        raise bb.BBHandledException()


def enable_threadlock():
    """Kept for metadata that calls it: events are always locked."""


def disable_threadlock():
    """Kept for metadata that calls it: events are always locked."""


def enable_heartbeat():
    global _heartbeat_enabled
    _heartbeat_enabled = True


def disable_heartbeat():
    global _heartbeat_enabled
    _heartbeat_enabled = False
