"""Changing assignments and functions in recipe and configuration files in place.

Offered by bb.utils.
"""

import fnmatch
import os
import re

from bb._environment import approved_variables


class _Item:
    """An assignment or function while its lines are collected."""

    def __init__(self, name, head, terminator, line):
        self.name = name
        # What stands in front of the opening quote or brace.
        self.head = head
        self.terminator = terminator
        self.lines = [line]
        self.value = ""

    @property
    def is_function(self):
        return self.name.endswith("()")

    @property
    def operator(self):
        return self.head[len(self.name) :].strip()

    def first(self, rest):
        """Takes what follows the opening quote or brace; True if it is complete."""
        rest = rest.rstrip()
        if not self.is_function and rest.endswith("\\"):
            rest = rest[:-1]
        self.value = rest
        return self._finished(rest)

    def more(self, line):
        """Takes another line; True if it is complete."""
        self.lines.append(line)
        text = line.rstrip()
        if self.is_function:
            self.value += "\n" + text
            # The opening brace is not in the value, so the closing one makes the balance negative.
            if self.value.count("{") - self.value.count("}") >= 0:
                return False
            return self._finished(text)
        # The last character is the backslash of the continuation, or the closing quote.
        self.value += text[:-1]
        return text.endswith(self.terminator)

    def _finished(self, text):
        if not text.endswith(self.terminator):
            return False
        self.value = self.value[:-1]
        return True

    def text(self, value, operator, indent, minbreak):
        """The lines that set `value` instead."""
        head = self.head if operator in (None, self.operator) else "%s %s" % (self.name, operator)
        if isinstance(indent, int):
            indent = " " * (len(head) + 2 if indent == -1 else indent)
        if self.is_function:
            if isinstance(value, list):
                return ["%s {\n%s%s\n}\n" % (head, indent, ("\n" + indent).join(value))]
            if not value.startswith("\n"):
                value = "\n" + value
            if not value.endswith("\n"):
                value += "\n"
            return ["%s {%s}\n" % (head, value)]
        if not isinstance(value, list):
            return ['%s "%s"\n' % (head, value)]
        if not value:
            return ['%s ""\n' % head]
        if minbreak and len(value) == 1:
            return ['%s "%s"\n' % (head, value[0])]
        lines = ['%s "%s \\\n' % (head, value[0]) if minbreak else '%s " \\\n' % head]
        lines += ["%s%s \\\n" % (indent, word) for word in (value[1:] if minbreak else value)]
        return lines + ['%s"\n' % indent]


def _pattern(variable, override):
    if variable.endswith("()"):
        return re.compile(r"^(%s%s)[ \t]*\([ \t]*\)[ \t]*{" % (variable[:-2].rstrip(), override))
    return re.compile(r"^(%s%s)[ \t]*[?+:.]*=[+.]*[ \t]*([\"'])" % (variable, override))


def edit_metadata(meta_lines, variables, varfunc, match_overrides=False):
    """Passes the named assignments and functions (`name()`) of some lines through `varfunc`.

    Names are regular expressions; overrides count as part of a name, and with `match_overrides` any
    `_override` may follow. `varfunc(name, value, operator, newlines)`, where `newlines` are the
    lines so far and may be added to, gives (value, operator, indent, minbreak): None as value drops
    the assignment, a list becomes one line a word; None as operator keeps it; `indent` is the number
    of blanks before further lines, -1 for below the opening quote, or the text to use; `minbreak`
    starts a list on the first line.

    Gives (whether anything changed, the new lines).
    """
    override = r"(_[a-zA-Z0-9-_$(){}]+)?" if match_overrides else ""
    patterns = [(name.endswith("()"), _pattern(name, override)) for name in variables]
    newlines = []
    updated = False
    after_change = False

    def finish(item):
        """Asks the callback and writes the result; True if something changed."""
        before = newlines[:]
        value, operator, indent, minbreak = varfunc(item.name, item.value, item.operator, newlines)
        if value is None:
            return True
        if value != item.value or operator not in (None, item.operator):
            newlines.extend(item.text(value, operator, indent, minbreak))
            return True
        changed = before != newlines
        newlines.extend(item.lines)
        return changed

    def start(line):
        for is_function, pattern in patterns:
            match = pattern.match(line)
            if match:
                opening, closing = "{}" if is_function else match.groups()[-1] * 2
                head, rest = line.split(opening, 1)
                name = match.group(1) + ("()" if is_function else "")
                return _Item(name, head.rstrip(), closing, line), rest
        return None, None

    item = None
    for line in meta_lines:
        if item is not None:
            complete = item.more(line)
        else:
            item, rest = start(line)
            if item is None:
                # Where an assignment went, two empty lines may meet: one is enough.
                if not (after_change and line == "\n" and newlines and newlines[-1] == "\n"):
                    newlines.append(line)
                after_change = False
                continue
            complete = item.first(rest)
        if complete:
            if finish(item):
                updated = after_change = True
            item = None
    if item is not None:
        newlines.extend(item.lines)
    return updated, newlines


