"""Collects the code of metadata: bodies.py OUT LAYER...

Runs in our VM. Writes one JSON list a line, (kind, where, text), each text once: `shell` and `python`
bodies as they stand in the files, shell bodies of all recipes also expanded, `inline` expressions,
and the functions of Python files below the layers' lib folders (`library`).
"""

import ast
import json
import logging
import os
import re
import sys

import bb
import bb.data
import bb.parse


START = re.compile(r"^((?:fakeroot\s+|python\s*(?=[\s(]))*)([\w.\-+{}$:]+)?\s*\(\s*\)\s*\{$")
INLINE = re.compile(r"\$\{@(?:\{.*?\}|.)+?\}")


def files(layers, endings):
    for layer in layers:
        for folder, below, names in os.walk(layer):
            below.sort()
            for name in sorted(names):
                if name.endswith(endings):
                    yield os.path.join(folder, name)


def plain(path, keep):
    """The bodies of a file as they stand there."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.rstrip() for line in file]
    at = 0
    while at < len(lines):
        line = lines[at]
        started = START.match(line)
        where = "%s:%d" % (path, at + 1)
        at += 1
        if started:
            body = []
            while at < len(lines) and lines[at] != "}":
                body.append(lines[at])
                at += 1
            python = "python" in (started.group(1) or "") or not started.group(2)
            keep("python" if python else "shell", where, "\n".join(body) + "\n")
        elif line.startswith("def "):
            body = [line]
            while at < len(lines) and (lines[at] == "" or lines[at][0] in " \t#"):
                body.append(lines[at])
                at += 1
            keep("python", where, "\n".join(body))
        for found in INLINE.findall(line):
            keep("inline", where, found[3:-1])


def expanded(layers, keep):
    """The functions of all recipes, expanded in the recipe."""
    d = bb.data.init()
    for name, value in (("__bbclasstype", "global"), ("TOPDIR", os.getcwd()), ("BBPATH", ":".join(layers)), ("BBLAYERS", " ".join(layers)),
                        ("MACHINE", os.environ.get("MACHINE", "qemux86-64")), ("DISTRO", os.environ.get("DISTRO", "nodistro")),
                        ("PATH", os.environ["PATH"]), ("BB_CURRENT_MC", "")):
        d.setVar(name, value)
    for layer in layers:
        path = os.path.join(layer, "conf", "layer.conf")
        if os.path.exists(path):
            d.setVar("LAYERDIR", layer)
            bb.parse.handle(path, d, True, baseconfig=True)
            d.expandVarref("LAYERDIR")
    d.delVar("LAYERDIR")
    bb.parse.handle("conf/bitbake.conf", d, True, baseconfig=True)
    for name in ["base"] + (d.getVar("INHERIT") or "").split():
        bb.parse.BBHandler.inherit(name, "configuration INHERITs", 0, d)
    d.setVar("BB_SIGNATURE_HANDLER", "noop")
    d.setVar("__bbclasstype", "recipe")
    bb.parse.init_parser(d)
    read = failed = 0
    for file in files(layers, ".bb"):
        recipe = d.createCopy()
        recipe.setVar("__BBMULTICONFIG", "")
        recipe.setVar("FILE_LAYERNAME", "core")
        recipe.setVar("__BB_RECIPE_FILE", file)
        try:
            stores = bb.parse.handle(file, recipe)
        except Exception as error:
            failed += 1
            continue
        read += 1
        for variant, store in stores.items():
            for name in store.keys():
                if not store.getVarFlag(name, "func", False):
                    continue
                where = "%s:%s:%s" % (file, variant, name)
                try:
                    if store.getVarFlag(name, "python", False):
                        keep("python", where, store.getVar(name, False))
                    else:
                        keep("shell", where, store.getVar(name))
                except Exception:
                    failed += 1
    return read, failed


def main():
    out, layers = sys.argv[1], sys.argv[2:]
    seen, counts = set(), {}
    with open(out, "w") as file:

        def keep(kind, where, text):
            if isinstance(text, str) and (kind, text) not in seen:
                seen.add((kind, text))
                counts[kind] = counts.get(kind, 0) + 1
                file.write(json.dumps([kind, where, text]) + "\n")

        for path in files(layers, (".bb", ".bbclass", ".inc", ".bbappend", ".conf")):
            plain(path, keep)
        for layer in layers:
            for path in files([os.path.join(layer, "lib")], ".py"):
                with open(path, encoding="utf-8") as source:
                    text = source.read()
                lines = text.split("\n")
                for node in ast.parse(text).body:
                    if isinstance(node, ast.FunctionDef):
                        keep("library", "%s:%d" % (path, node.lineno), "\n".join(lines[node.lineno - 1 : node.end_lineno]))
        read, failed = (0, 0) if os.environ.get("RAW") else expanded(layers, keep)
    print("%d recipes read, %d not; %s" % (read, failed, ", ".join("%d %s" % (n, kind) for kind, n in sorted(counts.items()))))


main()
