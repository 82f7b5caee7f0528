"""What one engine makes of programs of metadata: the same text runs under CPython with the
reference's `bb` and in our VM with ours.

Reads requests from standard input, one a line, and answers each with one line:
`digest FOLDER...` gives a digest of what each of the folders' programs comes to, `full FOLDER` a
JSON list of lines: every variable raw and expanded, its flags, what it refers to, tasks, hashes,
messages and errors. A folder holds `conf/bitbake.conf`, classes, and one recipe under `recipes/`;
with a file `tracking` in it histories are recorded and shown as well.

Each program starts from a fresh namespace for its functions, so none sees another's.
"""

import hashlib
import io
import json
import logging
import os
import re
import sys

import bb
import bb.build
import bb.codeparser
import bb.data
import bb.event
import bb.parse
import bb.siggen
import bb.utils

# Values that hold times of files, or that the reference shares between stores on purpose.
HIDDEN = {"__depends", "__base_depends", "__exportlist", "__siggen_gendeps", "__siggen_varvals", "__siggen_taskdeps", "BB_ORIGENV"}

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from kept_messages import records


if bb.__version__.startswith("2.19"):
    # 2.19 leaves a name alone that is renamed and has nothing to rename; 2.18, and ours, removes it with
    # its flags and makes the new name known as an override. Key expansion renames, so this is
    # in every recipe: here 2.19 is given 2.18's rule.
    rename = bb.data_smart.DataSmart.renameVar

    def rename_as_before(self, key, newkey, **loginfo):
        nothing = key != newkey and self.getVar(key, False, parsing=True) is None
        rename(self, key, newkey, **loginfo)
        if nothing:
            if ":" in newkey:
                self._setvar_update_overrides(newkey, **loginfo)
            self.delVar(key, ignore=True)

    bb.data_smart.DataSmart.renameVar = rename_as_before

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def canon(value):
    """A text for a value that does not depend on the order of sets and dictionaries."""
    if value is None or isinstance(value, (str, int, float)):
        return repr(value)
    if isinstance(value, (set, frozenset)):
        return "{%s}" % ", ".join(sorted(map(canon, value)))
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (canon(k), canon(v)) for k, v in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        # Our store knows no tuples; nobody who reads one minds.
        return "[%s]" % ", ".join(map(canon, value))
    return "<%s>" % type(value).__name__


def told(error):
    kind = type(error)
    if isinstance(error, bb.BBHandledException):
        # The user has been told; what it carries along is never shown.
        return "bb.BBHandledException"
    return "%s.%s: %s" % (kind.__module__, kind.__qualname__, error)


def attempt(function, *args, **kwargs):
    try:
        return canon(function(*args, **kwargs))
    except Exception as error:
        return told(error)


def refs(d, name):
    value, parse = d.getVarFlag(name, "_content", False, retparser=True)
    return (value, parse.value, parse.references, parse.execs, parse.contains, getattr(parse, "removes", None) or set())


def dump(where, d, tracking, out):
    """Everything a store holds, as lines."""
    try:
        names = sorted(d.keys())
    except Exception as error:
        out.append("%s keys: %s" % (where, told(error)))
        return
    out.append("%s overrides: %s" % (where, attempt(lambda: d.overrides)))
    for name in names:
        if name in HIDDEN:
            continue
        here = where + " " + name
        raw = attempt(d.getVar, name, False)
        out.append("%s raw: %s" % (here, raw))
        if name.startswith("__"):
            continue
        out.append("%s value: %s" % (here, attempt(d.getVar, name)))
        out.append("%s refs: %s" % (here, attempt(refs, d, name)))
        try:
            flags = d.getVarFlags(name, internalflags=True) or {}
            for flag in sorted(flags):
                if flag == "_content":
                    continue
                out.append("%s[%s] raw: %s" % (here, flag, canon(flags[flag])))
                if not flag.startswith(":") and "_defaultval" != flag:
                    out.append("%s[%s] value: %s" % (here, flag, attempt(d.getVarFlag, name, flag)))
        except Exception as error:
            out.append("%s flags: %s" % (here, told(error)))
    if tracking:
        text = io.StringIO()
        try:
            bb.data.emit_env(text, d, False)
        except Exception as error:
            text = io.StringIO(told(error))
        out.extend("%s env: %s" % (where, line) for line in text.getvalue().split("\n"))
        for name in names:
            for event in d.varhistory.variable(name):
                # What BitBake's own Python sets says where in it, as for functions and exports; ours
                # has other places.
                if "func" not in event and event["op"] != "exported" and not name[0].islower() and name[0] != "_":
                    out.append("%s %s history: %s" % (where, name, canon({k: v for k, v in event.items() if k != "parsing"})))


