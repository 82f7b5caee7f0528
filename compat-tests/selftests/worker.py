"""Runs tests of the reference in one process and reports each as a line of JSON on its first output.

    worker.py list LIB MODULE...     the tests of modules
    worker.py run LIB TEST...        runs them

Under CPython `bb` is that of LIB, in our runtime it is ours, with the tests of LIB beside it.
"""

import importlib
import json
import os
import sys
import tempfile
import time
import traceback
import unittest

MODULES = ["bb.tests." + name for name in ("codeparser", "color", "cooker", "cow", "data", "event", "fetch", "parse", "runqueue", "setup",
                                           "siggen", "utils", "compression", "filter")]
MODULES += ["hashserv.tests", "prserv.tests", "layerindexlib.tests"]
OURS = sys.implementation.name == "rustpython"


class Result(unittest.TestResult):
    """Tells how every test began and ended."""

    def __init__(self, report):
        super().__init__()
        self.report = report
        self.buffer = True
        self.began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.report(began=test.id())

    def end(self, test, outcome, why=""):
        if not isinstance(why, str):
            why = self._exc_info_to_string(why, test)
        # A test with failing parts ends more than once; whoever reads takes the worst.
        self.report(ended=test.id(), outcome=outcome, why=why, seconds=round(time.monotonic() - self.began, 2))

    def addSuccess(self, test):
        self.end(test, "passed")

    def addError(self, test, err):
        self._mirrorOutput = True
        self.end(test, "error", err)

    def addFailure(self, test, err):
        self._mirrorOutput = True
        self.end(test, "failed", err)

    def addSkip(self, test, reason):
        self.end(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.end(test, "passed")

    def addUnexpectedSuccess(self, test):
        self.end(test, "failed", "passes though it is said to fail")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failure = issubclass(err[0], test.failureException)
            self.end(test, "failed" if failure else "error", err)

    def _restoreStdout(self):
        # What a test printed is in its own report, and goes nowhere else.
        self._mirrorOutput = False
        super()._restoreStdout()


def cases(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def main():
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.set_inheritable(out.fileno(), False)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sender = os.getpid()

    def report(**what):
        # A test may fork and its child raise through here.
        if os.getpid() == sender:
            out.write(json.dumps(what) + "\n")
            out.flush()

    try:
        verb, lib, names = sys.argv[1], sys.argv[2], sys.argv[3:]
        if OURS:
            from bb import _selftest

            _selftest.plant(lib, os.path.join(tempfile.mkdtemp(), "bitbake"))
        else:
            sys.path.insert(0, lib)
            os.environ["PATH"] = os.path.join(os.path.dirname(lib), "bin") + ":" + os.environ["PATH"]
        import logging

        import bb

        class ToStdout(logging.StreamHandler):
            def __init__(self):
                logging.Handler.__init__(self)

            stream = property(lambda self: sys.stdout)

        bb.logger.addHandler(ToStdout())
        bb.logger.setLevel(logging.DEBUG)
        # As the reference's own program: tests lean on what the modules of others import.
        for module in MODULES:
            try:
                importlib.import_module(module)
            except ImportError:
                pass
        loader = unittest.TestLoader()
        suite = loader.loadTestsFromNames(names)
        if verb == "list":
            report(version=bb.__version__)
            for case in cases(suite):
                if type(case).__name__ == "_FailedTest":
                    report(missing=case.id().rpartition(".")[2], why=str(case._exception))
                else:
                    report(test=case.id())
        else:
            suite.run(Result(report))
    except BaseException:
        report(broken=traceback.format_exc())
    finally:
        report(done=True)
        out.flush()
        # Threads that tests left behind must not keep the process.
        os._exit(0)


main()
