"""Reads small metadata with `bb` and tells as JSON everything that came of it.

    probe.py OUT CASE...

Runs under both engines: CPython with the reference's `lib` on PYTHONPATH, and ours through
`hitzeleiter python`. A CASE is a folder of metadata; OUT/NAME.json is written for each. Only the
public API of `bb` is used. What a case is made of decides what happens:

- base.conf is the configuration (read as bitbake.conf is, with addpylib); classes of INHERIT follow;
- *.bb is a recipe, *.bbappend its appends in alphabetical order;
- t.conf is a configuration file that is looked at without a recipe;
- api.py is Python that gets a store `d` and `show(…)`.

Each case runs in a forked process of its own, so that no function or handler of one is seen by the next.
"""

import json
import logging
import os
import sys
import traceback

import bb
import bb.build
import bb.codeparser
import bb.cookerdata
import bb.data
import bb.data_smart
import bb.event
import bb.msg
import bb.parse
import bb.siggen
import bb.utils

# What a store starts with: as much as both engines need, in words that say what a build has.
BASE = {
    "TOPDIR": "{case}",
    "BBPATH": "{case}:{case}/more",
    "BBLAYERS": "{case} {case}/more",
    "BB_CURRENT_MC": "",
    "BB_SIGNATURE_HANDLER": "basichash",
    "BB_SIGNATURE_EXCLUDE_FLAGS": "doc deps depends lockfiles vardeps vardepvalue vardepvalueexclude vardepsexclude "
    "filename lineno progress handler eventmask task prefuncs postfuncs _defaultval",
    "BB_BASEHASH_IGNORE_VARS": "TOPDIR BBPATH BBLAYERS FILE BB_CURRENT_MC IGNORED",
    "BB_HASH_CODEPARSER_VALS": "FORCED=forced",
    "BB_CACHEDIR": "{case}/cache",
    "PERSISTENT_DIR": "{case}/cache",
    "PN": "${{@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0] or 'none'}}",
    "PV": "${{@bb.parse.vars_from_file(d.getVar('FILE', False), d)[1] or '1.0'}}",
    "T": "{case}/temp",
}


def plain(value, depth=0):
    """Data as JSON holds it; sets in order, anything else by its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if depth > 8:
        return "..."
    if isinstance(value, dict):
        return {str(k): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(str(v) for v in value)}
    if isinstance(value, (list, tuple)):
        return [plain(v, depth + 1) for v in value]
    return "<%s>" % type(value).__name__


def failure(error):
    kind = type(error)
    return {"exception": "%s.%s" % (kind.__module__, kind.__qualname__), "text": str(error)}


def attempt(function, *args, **kwargs):
    try:
        return plain(function(*args, **kwargs))
    except Exception as error:
        return failure(error)


class Messages(logging.Handler):
    """Every record of the BitBake loggers from level VERBOSE up."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        if record.levelno >= logging.INFO - 1:
            text = record.getMessage()
            self.records.append([logging.getLevelName(record.levelno), record.name, text])


# Stores, and what holds times of files; where names of files alone matter they are told below.
HIDDEN = ("BB_ORIGENV", "__depends", "__base_depends", "__siggen_varvals")


def store_facts(d):
    out = {"vars": {}}
    for name in sorted(d.keys()):
        if name in HIDDEN:
            continue
        facts = {"raw": attempt(d.getVar, name, False)}
        if not name.startswith("__"):
            facts["value"] = attempt(d.getVar, name)
            if facts["value"] == facts["raw"]:
                del facts["value"]
        flags = attempt(d.getVarFlags, name, False)
        if flags:
            facts["flags"] = flags
            expanded = {flag: attempt(d.getVarFlag, name, flag) for flag in flags}
            if expanded != flags:
                facts["flag values"] = expanded
        history = [
            [e.get("op"), e.get("flag"), plain(e.get("detail")), e.get("file"), e.get("line")]
            for e in d.varhistory.variable(name)
            # What an engine sets itself stands at places of its own.
            if (e.get("file") or "").startswith(d.getVar("TOPDIR", False) + "/")
        ]
        if history and not name.startswith("__"):
            facts["history"] = history
        out["vars"][name] = facts
    for name in ("__depends", "__base_depends"):
        out[name] = [f for f, _ in d.getVar(name, False) or []]
    out["varvals"] = plain(d.getVar("__siggen_varvals", False))
    out["tasks"] = attempt(bb.build.listtasks, d)
    out["exported"] = attempt(lambda: sorted(bb.data.exported_keys(d)))
    return out