def signatures(where, d, out):
    """What the generator of signatures found out about a recipe."""
    tasks = d.getVar("__siggen_taskdeps", False) or {}
    gendeps = d.getVar("__siggen_gendeps", False) or {}
    values = d.getVar("__siggen_varvals", False) or {}
    for name in sorted(tasks):
        out.append("%s %s taskdeps: %s" % (where, name, canon(tasks[name])))
    for name in sorted(gendeps):
        out.append("%s %s gendeps: %s" % (where, name, canon(gendeps[name])))
        out.append("%s %s varval: %s" % (where, name, repr(str(values.get(name)))))


def configuration(folder, d):
    bb.parse.handle("conf/bitbake.conf", d, True, baseconfig=True)
    for name in ["base"] + (d.getVar("INHERIT") or "").split():
        bb.parse.BBHandler.inherit(name, "configuration INHERITs", 0, d)
    for name in d.getVar("__BBHANDLERS", False) or []:
        file = d.getVarFlag(name, "filename", False)
        if not file:
            bb.fatal("Undefined event handler function '%s'" % name)
        mask = (d.getVarFlag(name, "eventmask") or "").split()
        bb.event.register(name, d.getVar(name, False), mask, file, int(d.getVarFlag(name, "lineno", False)), data=d)
    bb.event.fire(bb.event.ConfigParsed(), d)
    d.setVar("__bbclasstype", "recipe")


def fresh():
    """Forgets what an earlier program left behind in the process."""
    bb.utils._context = bb.utils.clean_context()
    bb.event.set_class_handlers(bb.event.clean_class_handlers())
    bb.event._catchall_handlers.clear()
    bb.event._event_handler_map.clear()
    bb.event.ui_queue.clear()
    handler = bb.parse.BBHandler
    if hasattr(handler, "feeder"):
        # The reference's reader keeps these where an error left them.
        handler.__inpython__ = False
        handler.cached_statements.clear()
    records()


def run(folder):
    """The lines for one program."""
    fresh()
    out = []
    d = bb.data.init()
    tracking = os.path.exists(os.path.join(folder, "tracking"))
    if tracking:
        d.enableTracking()
    d.setVar("__bbclasstype", "global")
    d.setVar("TOPDIR", folder)
    d.setVar("BBPATH", folder)
    try:
        configuration(folder, d)
    except Exception as error:
        out.append("configuration error: %s" % told(error))
    dump("configuration", d, False, out)
    siggen = bb.parse.siggen
    siggen.basehash = {}
    siggen.basehash_ignore_vars = set(attempt(d.getVar, "BB_BASEHASH_IGNORE_VARS").strip("'\"").split())
    recipes = os.path.join(folder, "recipes")
    found = sorted(os.listdir(recipes)) if os.path.isdir(recipes) else []
    appends = [os.path.join(recipes, name) for name in found if name.endswith(".bbappend")]
    for name in found:
        if not name.endswith(".bb"):
            continue
        file = os.path.join(recipes, name)
        recipe = d.createCopy()
        recipe.setVar("__BBMULTICONFIG", "")
        recipe.setVar("FILE_LAYERNAME", "core")
        recipe.setVar("__BB_RECIPE_FILE", file)
        if appends:
            recipe.setVar("__BBAPPEND", " ".join(appends))
        try:
            stores = bb.parse.handle(file, recipe)
        except Exception as error:
            out.append("%s error: %s" % (name, told(error)))
            dump(name, recipe, tracking, out)
            continue
        for variant in sorted(stores):
            where = "%s:%s" % (name, variant)
            dump(where, stores[variant], tracking, out)
            signatures(where, stores[variant], out)
    # How often a value is made, and what its inline Python says again, is the cache's business.
    seen = dict.fromkeys(record for record in map(tuple, records()) if record[0] >= logging.WARNING - 1)
    out.extend("message %d %s: %s" % record for record in seen)
    return [ADDRESS.sub("", line) if " at 0x" in line else line for line in out]


def start():
    """Makes one generator of signatures for all programs; its file caches go to a folder."""
    d = bb.data.init()
    d.setVar("BB_SIGNATURE_HANDLER", "basic")
    for name in ("CACHE", "BB_CACHEDIR", "TOPDIR"):
        d.setVar(name, sys.argv[1])
    os.makedirs(sys.argv[1], exist_ok=True)
    bb.parse.init_parser(d)


def main():
    start()
    # Requests until the end of the input.
    for request in iter(sys.stdin.readline, ""):
        words = request.split()
        if words[0] == "digest":
            answers = []
            for folder in words[1:]:
                text = "\n".join(run(folder))
                answers.append(hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24])
            print(" ".join(answers))
        else:
            print(json.dumps(run(words[1])))
        sys.stdout.flush()


main()
