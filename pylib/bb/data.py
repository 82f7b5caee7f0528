"""Functions on data stores."""

import hashlib
import sys

import _hz_data
import bb
from bb import data_smart

logger = data_smart.logger
_dict_type = data_smart.DataSmart


def init():
    """A new, empty store."""
    return _dict_type()


def init_db(parent=None):
    """A new store, or a copy of one."""
    return _dict_type() if parent is None else parent.createCopy()


def createCopy(source):
    """A copy that shares what neither changes."""
    return source.createCopy()


def initVar(var, d):
    d.initVar(var)


def keys(d):
    return d.keys()


def expand(s, d, varname=None):
    """Expands a text with a store's variables."""
    return d.expand(s, varname)


def expandKeys(alterdata, readdata=None):
    """Renames variables whose names hold references."""
    if readdata is None or readdata is alterdata:
        alterdata._expand_keys()
        return
    names = {}
    for key in alterdata:
        if "${" in key:
            expanded = readdata.expand(key)
            if expanded != key:
                names[key] = expanded
    for key in sorted(names):
        new = names[key]
        old = alterdata.getVar(new, False)
        value = alterdata.getVar(key, False)
        if old is not None and value is not None:
            bb.warn("Variable key %s (%s) replaces original key %s (%s)." % (key, value, new, old))
        alterdata.renameVar(key, new)


def inheritFromOS(d, savedenv, permitted):
    """Takes permitted variables of the environment over."""
    _hz_data.inherit_from_os(d, savedenv, list(permitted))


def emit_var(var, o=sys.__stdout__, d=None, all=False):
    """Writes a variable or shell function for a shell to read; true for a function."""
    text, function = _hz_data.emit_var(var, init() if d is None else d, bool(all))
    o.write(text)
    return function


def emit_env(o=sys.__stdout__, d=None, all=False):
    """Writes everything a shell can read."""
    o.write(_hz_data.emit_env(init() if d is None else d, bool(all))[0])


def exported_keys(d):
    """Names of the variables that go into the environment."""
    return iter(_hz_data.exported_keys(d))


def exported_vars(d):
    """Names and values of what goes into the environment."""
    return iter(_hz_data.exported_vars(d))


def emit_func(func, o=sys.__stdout__, d=None):
    """Writes a shell function with what it needs."""
    o.write(_hz_data.emit_func(func, init() if d is None else d)[0])


def emit_func_python(func, o=sys.__stdout__, d=None):
    """Writes a Python function with what it calls, and a call of it."""
    o.write(_hz_data.emit_func_python(func, init() if d is None else d)[0])


def inherits_class(klass, d):
    """Has a class been inherited?"""
    if isinstance(d, _hz_data.Store):
        return _hz_data.inherits_class(klass, d)
    name = "/%s.bbclass" % klass
    return any(file.endswith(name) for file in d.getVar("__inherit_cache", False) or [])


# -- What signatures are made of


def _dependencies(d, tasks, ignored_vars):
    """({name: names it depends on}, {name: what enters the hash}) of tasks and all they lead to."""
    import _hz_siggen

    view = d.createCopy()
    view.setVar("__BBTASKS", list(tasks))
    names, values = _hz_siggen.base_signatures(view, d.getVar("FILE", False) or "", set(ignored_vars))[2:]
    return {name: set(found) for name, found in names.items()}, values


def build_dependencies(key, keys, mod_funcs, shelldeps, varflagsexcl, ignored_vars, d, codeparsedata):
    """What one variable depends on, and what of it enters hashes. The names among which to choose and
    the exported ones are those of the store."""
    if d.getVar("__exportlist", False) is None:
        # Whoever asks for one variable says what is exported, which may be nothing; only a whole recipe
        # without a list is an error.
        d = d.createCopy()
        d.setVar("__exportlist", set())
    names, values = _dependencies(d, [key], ignored_vars)
    return names[key], values[key]


def generate_dependencies(d, ignored_vars):
    """The tasks, what every variable they lead to depends on, and what of it enters hashes."""
    tasks = d.getVar("__BBTASKS", False) or []
    names, values = _dependencies(d, tasks, ignored_vars)
    return tasks, names, values


def generate_dependency_hash(tasklist, gendeps, lookupcache, ignored_vars, fn):
    """Per task the set of all names it depends on, and the base hash by `FILE:TASK`."""
    taskdeps, basehash = {}, {}
    for task in tasklist:
        text = lookupcache[task]
        if text is None:
            bb.error("Task %s from %s seems to be empty?!" % (task, fn))
            text = ""
        found, pending = set(), [task]
        while pending:
            fresh = gendeps[pending.pop()] - found
            found |= fresh
            pending.extend(fresh)
        for name in sorted(found):
            value = lookupcache[name]
            text += name if value is None else name + str(value)
        basehash[fn + ":" + task] = hashlib.sha256(text.encode("utf-8")).hexdigest()
        taskdeps[task] = frozenset(found)
    return taskdeps, basehash
