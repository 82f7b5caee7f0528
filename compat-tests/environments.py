#!/usr/bin/env python3
"""What `bitbake -e TARGET` of the reference shows, for every recipe and variant in one go.

    BITBAKE=FOLDER python3 compat-tests/environments.py [--only PATTERN] [--jobs N]

Runs in a build directory, in CPython, with the package `bb` of the reference in FOLDER/lib. It reads
the configuration once, as the reference does for `-e TARGET`: with the history of variables, after the
recipe files have been listed. Then each recipe is parsed and printed in a process of its own, so that
none sees what another left behind.

Standard output is a stream of records: a line of JSON with `target` (the recipe file, with `virtual:…:`
and `mc:…:` before it as BitBake has it), `failed` (why there is nothing to print, or null), `messages`
(warnings and errors) and `length`, then that many bytes: what the command would print. The first record of each configuration has the target `` (or `mc:NAME`): the configuration.
"""

import argparse
import functools
import io
import json
import logging
import os
import re
import sys
import tempfile
import traceback


def start(bitbake):
    """A cooker as the server of `bitbake -e TARGET` has it when it comes to print."""
    sys.path.insert(0, os.path.join(bitbake, "lib"))
    sys.argv = [os.path.join(bitbake, "bin", "bitbake"), "-e"]
    import bb
    import bb.cooker
    import bb.cookerdata
    import bb.event
    import bb.server.process
    import bb.utils

    # The terminal program tells the server of its own environment: what was cleaned away, and the locale it set.
    cleaned = bb.utils.clean_environment()
    environment = {**os.environ, **cleaned}
    os.chdir(bb.cookerdata.findTopdir())
    features = bb.cooker.CookerFeatures
    cooker = bb.cooker.BBCooker([features.SEND_SANITYEVENTS, features.BASEDATASTORE_TRACKING])
    bb.event.LogHandler.emit = log
    # The logger that all others of BitBake hand their records on to.
    logging.getLogger("BitBake").addHandler(bb.event.LogHandler())
    cooker.updateConfigOpts({}, environment, sys.argv)
    cooker.init_configdata()
    cooker.updateCacheSync()
    # The terminal program fixes the name of its log before it sends the command.
    console = cooker.data.getVar("BB_CONSOLELOG")
    if console:
        cooker.data.setVar("BB_CONSOLELOG", console)
    collect(cooker)
    cooker.enableDataTracking()
    cooker.reset()
    cooker.enableDataTracking()
    return cooker


# Recipe files by configuration.
FILES = {}


def collect(cooker):
    """Lists the recipe files and appends of every configuration, without parsing any."""
    cooker.parseConfiguration()
    for mc in cooker.multiconfigs:
        data = cooker.databuilder.mcdata[mc]
        FILES[mc] = cooker.collections[mc].collect_bbfiles(data, data)[0]


MESSAGES = []


def log(handler, record):
    """Keeps warnings and errors for the record they belong to."""
    if record.levelno >= 30:
        MESSAGES.append(record.getMessage())


def show(cooker, mc, target, out):
    """Prints what the command prints to `out`; gives the variants a recipe says it has."""
    import bb
    import bb.data

    if target:
        collection = cooker.collections[mc]
        layer = collection.calc_bbfile_priority(target)[2]
        data = cooker.databuilder.parseRecipe(target, collection.get_file_appends(target), layer)
    else:
        data = cooker.databuilder.mcdata[mc]
        bb.data.expandKeys(data)
        bb.parse.ast.runAnonFuncs(data)
    text = io.StringIO()
    cooker.data.inchistory.emit(text)
    out.write(text.getvalue() + "\n")
    text = io.StringIO()
    bb.data.emit_env(text, data, True)
    out.write(text.getvalue() + "\n")
    for name in sorted(data.keys()):
        if data.getVarFlag(name, "func", False) and data.getVarFlag(name, "python", False):
            out.write(f"\npython {name} () {{\n{data.getVar(name, False)}}}\n\n")
    return (data.getVar("BBCLASSEXTEND") or "").split()


def apart(work):
    """Runs `work(file)` in a forked process with an unnamed file to write to; gives process and file."""
    file = tempfile.TemporaryFile()
    pid = os.fork()
    if pid:
        return pid, file
    try:
        work(file)
        file.flush()
        os._exit(0)
    except BaseException:
        MESSAGES.append(traceback.format_exc())
        os._exit(1)


def finished(pid, file):
    _, status = os.waitpid(pid, 0)
    with file:
        file.seek(0)
        return os.waitstatus_to_exitcode(status), file.read()


def record(cooker, mc, target, out):
    """Writes the record of one target; gives the variants of it."""

    def work(file):
        text, variants, failed = io.StringIO(), [], None
        try:
            variants = show(cooker, mc, target, text)
        except Exception:
            failed = traceback.format_exc()
        data = text.getvalue().encode("utf-8", "surrogateescape")
        head = {"variants": variants, "failed": failed, "messages": MESSAGES, "length": len(data)}
        file.write(json.dumps(head).encode() + b"\n" + data)

    status, answer = finished(*apart(work))
    head, _, data = answer.partition(b"\n")
    head = json.loads(head) if status == 0 else {"variants": [], "failed": f"status {status}", "messages": []}
    variants = head.pop("variants")
    head = {"target": target or (f"mc:{mc}" if mc else ""), **head, "length": len(data)}
    out.write(json.dumps(head).encode() + b"\n" + data)
    return variants


def recipe(cooker, mc, path, out):
    """Writes the records of a recipe file: itself, then its variants."""
    prefix = f"mc:{mc}:" if mc else ""
    for variant in dict.fromkeys(record(cooker, mc, prefix + path, out)):
        target = f"{prefix}virtual:{variant}:{path}"
        record(cooker, mc, target, out)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    options.add_argument("--mc", action="append")
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options = options.parse_args()
    only = re.compile(options.only)
    records = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cooker = start(os.environ["BITBAKE"])
    for mc in FILES:
        if options.mc and mc not in options.mc:
            continue
        if not options.only:
            record(cooker, mc, "", records)
        paths = [path for path in FILES[mc] if only.search(path)]
        running = []
        while paths or running:
            while paths and len(running) < options.jobs:
                running.append(apart(functools.partial(recipe, cooker, mc, paths.pop(0))))
            status, answer = finished(*running.pop(0))
            if status != 0:
                sys.exit(f"a process ended with status {status}")
            records.write(answer)
            records.flush()
    # Ends the hash equivalence server that the configuration asked for.
    cooker.post_serve()
    os._exit(0)


main()
