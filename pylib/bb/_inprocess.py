"""The cooker as a program's own: what a server of its own process would be on the reference.

While a command of the cooker runs, the process looks as the cooker wants it: its environment, its
directory, its log records as events. In between it is the program's.
"""

import logging
import os
from contextlib import contextmanager

import _hz_cooker
import bb
import bb.event
import bb.msg
import bb.utils

logger = logging.getLogger("BitBake")


class _Show(logging.Handler):
    """Records of the program itself, once the terminal shows things: as those of the cooker."""

    def emit(self, record):
        _hz_cooker.show(record.levelno, record.name, self.format(record))


class Connection:
    """An open cooker. One a process."""

    def __init__(self, options):
        # Set by set_event_mask: (level, domains, classes), or None for everything.
        self.mask = None
        self.handle = 1
        self._depth = 0
        # The cooker's environment and directory while the program is at work.
        self._cookers = None
        environment = dict(os.environ)
        with self.inside():
            bb.utils.clean_environment()
            _hz_cooker.open(environment, options)
        self.open = True

    @contextmanager
    def inside(self):
        """Makes the process the cooker's for a while."""
        self._depth += 1
        if self._depth > 1:
            try:
                yield
            finally:
                self._depth -= 1
            return
        handlers, level = logger.handlers, logger.level
        logger.handlers = [bb._to_events]
        logger.setLevel(logging.DEBUG - 2)
        before = dict(os.environ), os.getcwd()
        if self._cookers:
            self._enter(*self._cookers)
        try:
            yield
        finally:
            self._cookers = dict(os.environ), os.getcwd()
            self._enter(*before)
            logger.handlers = handlers
            logger.setLevel(level)
            self._depth -= 1

    @staticmethod
    def _enter(environment, directory):
        for name in [name for name in os.environ if name not in environment]:
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        try:
            os.chdir(directory)
        except OSError:
            # Somebody removed the program's directory meanwhile.
            pass

    def wanted(self, event):
        """Does the mask want this event?"""
        if isinstance(event, logging.LogRecord):
            level, domains = self.mask[:2] if self.mask else bb.msg.constructLogOptions()
            return event.levelno >= min(level, domains.get(event.name, level))
        if self.mask is None or "*" in self.mask[2]:
            return True
        return "%s.%s" % (type(event).__module__, type(event).__qualname__) in self.mask[2]

    def next_event(self):
        """The next event that the mask wants, or None."""
        while True:
            event = _hz_cooker.next_event()
            if event is None or self.wanted(event):
                return event

    def interface(self, work):
        """Runs `work` with the terminal as the interface; gives the interface's exit status."""
        before = _hz_cooker.hold(False)
        failed = False
        try:
            with self.inside():
                _hz_cooker.configure_terminal()
                work()
        except bb.BBHandledException:
            failed = True
        finally:
            status = _hz_cooker.finish_interface()
            _hz_cooker.hold(before)
        return status or int(failed)

    def show_handler(self):
        return _Show()

    def close(self):
        if self.open:
            self.open = False
            with self.inside():
                _hz_cooker.close()
