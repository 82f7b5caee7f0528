"""The data store: the object metadata knows as `d`.

Values live in the native store (`_hz_data`); here stand its mapping protocol, its history objects
and the exception that a failed expansion raises.
"""

import builtins
import logging
from collections.abc import MutableMapping

import _hz_data
import bb

logger = logging.getLogger("BitBake.Data")


class ExpansionError(Exception):
    """A value could not be expanded; `varlist` names the variables on the way out."""

    def __init__(self, varname, expression, exception):
        self.variablename = varname
        self.expression = expression
        self.exception = exception
        self.varlist = [varname or expression or ""]
        what = "%s: %s" % (type(exception).__name__, exception)
        if not varname:
            self.msg = "Failure expanding expression %s which triggered exception %s" % (expression, what)
        elif expression:
            self.msg = "Failure expanding variable %s, expression was %s which triggered exception %s" % (
                varname,
                expression,
                what,
            )
        else:
            self.msg = "Failure expanding variable %s: %s" % (varname, what)
        super().__init__(self.msg)
        self.args = (varname, expression, exception)

    def addVar(self, varname):
        if varname:
            self.varlist.append(varname)

    def __str__(self):
        return self.msg + "\nThe variable dependency chain for the failure is: " + " -> ".join(self.varlist)


class VariableParse:
    """What expanding a text touched."""

    def __init__(self, varname, d, unexpanded_value=None, val=None):
        self.varname = varname
        self.d = d
        self.value = val
        self.unexpanded_value = unexpanded_value
        self.references = set()
        self.execs = set()
        self.contains = {}
        self.removes = set()

    @classmethod
    def _of(cls, varname, d, found):
        parse = cls(varname, d)
        (parse.value, parse.unexpanded_value, parse.references, parse.execs, parse.contains, parse.removes) = found
        return parse


class DataContext(dict):
    """Names in an inline expression that Python does not know: variables of the store."""

    excluded = {name for name in dir(builtins) if not name.startswith("_")} | {"oe"}

    def __init__(self, metadata, **kwargs):
        super().__init__(**kwargs)
        self.metadata = metadata
        self["d"] = metadata
        self.context = bb.utils.get_context()

    def __missing__(self, key):
        if key not in self.excluded and key not in self.context:
            value = self.metadata.getVar(key)
            if value is not None:
                return value
        raise KeyError(key)


class IncludeHistory:
    """Which file included which."""

    def __init__(self, d):
        self._d = d

    def include(self, filename):
        self._d._include_enter(filename)
        return self

    def __enter__(self):
        pass

    def __exit__(self, kind, value, traceback):
        self._d._include_leave()
        return False

    def copy(self):
        return self

    def emit(self, o, level=0):
        o.write(self._d._includes_emit())


class VariableHistory:
    """Where variables were set, as far as that was recorded."""

    def __init__(self, dataroot):
        self.dataroot = dataroot

    def copy(self):
        return VariableHistory(self.dataroot)

    def record(self, **loginfo):
        if not self.dataroot._tracking or loginfo.get("ignore"):
            return
        if not loginfo.get("op"):
            loginfo["op"] = "set"
        if "variable" not in loginfo or "file" not in loginfo:
            raise ValueError("record() missing variable or file.")
        if "nodups" in loginfo and loginfo in self.variable(loginfo["variable"]):
            return
        self.dataroot._history_record(loginfo)

    def variable(self, var):
        return self.dataroot._history(var)

    def rename_variable_hist(self, oldvar, newvar):
        if self.dataroot._tracking:
            self.dataroot._history_rename(oldvar, newvar)

    def emit(self, var, oval, val, o, d):
        o.write(d._history_emit(var, oval))

    def get_variable_files(self, var):
        """The files that operate on a variable."""
        return [event["file"] for event in self.variable(var)]

    def get_variable_lines(self, var, f):
        """The lines of a file that operate on a variable."""
        return [event["line"] for event in self.variable(var) if event["file"] == f]

    def get_variable_refs(self, var):
        """Lines by file."""
        refs = {}
        for event in self.variable(var):
            refs.setdefault(event["file"], []).append(event["line"])
        return refs

    def get_variable_items_files(self, var):
        """Which file brought each word of a list variable."""
        return self.dataroot._history_items_files(var)

    def del_var_history(self, var, f=None, line=None):
        """Forgets the history of a variable, or a part of it."""
        if f and line:
            self.dataroot._history_delete_at(var, f, line)
        else:
            self.dataroot._history_delete(var)


def _restored(cls, state, attributes):
    d = cls()
    _hz_data.restore(d, state)
    d.__dict__.update(attributes)
    return d


_replaceable = _hz_data.replaceable()


class _Methods(type(MutableMapping)):
    """The class of DataSmart: tells native code which methods are no longer ours, so that it calls those."""

    # Of single stores: from then on every store is asked for these.
    of_stores = set()

    def __setattr__(cls, name, value):
        super().__setattr__(name, value)
        cls._tell()

    def __delattr__(cls, name):
        super().__delattr__(name)
        cls._tell()

    def _tell(cls):
        # Classes derived from it are asked by nobody but Python.
        if _hz_data.Store in cls.__bases__:
            own, found = vars(_hz_data.Store), vars(cls)
            _hz_data.set_replaced([n for n in _replaceable if n in _Methods.of_stores or found.get(n, own[n]) is not own[n]])


class DataSmart(_hz_data.Store, MutableMapping, metaclass=_Methods):
    """A data store."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in _replaceable:
            _Methods.of_stores.add(name)
            DataSmart._tell()

    __hash__ = object.__hash__

    def __eq__(self, other):
        # As mappings compare; the same store without looking.
        return self is other or MutableMapping.__eq__(self, other)

    def __reduce__(self):
        return _restored, (type(self), _hz_data.state(self), self.__dict__)

    def __iter__(self):
        return iter(self._names())

    def __len__(self):
        return len(self._names())

    def __contains__(self, key):
        return isinstance(key, str) and self.getVar(key, False) is not None

    def __getitem__(self, item):
        value = self.getVar(item, False)
        if value is None:
            raise KeyError(item)
        return value

    def __setitem__(self, var, value):
        self.setVar(var, value)

    def __delitem__(self, var):
        self.delVar(var)

    def localkeys(self):
        return iter(self._local_names())

    def need_overrides(self):
        self._overrides()

    @property
    def overrides(self):
        return self._overrides()

    @property
    def overridesset(self):
        return set(self._overrides())

    @property
    def varhistory(self):
        return VariableHistory(self)

    @property
    def inchistory(self):
        return IncludeHistory(self)

    def expandWithRefs(self, s, varname):
        if not isinstance(s, str):
            return VariableParse(varname, self, s, s)
        return VariableParse._of(varname, self, self._expand_with_refs(s, varname))

    def _flag_with_parser(self, var, flag, expand):
        cachename = var if flag == "_content" else var + "[" + flag + "]"
        parse = VariableParse._of(cachename, self, self._read_with_refs(var, flag))
        return (parse.value if expand else parse.unexpanded_value), parse


_hz_data.set_class(DataSmart)
