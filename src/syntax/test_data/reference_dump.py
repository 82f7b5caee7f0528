"""Statement lists of the files named on standard input as the reference BitBake reads them.

Run with the reference's lib directory in PYTHONPATH; compare with the example `dump_statements`.
"""
import logging
import os
import sys

import bb
import bb.parse
from bb.parse import ast
from bb.parse.parse_py import BBHandler, ConfHandler

logging.disable(logging.CRITICAL)


def esc(text):
    return str(text).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def flag(value):
    return "1" if value else ""


OPERATORS = ["colon", "lazyques", "ques", "append", "prepend", "predot", "postdot"]


def fields(s):
    n = type(s).__name__
    if n == "DataNode":
        g = s.groupd
        op = next((g[o] for o in OPERATORS if g[o]), "=")
        return ["assign", flag(g["exp"]), g["var"], g["flag"] or "", op, g["value"]]
    if n == "IncludeNode":
        return ["include", s.what_file, flag(s.force)]
    if n == "IncludeAllNode":
        return ["include_all", s.what_file]
    if n == "ExportNode":
        return ["export", s.var]
    if n == "UnsetNode":
        return ["unset", s.var]
    if n == "UnsetFlagNode":
        return ["unset", s.var, s.flag]
    if n == "MethodNode":
        return ["function", s.func_name, flag(s.python), flag(s.fakeroot), s.lineno - len(s.body), "\n".join(s.body)]
    if n == "PythonMethodNode":
        return ["def", s.function, s.lineno - len(s.body) - 1, "\n".join(s.body)]
    if n == "ExportFuncsNode":
        return ["EXPORT_FUNCTIONS", " ".join(s.n), s.classname]
    if n == "AddTaskNode":
        return ["addtask", s.tasks, s.before, s.after]
    if n == "DelTaskNode":
        return ["deltask", s.tasks]
    if n == "BBHandlerNode":
        return ["addhandler", " ".join(s.hs)]
    if n == "PyLibNode":
        return ["addpylib", s.libdir, s.namespace]
    if n == "InheritNode":
        return ["inherit", s.classes]
    if n == "InheritDeferredNode":
        return ["inherit_defer", s.inherit[0]]
    if n == "AddFragmentsNode":
        return ["addfragments", s.fragments_path_prefix, s.fragments_variable,
                s.flagged_variables_list_variable, s.builtin_fragments_variable]
    raise SystemExit("unknown statement " + n)


class Store:
    """As much of a data store as reading (not evaluating) a file needs."""

    def getVar(self, *args, **kwargs):
        return None

    def setVar(self, *args, **kwargs):
        pass


def read_conf(fn):
    seen = []

    class Group(list):
        def eval(self, data):
            seen.extend(self)

    saved = ast.StatementGroup
    ast.StatementGroup = Group
    try:
        ConfHandler.handle(fn, Store(), True, baseconfig=True)
    finally:
        ast.StatementGroup = saved
    return seen


def read_recipe(fn):
    root, ext = os.path.splitext(os.path.basename(fn))
    BBHandler.__dict__["cached_statements"].clear()
    for name in ("__infunc__", "__body__", "__residue__"):
        setattr(BBHandler, name, [])
    BBHandler.__inpython__ = False
    BBHandler.__classname__ = root if ext == ".bbclass" else ""
    statements = BBHandler.get_statements(fn, fn, os.path.basename(fn))
    if BBHandler.__infunc__:
        f = BBHandler.__infunc__
        raise bb.parse.ParseError("Shell function %s is never closed" % f[0], f[1], f[2])
    return statements


messages = []
bb.fatal = lambda *args: (_ for _ in ()).throw(RuntimeError("".join(args)))
bb.warn = lambda *args: None
ConfHandler.resolve_file = lambda fn, d: fn

for line in sys.stdin:
    fn = line.rstrip("\n")
    print("== " + fn)
    try:
        statements = read_conf(fn) if fn.endswith(".conf") else read_recipe(fn)
        out = ["\t".join([str(s.lineno)] + [esc(f) for f in fields(s)]) for s in statements]
    except UnicodeDecodeError as exc:
        out = ["unreadable"]
    except Exception as exc:
        out = ["error\t" + str(exc)]
    for o in out:
        print(o)
