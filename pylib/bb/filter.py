"""Filters of variables: expressions that setVarFilter() records and every read applies.

An expression sees `val`, a few harmless built-ins, the functions below and whatever else
`filter_proc` made known; nothing of the shared namespace.
"""

# What expressions see. The empty `__builtins__` keeps Python from adding the real ones.
FILTERS = {"__builtins__": {}}

# Filters are pure, so a value needs to pass an expression only once.
CACHE = {}


class Namespace:
    """A dotted name in expressions: members are set as in a dictionary, and fixed as attributes."""

    def __getitem__(self, name):
        return self.__dict__[name]

    def __setitem__(self, name, value):
        self.__dict__[name] = value

    def __contains__(self, name):
        return name in self.__dict__

    def __setattr__(self, name, value):
        raise AttributeError(f"Attribute {name!r} cannot be changed")

    def __delattr__(self, name):
        raise AttributeError(f"Attribute {name!r} cannot be deleted")


def apply_filters(val, expressions):
    """Passes a value through expressions, one after the other."""
    for expression in expressions:
        expression = expression.strip()
        if not expression:
            continue
        key = (val, expression)
        if key not in CACHE:
            CACHE[key] = eval(expression, FILTERS.copy(), {"val": val})
        val = CACHE[key]
    return val


# Native code stands in for it, as long as it is the module's.
_APPLY = apply_filters


def filter_proc(*, name=None):
    """Makes a pure function known to expressions, under its own name or a dotted one."""

    def add(func):
        *parents, last = (name or func.__name__).split(".")
        place = FILTERS
        for parent in parents:
            if parent not in place:
                place[parent] = Namespace()
            place = place[parent]
        place[last] = func
        return func

    return add


for _builtin in (all, any, bin, bool, chr, enumerate, float, format, hex, int, len, map, max, min, oct, ord, pow, str, sum):
    filter_proc()(_builtin)


@filter_proc()
def suffix(val, suffix):
    """Every word with a text behind it."""
    return " ".join(word + suffix for word in val.split())


@filter_proc()
def prefix(val, prefix):
    """Every word with a text in front of it."""
    return " ".join(prefix + word for word in val.split())


@filter_proc()
def sort(val):
    """The words in order."""
    return " ".join(sorted(val.split()))


@filter_proc()
def remove(val, remove, sep=None):
    """The words (between `sep`) that are none of `remove`, a text or a list."""
    unwanted = remove.split(sep) if isinstance(remove, str) else remove
    return (sep or " ").join(word for word in val.split(sep) if word not in unwanted)
