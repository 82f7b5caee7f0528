"""The `readline` module without the GNU library: history and completion are kept and can be asked for,
reading a line does no editing.

Programs configure it, keep their history in a file and complete names with it; `input` goes on reading
plain lines.
"""

import os

_history = []
_limit = -1
_state = {"completer": None, "delims": " \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?", "display": None, "startup": None, "pre_input": None}
_file = "~/.history"
_auto = True


def _text(value):
    if not isinstance(value, str):
        raise TypeError("a string is needed, not %s" % type(value).__name__)
    return value


def _place(filename):
    return os.path.expanduser(_file if filename is None else filename)


# -- What a line editor would do

def parse_and_bind(string):
    _text(string)


def read_init_file(filename=None):
    with open(os.path.expanduser("~/.inputrc" if filename is None else filename)):
        pass


def get_line_buffer():
    return ""


def insert_text(string):
    _text(string)


def redisplay():
    pass


# -- History

def read_history_file(filename=None):
    with open(_place(filename), encoding="utf-8", errors="surrogateescape") as file:
        _history.extend(line.rstrip("\n") for line in file)


def write_history_file(filename=None):
    with open(_place(filename), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(line + "\n" for line in (_history if _limit < 0 else _history[len(_history) - min(_limit, len(_history)):]))


def append_history_file(nelements, filename=None):
    with open(_place(filename), "a", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(line + "\n" for line in _history[len(_history) - min(nelements, len(_history)):])


def get_history_length():
    return _limit


def set_history_length(length):
    global _limit
    _limit = int(length)


def get_current_history_length():
    return len(_history)


def get_history_item(index):
    """Counted from 1; None where there is none."""
    return _history[index - 1] if 0 < index <= len(_history) else None


def remove_history_item(pos):
    if pos < 0:
        raise ValueError("History index cannot be negative")
    if pos >= len(_history):
        raise ValueError("No history item at position %d" % pos)
    del _history[pos]


def replace_history_item(pos, line):
    if pos < 0:
        raise ValueError("History index cannot be negative")
    if pos >= len(_history):
        raise ValueError("No history item at position %d" % pos)
    _history[pos] = _text(line)


def add_history(line):
    _history.append(_text(line))


def set_auto_history(enabled):
    global _auto
    _auto = bool(enabled)


def clear_history():
    _history.clear()


# -- Completion

def set_completer(function=None):
    _state["completer"] = function


def get_completer():
    return _state["completer"]


def get_completion_type():
    return 0


def get_begidx():
    return 0


def get_endidx():
    return 0


def set_completer_delims(string):
    _state["delims"] = _text(string)


def get_completer_delims():
    return _state["delims"]


def set_completion_display_matches_hook(function=None):
    _state["display"] = function


def set_startup_hook(function=None):
    _state["startup"] = function


def set_pre_input_hook(function=None):
    _state["pre_input"] = function
