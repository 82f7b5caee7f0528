"""The store's Python face: pickling, and what a read gives. Run by values.rs in our VM."""

import copy
import os
import pickle
import signal
import time

import bb.data


def filled():
    d = bb.data.init()
    d.enableTracking()
    d.setVar("OVERRIDES", "one", parsing=True)
    d.setVar("A", "a", parsing=True, file="f.conf", line=3)
    d.setVar("A:append:one", "+${B}", parsing=True)
    d.setVar("A:remove:two", "a", parsing=True)
    d.setVar("B", "b")
    d.setVar("B:one", "b1", parsing=True)
    d.setVarFlag("A", "doc", "text")
    d.setVarFlag("A", "number", 1)
    d.setVarFlag("WEAK", "_defaultval", "w")
    d.setVar("LIST", ["x", ("y", 2)])
    d.setVar("TUPLE", (1, [2]))
    d.setVar("NONE", None)
    d.setVar("__depends", [("file", 1.5)])
    inner = bb.data.init()
    inner.setVar("I", "inner")
    d.setVar("STORE", inner)
    return d


def pickling():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        d = filled()
        new = pickle.loads(pickle.dumps(d, protocol))
        assert type(new) is type(d) and new is not d
        assert sorted(new.keys()) == sorted(d.keys())
        for name in d.keys():
            if name != "STORE":
                assert new.getVar(name) == d.getVar(name), name
                assert type(new.getVar(name)) is type(d.getVar(name)), name
                assert new.getVar(name, False) == d.getVar(name, False), name
            assert new.getVarFlags(name) == d.getVarFlags(name), name
        assert new.getVar("A") == "a+b1" and new.getVar("WEAK") == "w"
        assert new.getVar("STORE").getVar("I") == "inner"
        assert new.varhistory.variable("A") == d.varhistory.variable("A")
        new.setVar("OVERRIDES", "two")
        assert new.getVar("A") == "" and d.getVar("A") == "a+b1"
    d = filled()
    other = copy.copy(d)
    other.setVar("B", "changed")
    assert d.getVar("B") == "b1"
    for bad in ((), ((), (), (), (), True, ()), ((1,), (), (), (), True, (), ())):
        try:
            __import__("_hz_data").restore(bb.data.init(), bad)
        except (ValueError, TypeError):
            pass
        else:
            raise AssertionError("a bad state is taken: %r" % (bad,))


def identity():
    d = bb.data.init()
    d.setVar("X", "value")
    d.setVar("Y", "${X}")
    assert d.getVar("X", False) is d.getVar("X", False)
    assert d.getVar("Y") is d.getVar("Y")
    before = d.getVar("X", False)
    d.setVar("X", "other")
    assert d.getVar("X", False) == "other" and before == "value"
    # More texts than are remembered.
    for n in range(2000):
        d.setVar("V%d" % n, "text %d" % n)
    assert all(d.getVar("V%d" % n) == "text %d" % n for n in range(2000))


def signals():
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    seen = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
    os.kill(os.getpid(), signal.SIGUSR2)
    # Another thread of the test program may be the one that is interrupted.
    end = time.monotonic() + 20
    while not seen and time.monotonic() < end:
        time.sleep(0.01)
    assert seen == [signal.SIGUSR2] and before == signal.SIG_DFL
    signal.signal(signal.SIGUSR2, before)
    # SIGSEGV has a handler of native code: Rust's, that tells of stack overflows.
    native = signal.getsignal(signal.SIGSEGV)
    if native not in (signal.SIG_DFL, signal.SIG_IGN):
        address = __import__("_hz_utils").signal_handler(signal.SIGSEGV)
        assert callable(native)
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        assert __import__("_hz_utils").signal_handler(signal.SIGSEGV) == 0
        assert signal.signal(signal.SIGSEGV, native) == signal.SIG_DFL
        assert __import__("_hz_utils").signal_handler(signal.SIGSEGV) == address
        assert signal.getsignal(signal.SIGSEGV) is native


pickling()
identity()
signals()