def inherit_configured(d):
    for name in (d.getVar("INHERIT") or "").split():
        bb.parse.BBHandler.inherit(name, "configuration INHERITs", 0, d)
    for name in d.getVar("__BBHANDLERS", False) or []:
        fn = d.getVarFlag(name, "filename", False)
        if not fn:
            raise KeyError("undefined handler %s" % name)
        mask = (d.getVarFlag(name, "eventmask") or "").split()
        bb.event.register(name, d.getVar(name, False), mask, fn, int(d.getVarFlag(name, "lineno", False)), d)


def run_api(case, d, out):
    shown = out["shown"] = []
    with open(os.path.join(case, "api.py")) as f:
        text = f.read()

    def show(*values):
        shown.append([plain(v) for v in values])

    def fails(function, *args, **kwargs):
        try:
            shown.append(["no exception", plain(function(*args, **kwargs))])
        except Exception as error:
            shown.append([failure(error)])

    exec(compile(text, "api.py", "exec"), {"d": d, "bb": bb, "os": os, "show": show, "fails": fails, "case": case, "parser_log": logging.getLogger("BitBake.CodeParser")})


def examine(case, out):
    d = bb.data.init()
    d.enableTracking()
    for name, value in BASE.items():
        d.setVar(name, value.format(case=case))
    # The reference cannot do without any exported variable.
    d.setVarFlag("EXPORTED", "export", "1")
    d.setVar("EXPORTED", "exported")
    d.setVar("__bbclasstype", "global")
    names = sorted(os.listdir(case))
    if "base.conf" in names:
        d = bb.parse.handle(os.path.join(case, "base.conf"), d, True, True)
    inherit_configured(d)
    if "t.conf" in names:
        try:
            d = bb.parse.handle(os.path.join(case, "t.conf"), d, True, True)
        finally:
            out["store"] = store_facts(d)
        return
    if "api.py" in names:
        run_api(case, d, out)
        return
    recipe = os.path.join(case, next(n for n in names if n.endswith(".bb")))
    bb.parse.init_parser(d)
    bb.event.fire(bb.event.ConfigParsed(), d)
    bb.codeparser.update_module_dependencies(d)
    d.renameVar("__depends", "__base_depends")
    d.setVar("__bbclasstype", "recipe")
    d = bb.data.createCopy(d)
    d.setVar("__BBMULTICONFIG", "")
    d.setVar("FILE_LAYERNAME", None)
    d.setVar("__BB_RECIPE_FILE", recipe)
    appends = [os.path.join(case, n) for n in names if n.endswith(".bbappend")]
    if appends:
        d.setVar("__BBAPPEND", " ".join(appends))
    stores = bb.parse.handle(recipe, d)
    out["variants"] = {name: store_facts(stores[name]) for name in stores}
    out["order"] = list(stores)


def run(case, target):
    messages = Messages()
    logger = logging.getLogger("BitBake")
    logger.addHandler(messages)
    out = {"version": bb.__version__}
    os.chdir(case)
    try:
        examine(case, out)
    except BaseException as error:
        out["failed"] = failure(error)
        if os.environ.get("PROBE_TRACE"):
            traceback.print_exc()
    out["messages"] = messages.records
    with open(target, "w") as f:
        json.dump(out, f, indent=1, sort_keys=True)


def main():
    folder = sys.argv[1]
    for case in sys.argv[2:]:
        target = os.path.join(folder, os.path.basename(case) + ".json")
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                run(case, target)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
        os.waitpid(pid, 0)


main()
