"""The part of `curses` that asks what a terminal can do: terminfo, read from its compiled entries.

There are no windows here: a program that draws some is told so.
"""

import os
import struct
import sys

from curses import _names


class error(Exception):
    pass


_terminal = None


def _folders():
    """Where terminfo is looked for, in order."""
    if os.environ.get("TERMINFO"):
        yield os.environ["TERMINFO"]
    yield os.path.expanduser("~/.terminfo")
    for folder in os.environ.get("TERMINFO_DIRS", "").split(":"):
        if folder:
            yield folder
    yield from ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo")


def _read(term):
    if not term or "/" in term:
        return None
    for folder in _folders():
        for name in (term[0], "%x" % ord(term[0])):
            try:
                with open(os.path.join(folder, name, term), "rb") as file:
                    return file.read()
            except OSError:
                pass
    return None


def _parse(data):
    """({name: number}, {name: bytes}, names of the set flags) of a compiled entry; term(5) describes it."""
    magic, names, booleans, numbers, strings, table = struct.unpack_from("<6h", data)
    if magic not in (0o432, 0o1036):
        raise error("not a terminfo entry")
    at = 12 + names
    flags = {name for name, byte in zip(_names.FLAGS, data[at:at + booleans]) if byte == 1}
    at += booleans
    at += at & 1
    kind, size = ("h", 2) if magic == 0o432 else ("i", 4)
    values = struct.unpack_from("<%d%s" % (numbers, kind), data, at)
    at += numbers * size
    offsets = struct.unpack_from("<%dh" % strings, data, at)
    texts = data[at + 2 * strings:at + 2 * strings + table]
    found = {name: texts[offset:texts.index(b"\0", offset)] for name, offset in zip(_names.STRINGS, offsets) if offset >= 0}
    return {name: value for name, value in zip(_names.NUMBERS, values) if value >= 0}, found, flags


def setupterm(term=None, fd=-1):
    """Reads what is known of a terminal (default: that of TERM). The first call counts, as in CPython."""
    global _terminal
    if _terminal is not None:
        return
    data = _read(os.environ.get("TERM", "") if term is None else term)
    if data is None:
        raise error("setupterm: could not find terminal")
    _terminal = _parse(data)


def _asked():
    if _terminal is None:
        raise error("must call (at least) setupterm() first")
    return _terminal


def _size(capname, usual):
    """As the library does: what the terminal is now counts for more than what it usually is."""
    variable, attribute, default = {"lines": ("LINES", "lines", 24), "cols": ("COLUMNS", "columns", 80)}[capname]
    if os.environ.get(variable, "").isdigit():
        return int(os.environ[variable])
    try:
        return getattr(os.get_terminal_size(sys.__stdout__.fileno()), attribute) or default
    except (OSError, ValueError, AttributeError):
        return usual if usual > 0 else default


def tigetnum(capname):
    """-1: the terminal has none; -2: there is no such number."""
    if capname not in _names.NUMBERS:
        return -2
    value = _asked()[0].get(capname, -1)
    return _size(capname, value) if capname in ("lines", "cols") else value


def tigetstr(capname):
    return _asked()[1].get(capname)


def tigetflag(capname):
    """1 or 0; -1: there is no such flag."""
    return int(capname in _asked()[2]) if capname in _names.FLAGS else -1


def __getattr__(name):
    raise AttributeError("curses.%s: there are no windows in this interpreter" % name)
