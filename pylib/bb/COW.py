"""Dictionaries and sets that share what neither copy changes. Nothing here uses them; old code may.

Each is a class, a copy of it a subclass: a look-up goes the way of attribute look-up.
"""

import copy as _copy

MUTABLE = "__mutable__"
_IMMUTABLE = (bool, int, float, complex, str, tuple, frozenset, type(None))
_REMOVED = ()
_REQUIRED = object()


class COWMeta(type):
    pass


class COWDictMeta(COWMeta):
    # A file: gets a line at operations that cost a copy.
    __warn__ = False
    __hasmutable__ = False
    __marker__ = _REMOVED
    __kind__ = "COWDict"

    def _own(cls):
        """Names set in this very copy."""
        fixed = {"__count__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__"}
        return [name for name in vars(cls) if name not in fixed]

    def __str__(cls):
        return "<%s Level: %i Current Keys: %i>" % (cls.__kind__, cls.__count__, len(cls._own()))

    __repr__ = __str__

    def cow(cls):
        return type(cls)("C", (cls,), {"__count__": cls.__count__ + 1})

    copy = cow
    __call__ = cow

    def _tell(cls, text):
        if cls.__warn__ is not False:
            print("Warning: " + text, file=cls.__warn__)

    def __setitem__(cls, key, value):
        if not isinstance(value, _IMMUTABLE):
            if not isinstance(value, COWMeta):
                cls.__hasmutable__ = True
            key += MUTABLE
        setattr(cls, key, value)

    def __getmutable__(cls, key, readonly=False):
        name = key + MUTABLE
        if name in vars(cls):
            return vars(cls)[name]
        value = getattr(cls, name)
        if readonly:
            return value
        if not isinstance(value, COWMeta):
            cls._tell("Doing a copy because %s is a mutable type." % key)
        value = value.copy() if hasattr(value, "copy") else _copy.copy(value)
        setattr(cls, name, value)
        return value

    def __getitem__(cls, key, default=_REQUIRED, readonly=False):
        value = getattr(cls, key, _REQUIRED)
        if value is _REQUIRED and hasattr(cls, key + MUTABLE):
            value = cls.__getmutable__(key, readonly)
        if value is _REQUIRED or value is cls.__marker__:
            if default is _REQUIRED:
                raise KeyError("key %s does not exist." % key)
            return default
        return value

    def __getreadonly__(cls, key, default=_REQUIRED):
        """A value that the caller promises not to change."""
        return cls.__getitem__(key, default, True)

    def __delitem__(cls, key):
        cls[key] = cls.__marker__

    def __revertitem__(cls, key):
        """Forgets what this copy did to a key."""
        delattr(cls, key if key in vars(cls) else key + MUTABLE)

    def has_key(cls, key):
        return cls.__getreadonly__(key, cls.__marker__) is not cls.__marker__

    def __contains__(cls, key):
        return cls.has_key(key)

    def iter(cls, type, readonly=False):
        for name in dir(cls):
            if name.startswith("__"):
                continue
            key = name.removesuffix(MUTABLE)
            if type == "keys":
                yield key
                continue
            value = cls.__getitem__(key, cls.__marker__, readonly)
            if value is not cls.__marker__:
                yield (key, value) if type == "items" else value

    def iterkeys(cls):
        return cls.iter("keys")

    def _iterate(cls, type, readonly):
        if cls.__hasmutable__ and readonly is False:
            cls._tell("If you aren't going to change any of the values call with True.")
        return cls.iter(type, readonly)

    def itervalues(cls, readonly=False):
        return cls._iterate("values", readonly)

    def iteritems(cls, readonly=False):
        return cls._iterate("items", readonly)

    def __dir__(cls):
        # Keys only: methods and the names every class has are no content.
        names = set()
        for base in cls.__mro__[:-1]:
            names.update(vars(base))
        return sorted(names)


class COWSetMeta(COWDictMeta):
    __kind__ = "COWSet"

    def add(cls, value):
        cls[repr(hash(value))] = value

    def remove(cls, value):
        del cls[repr(hash(value))]

    def __in__(cls, value):
        return repr(hash(value)) in cls

    def iterkeys(cls):
        raise TypeError("sets don't have keys")

    def iteritems(cls):
        raise TypeError("sets don't have 'items'")


class COWDictBase(metaclass=COWDictMeta):
    __count__ = 0


class COWSetBase(metaclass=COWSetMeta):
    __count__ = 0
