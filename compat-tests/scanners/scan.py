"""Scans code with an engine's bb.codeparser: scan.py BODIES OUT; the same text runs on both sides.

Writes a line for each body: what it refers to and calls, and the messages and errors on the way.
"""

import json
import logging
import os
import sys

import bb
import bb.codeparser
import bb.data

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from kept_messages import records


logger = logging.getLogger("BitBake.Data")


def scan(kind, text):
    if kind == "shell":
        parser = bb.codeparser.ShellParser("body", logger)
        parser.parse_shell(text)
        found = {"execs": sorted(parser.execs)}
    else:
        parser = bb.codeparser.PythonParser("body", logger)
        parser.parse_python(text)
        contains = {name: sorted(items, key=repr) for name, items in sorted(parser.contains.items())}
        found = {"references": sorted(parser.references), "execs": sorted(parser.execs), "var_execs": sorted(parser.var_execs), "contains": contains}
    if hasattr(parser.log, "flush"):
        parser.log.flush()
    return found


def main():
    with open(sys.argv[1]) as bodies, open(sys.argv[2], "w") as out:
        for line in bodies:
            kind, _, text = json.loads(line)
            try:
                found = scan(kind, text)
            except Exception as error:
                found = {"error": type(error).__qualname__, "message": "" if isinstance(error, SyntaxError) else str(error)}
            found["messages"] = [[level, name, message] for level, name, message in records() if level > logging.DEBUG]
            out.write(json.dumps(found, sort_keys=True) + "\n")


main()
