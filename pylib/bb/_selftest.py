"""`bitbake-selftest`: the reference's own tests, run against this `bb`.

We do not ship the tests. They are looked for in a BitBake that the user has, and run, unmodified, from
a temporary tree of links in which `bin/` is ours and `lib/` holds the tests alone: whatever else they
import is what metadata gets.
"""

import atexit
import importlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import warnings

MODULES = (
    "bb.tests.codeparser",
    "bb.tests.color",
    "bb.tests.cooker",
    "bb.tests.cow",
    "bb.tests.data",
    "bb.tests.event",
    "bb.tests.fetch",
    "bb.tests.parse",
    "bb.tests.runqueue",
    "bb.tests.setup",
    "bb.tests.siggen",
    "bb.tests.utils",
    "bb.tests.compression",
    "bb.tests.filter",
    "hashserv.tests",
    "prserv.tests",
    "layerindexlib.tests.layerindexobj",
    "layerindexlib.tests.restapi",
    "layerindexlib.tests.cooker",
)

# What of a BitBake's lib folder is tests.
_PARTS = ("bb/tests", "hashserv/tests", "hashserv/tests.py", "prserv/tests", "prserv/tests.py", "layerindexlib/tests")

_HELP = """\
Environment variables:
  HITZELEITER_TESTS     the lib folder of the BitBake whose tests are to run
  BB_SKIP_NETTESTS      'yes': tests that need the network are skipped
  BB_TMPDIR_NOCLEAN     'yes': what tests leave in their folders is kept
"""


def _layers(folder):
    """The layers that a build directory names, as far as they are plain paths."""
    try:
        with open(os.path.join(folder, "conf", "bblayers.conf")) as file:
            text = file.read().replace("${TOPDIR}", folder)
    except OSError:
        return []
    return re.findall(r"/[^\s\"'$]+", text)


def _cores():
    """Folders that may be OE-core: around the current one, and those the build directory names."""
    here = os.getcwd()
    for name in ("BUILDDIR", "BBPATH"):
        for folder in [here] + os.environ.get(name, "").split(":"):
            for layer in _layers(folder) if folder else ():
                yield os.path.dirname(layer.rstrip("/"))
    while True:
        yield here
        yield os.path.join(here, "openembedded-core")
        if here == os.path.dirname(here):
            return
        here = os.path.dirname(here)


def find_lib():
    """The lib folder of a BitBake that has tests."""
    named = os.environ.get("HITZELEITER_TESTS")
    if named:
        if os.path.isdir(os.path.join(named, "bb", "tests")):
            return os.path.abspath(named)
        sys.exit("ERROR: HITZELEITER_TESTS: no bb/tests in %s" % named)
    for core in _cores():
        if os.path.isfile(os.path.join(core, "meta", "conf", "bitbake.conf")):
            for folder in (os.path.join(core, "bitbake"), os.path.join(os.path.dirname(core), "bitbake")):
                if os.path.isdir(os.path.join(folder, "lib", "bb", "tests")):
                    return os.path.join(folder, "lib")
    sys.exit(
        "ERROR: no tests found: no BitBake with them stands inside or beside OE-core. "
        "HITZELEITER_TESTS names the lib folder of one."
    )


def _binary():
    return os.path.realpath("/proc/self/exe")


def plant(lib, tree):
    """Makes the tree of links and lets this process import the tests from it."""
    names = subprocess.run(["hitzeleiter", "internal-names"], executable=_binary(), check=True, capture_output=True, text=True)
    os.makedirs(os.path.join(tree, "bin"))
    for name in names.stdout.split() + ["hitzeleiter"]:
        os.symlink(_binary(), os.path.join(tree, "bin", name))
    for part in _PARTS:
        source = os.path.join(lib, part)
        if os.path.exists(source):
            place = os.path.join(tree, "lib", part)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(source, place)
    os.environ["PATH"] = os.path.join(tree, "bin") + ":" + os.environ.get("PATH", "")
    for name in sorted({part.partition("/")[0] for part in _PARTS}):
        folder = os.path.join(tree, "lib", name)
        if os.path.isdir(folder):
            try:
                package = importlib.import_module(name)
            except ModuleNotFoundError:
                # Not ours: its tests will say so.
                sys.path.append(os.path.dirname(folder))
            else:
                package.__path__ = list(package.__path__) + [folder]


def _exists(module):
    """Does the lib folder have these tests? Whether they can be imported is for the run to tell."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


class _ToStdout(logging.StreamHandler):
    """Writes to what is `sys.stdout` at the time: the test runner changes it for every test."""

    def __init__(self):
        logging.Handler.__init__(self)

    @property
    def stream(self):
        return sys.stdout


def set_up_logging():
    import bb

    bb.logger.addHandler(_ToStdout())
    bb.logger.setLevel(logging.DEBUG)


class _Main(unittest.main):
    def createTests(self, from_discovery=False, Loader=None):
        # By their whole names: here is no module that holds them all.
        if self.testNamePatterns:
            self.testLoader.testNamePatterns = self.testNamePatterns
        self.test = self.testLoader.loadTestsFromNames(self.testNames)

    def _print_help(self, *args, **kwargs):
        super()._print_help(*args, **kwargs)
        print(_HELP)


def main():
    warnings.simplefilter("default")
    tree = tempfile.mkdtemp(prefix="bitbake-selftest-")
    starter = os.getpid()
    # Tests fork; only the process that made the tree removes it.
    atexit.register(lambda: starter == os.getpid() and shutil.rmtree(tree, ignore_errors=True))
    lib = None if {"-h", "--help"} & set(sys.argv[1:]) else find_lib()
    tests = []
    if lib:
        plant(lib, tree)
        set_up_logging()
        tests = [name for name in MODULES if _exists(name)]
    sys.argv[0] = "bitbake-selftest"
    _Main(module=sys.modules[__name__], defaultTest=tests, buffer=True)