def edit_metadata_file(meta_file, variables, varfunc):
    """edit_metadata on a file, written only if something changed; gives whether it was."""
    with open(meta_file) as f:
        updated, newlines = edit_metadata(f, variables, varfunc)
    if updated:
        with open(meta_file, "w") as f:
            f.writelines(newlines)
    return updated


def edit_bblayers_conf(bblayers_conf, add, remove, edit_cb=None):
    """Adds and removes layers in a bblayers.conf; `add`, `remove`: a path, a list of paths, or None.

    Paths to remove may be patterns. `edit_cb(path, canonical path)` gives what stands in place of
    each entry that is left. Gives (layers not added because they are there, layers not removed
    because they are not).
    """
    expand_home = "HOME" in approved_variables()

    def trimmed(path):
        return path[:-1] if path and path.endswith(os.sep) else path

    def canonical(path):
        path = trimmed(path)
        return os.path.expanduser(path) if expand_home and "~" in path else path

    def as_list(value):
        if not value:
            return []
        return [trimmed(path) for path in (value if isinstance(value, list) else [value])]

    adding, removing = as_list(add), as_list(remove)
    operators, present = [], []

    def look(name, value, operator, newlines):
        operators.append(operator)
        if operator == "=":
            present.clear()
        present.extend(canonical(path) for path in value.split())
        return value, None, 2, False

    with open(bblayers_conf) as f:
        _, lines = edit_metadata(f, ["BBLAYERS"], look)
    if not operators:
        raise Exception("Unable to find BBLAYERS in %s" % bblayers_conf)
    # A file of one `+=` line per layer gets another such line.
    line_per_layer = operators.count("+=") > 1

    removing_canonical = [canonical(path) for path in removing]
    notadded = [path for path in adding if canonical(path) in present and canonical(path) not in removing_canonical]
    skipped = [canonical(path) for path in notadded]
    adding = [path for path in adding if canonical(path) not in skipped]
    removed = []

    def change(name, value, operator, newlines):
        layers = [trimmed(path) for path in value.split()]
        before = list(layers)
        changed = False
        for pattern in removing:
            hit = next((layer for layer in layers if fnmatch.fnmatch(canonical(layer), canonical(pattern))), None)
            if hit is not None:
                layers.remove(hit)
                removed.append(pattern)
                changed = True
        if adding and not line_per_layer:
            layers += [layer for layer in adding if layer not in layers]
            adding.clear()
        if edit_cb:
            layers = [edit_cb(layer, canonical(layer)) for layer in layers]
        if not changed and layers == before:
            return value, None, 2, False
        if operator == "+=" and not layers:
            layers = None
        return layers, None, 2, False

    updated, lines = edit_metadata(lines, ["BBLAYERS"], change)
    for layer in adding:
        lines.append('BBLAYERS += "%s"\n' % layer)
        updated = True
    if updated:
        with open(bblayers_conf, "w") as f:
            f.writelines(lines)
    return notadded, list(set(removing) - set(removed))
