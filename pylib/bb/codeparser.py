"""What code reads and calls; the scanning is native."""

import ast
import hashlib
import logging

import _hz_data
import _hz_meta

logger = logging.getLogger("BitBake.CodeParser")

# Facts of the library functions stand in the engine; nobody else adds any.
modulecode_deps = {}


def update_module_dependencies(d):
    """Nothing is left to do: `vardepsexclude` flags on the names of library functions are read from
    the configuration whenever hashes are made."""


def bbhash(s):
    return hashlib.sha256(s.encode("utf-8")).hexdigest()


def check_indent(codestr):
    """Makes a text that begins indented compile."""
    i = 0
    while codestr[i] in ("\n", "\t", " "):
        i += 1
    if i == 0:
        return codestr
    if codestr[i - 1] in ("\t", " "):
        # One empty line makes room for the one put in front.
        codestr = codestr.removeprefix("\n")
        return "if 1:\n" + codestr
    return codestr


def _handed_over(code):
    """Names that code hands to bb.build to be run; they are among its `execs`, too."""
    names = set()
    if "bb.build.exec_" in code:
        for call in ast.walk(ast.parse(check_indent(code))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("bb.build.exec_func", "bb.build.exec_task"):
                if isinstance(call.args[0], ast.Constant):
                    names.add(call.args[0].value)
    return names


class PythonParser:
    """Scans Python: `references`, `execs`, `contains`."""

    def __init__(self, name, log):
        self.name = name
        self.log = log
        self.references = set()
        self.execs = set()
        self.var_execs = set()
        self.contains = {}
        self.extra = None

    def parse_python(self, node, lineno=0, filename="<string>", fixedhash=None, func=None):
        if not node or not node.strip():
            return
        self.references, self.execs, self.contains = _hz_data.scan_python(node, self.name)
        self.var_execs = _handed_over(node)
        for function, argument in _hz_meta.scan_python(node)[4]:
            self.log.debug(
                "while parsing %s, in call of %s, argument '%s' is not a string literal" % (self.name, function, argument)
            )
        if func is not None:
            self.references |= getattr(func, "bb_vardeps", set())
            self.references -= getattr(func, "bb_vardepsexclude", set())


class ShellParser:
    """Scans shell: `execs`."""

    def __init__(self, name, log):
        self.name = name
        self.log = log
        self.execs = set()

    def parse_shell(self, value):
        self.execs = _hz_meta.scan_shell(value)
        return self.execs
