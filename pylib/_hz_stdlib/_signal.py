"""Signal handlers that were there before Python: `signal.getsignal` tells them, `signal.signal` puts
them back.

The interpreter is started without looking at what signals do, so it knows of no handler but those that
Python code sets.
"""

import signal

import _hz_utils

_getsignal, _signal = signal.getsignal, signal.signal


class _NativeHandler:
    """A handler that is not Python's. Can be set again, and called only by the kernel."""

    def __init__(self, address):
        self._address = address

    def __call__(self, signalnum, frame):
        raise RuntimeError("the handler of signal %d is native code" % signalnum)


def _present(signalnum, known):
    """The handler in force, of which our interpreter says `known`."""
    if known is not None:
        return known
    address = _hz_utils.signal_handler(int(signalnum))
    if address in (0, 1):
        return signal.Handlers(address)
    return _NativeHandler(address)


# Native handlers that were put back: the interpreter believes the default in force.
_native = {}


def getsignal(signalnum):
    return _present(signalnum, _native.get(int(signalnum)) or _getsignal(signalnum))


def set_handler(signalnum, handler):
    before = getsignal(signalnum)
    if isinstance(handler, _NativeHandler):
        # First the default, so that the Python handler is forgotten.
        _signal(signalnum, signal.SIG_DFL)
        _hz_utils.set_signal_handler(int(signalnum), handler._address)
        _native[int(signalnum)] = handler
    else:
        _signal(signalnum, handler)
        _native.pop(int(signalnum), None)
    return before


set_handler.__name__ = set_handler.__qualname__ = "signal"
signal.getsignal, signal.signal = getsignal, set_handler
