"""The recipes the cooker left out, for compat-tests/skipped: a JSON list of [multiconfig, file, name, reason] in
one order. Runs with the reference's package in CPython and with ours in our VM."""

import json

import bb.tinfoil

with bb.tinfoil.Tinfoil() as tinfoil:
    tinfoil.prepare(quiet=2)
    found = []
    for mc in tinfoil.cooker.multiconfigs:
        for file, skipped in tinfoil.run_command("getSkippedRecipes", mc):
            found.append([mc, file, skipped.pn, skipped.skipreason])
    print("SKIPPED " + json.dumps(sorted(found)))
