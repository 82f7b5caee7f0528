"""Modules that take long to start and that most commands never use: they run when something of them is
first named, however they were imported. Here are those of the standard library; `defer` is for the layers'.

Every command starts an interpreter, and `import logging` alone brings `traceback`, which brings
`inspect` and `dataclasses`: half of the start. A module that is not run yet stands in `sys.modules` like
any other.
"""

import sys
from _frozen_importlib import FrozenImporter, _find_spec, module_from_spec
from _thread import RLock

_NAMES = frozenset((
    "_colorize", "ast", "base64", "bz2", "codeop", "compression.zstd", "dataclasses", "dis", "fnmatch", "glob", "inspect", "json",
    "linecache", "logging.config", "logging.handlers", "lzma", "pickle", "random", "select", "shutil", "signal", "socket",
    "subprocess", "tempfile", "textwrap", "tokenize", "traceback", "uuid", "zipfile",
))

# What the import system itself reads and writes of a module.
_OWN = frozenset(("__class__", "__spec__", "__name__", "__loader__", "__package__", "__path__", "__file__", "__cached__"))

_Module = type(sys)
_lock = RLock()

# Module -> modules to be run once it was.
_followers = {}


class _NotRunYet(_Module):
    def __getattribute__(self, name):
        if name not in _OWN:
            _run(self)
        return _Module.__getattribute__(self, name)

    def __setattr__(self, name, value):
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
        for follower in _followers.pop(module.__name__, ()):
            if type(sys.modules.get(follower)) is _NotRunYet:
                _run(sys.modules[follower])


class _Loader:
    def __init__(self, real):
        self.real = real

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__class__ = _NotRunYet

    def __getattr__(self, name):
        return getattr(self.real, name)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        package = sys.modules.get(name.rpartition(".")[0])
        if type(package) is _NotRunYet:
            # What is in a package is found by what the package did.
            _run(package)
        if name not in _NAMES:
            return None
        spec = FrozenImporter.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder)


def defer(name, follower=None):
    """Has module `name`, which is a part of a package that is imported, run when it is first used; and then
    module `follower`, if that was not run yet."""
    if follower:
        _followers.setdefault(name, []).append(follower)
    if name in sys.modules:
        return
    package, _, last = name.rpartition(".")
    package = sys.modules[package]
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
