"""Modules that take long to start and that most commands never use: they run when something of them is
first named, however they were imported. Here are those of the standard library; `defer` is for the layers'.

Every command starts an interpreter, and `import logging` alone brings `traceback`, which brings
`inspect` and `dataclasses`: half of the start. A module that is not run yet stands in `sys.modules` like
any other.
"""

import sys

import _frozen_importlib
import _hz_imports
from _frozen_importlib import FrozenImporter, _find_spec, module_from_spec
from _thread import RLock

_NAMES = frozenset((
    "_pydecimal", "argparse", "ast", "base64", "bz2", "codeop", "compression.zstd", "dataclasses", "dis", "fnmatch", "glob", "inspect",
    "ipaddress", "json", "linecache", "locale", "logging.config", "logging.handlers", "lzma", "multiprocessing", "pickle", "random", "select", "shutil", "signal", "socket",
    "subprocess", "tempfile", "textwrap", "tokenize", "traceback", "uuid", "zipfile",
))

# Packages of which others than their own module import parts.
_PACKAGES = frozenset((
    "concurrent", "email", "html", "http", "logging", "urllib", "xml", "xml.dom", "xml.etree", "xml.sax", "xmlrpc",
))

# What `inspect` reads of `dis` to run, and nothing else of it: that stays put off.
_COMPILER_FLAG_NAMES = {
    1: "OPTIMIZED", 2: "NEWLOCALS", 4: "VARARGS", 8: "VARKEYWORDS", 16: "NESTED", 32: "GENERATOR", 64: "NOFREE", 128: "COROUTINE",
    256: "ITERABLE_COROUTINE", 512: "ASYNC_GENERATOR", 0x4000000: "HAS_DOCSTRING", 0x8000000: "METHOD",
}

# What the import system itself reads and writes of a module.
_OWN = frozenset(("__class__", "__spec__", "__name__", "__loader__", "__package__", "__path__", "__file__", "__cached__"))

_Module = type(sys)
_lock = RLock()

# The functions of _offer_parts.
_offers = []

# Module -> modules to be run once it was.
_followers = {}

# Module -> its documentation, where that was set from outside before it was run: `decimal` does so with `_pydecimal`, which
# stands in its place.
_docs = {}


class _NotRunYet(_Module):
    def __getattribute__(self, name):
        if name not in _OWN:
            if name == "COMPILER_FLAG_NAMES" and _Module.__getattribute__(self, "__name__") == "dis":
                return _COMPILER_FLAG_NAMES
            _run(self)
        return _Module.__getattribute__(self, name)

    def __setattr__(self, name, value):
        if name == "__doc__":
            _docs[self.__spec__.name] = value
            return
        if name not in _OWN:
            _run(self)
        _Module.__setattr__(self, name, value)

    def __delattr__(self, name):
        _run(self)
        _Module.__delattr__(self, name)

    def __dir__(self):
        _run(self)
        return _Module.__dir__(self)


def _run(module):
    with _lock:
        if _Module.__getattribute__(module, "__class__") is not _NotRunYet:
            return
        # From here on it is as while any module is being run: names it has not got to are not there.
        module.__class__ = _Module
        loader = module.__spec__.loader
        module.__loader__ = module.__spec__.loader = loader.real
        try:
            loader.real.exec_module(module)
        except BaseException:
            # As an import that failed, it may be tried again.
            module.__loader__ = module.__spec__.loader = loader
            module.__class__ = _NotRunYet
            raise
        # By the name it was imported by: `_pydecimal` calls itself `decimal`.
        if module.__spec__.name in _docs:
            module.__doc__ = _docs.pop(module.__spec__.name)
        if "__path__" in module.__dict__:
            _offer_parts(module)
        for follower in _followers.pop(module.__name__, ()):
            if type(sys.modules.get(follower)) is _NotRunYet:
                _run(sys.modules[follower])


def _offer_parts(package):
    """What is in a package is an attribute of it once somebody has imported it. Metadata counts on others having
    done so: as they may not have been run, it is imported when it is named."""
    own = package.__dict__.get("__getattr__")
    if own in _offers:
        return
    name = package.__name__

    def part(attribute):
        if own is not None:
            try:
                return own(attribute)
            except AttributeError:
                pass
        full = "%s.%s" % (name, attribute)
        if not attribute.startswith("_") and _find_spec(full, package.__path__) is not None:
            __import__(full)
            return sys.modules[full]
        raise AttributeError("module %r has no attribute %r" % (name, attribute))

    _offers.append(part)
    package.__getattr__ = part


class _Loader:
    """Has the module run later."""

    def __init__(self, real):
        self.real = real

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__class__ = _NotRunYet

    def __getattr__(self, name):
        return getattr(self.real, name)


class _PackageLoader(_Loader):
    """Runs a package of the standard library at once."""

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self.real
        self.real.exec_module(module)
        _offer_parts(module)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        package = sys.modules.get(name.rpartition(".")[0])
        if type(package) is _NotRunYet:
            # What is in a package is found by what the package did.
            _run(package)
        if name not in _NAMES and name not in _PACKAGES:
            return None
        spec = FrozenImporter.find_spec(name, path, target)
        if spec is not None:
            spec.loader = (_Loader if name in _NAMES else _PackageLoader)(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder)

# Modules of the program are imported natively.
_hz_imports.begin(_frozen_importlib._find_and_load, module_from_spec, tuple(sys.meta_path), _NAMES | _PACKAGES, _NotRunYet)
_frozen_importlib._find_and_load = _hz_imports.find_and_load


def follow(name, follower):
    """Has module `follower`, which is put off, run as soon as module `name` is, or at once if that is already."""
    defer(name)
    if type(sys.modules[name]) is _NotRunYet:
        _followers.setdefault(name, []).append(follower)
    elif type(sys.modules[follower]) is _NotRunYet:
        _run(sys.modules[follower])


def defer(name):
    """Has module `name`, which is a part of a package that is imported, run when it is first used."""
    if name in sys.modules:
        return
    package, _, last = name.rpartition(".")
    package = sys.modules[package]
    _offer_parts(package)
    spec = _find_spec(name, package.__path__)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("No module named %r" % name, name=name)
    spec.loader = _Loader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(package, last, module)


def run_all():
    """Runs what was put off: what follows uses much of it, in processes that share what is there now."""
    for module in list(sys.modules.values()):
        if type(module) is _NotRunYet:
            try:
                _run(module)
            except Exception:
                # Whoever names it is told.
                pass
