"""Gives bb.tinfoil the cooker's commands that programs use and prints what comes of each, for compat-tests/layers:
the same script runs with the reference's package in CPython and with ours in our VM.

argv: a recipe to look at, and the file of a class."""

import json
import logging
import sys

import bb.command
import bb.event
import bb.tinfoil

recipe, class_file = sys.argv[1:3]

# The same set gives its members in another order each time.
def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def order_free(model):
    """What recipes need comes out of sets."""
    for table in ("depends", "rdepends-pn"):
        for items in model.get(table, {}).values():
            items.sort()
    return model


def shown(event):
    name = type(event).__name__
    if isinstance(event, logging.LogRecord):
        return "%s: %s" % (event.levelname, event.getMessage())
    if hasattr(event, "_model"):
        order_free(event._model)
    facts = {key: plain(value) for key, value in vars(event).items() if key in ("_model", "sig", "exitcode", "result", "_files", "_pkgs", "taskname", "_package")}
    return "%s %s" % (name, json.dumps(facts, indent=1, sort_keys=True, default=str))


def ended(event):
    return isinstance(event, (bb.command.CommandCompleted, bb.command.CommandExit))


CLASSES = (
    "bb.event.TargetsTreeGenerated bb.event.GetTaskSignatureResult bb.command.CommandCompleted bb.command.CommandFailed "
    "bb.command.CommandExit bb.event.BuildStarted bb.event.BuildCompleted bb.event.BuildInit bb.build.TaskStarted "
    "bb.build.TaskSucceeded bb.event.NoProvider"
).split()


def command(tinfoil, name, *params):
    print("== %s %s" % (name, json.dumps(params)), flush=True)
    # What an earlier command left.
    while tinfoil.wait_event(0):
        pass
    try:
        print("gives %r" % tinfoil.run_command(name, *params))
    except Exception as exc:
        print("%s: %s" % (type(exc).__name__, str(exc).strip().splitlines()[-1:]))
        return
    lines = []
    while True:
        event = tinfoil.wait_event(60)
        if event is None:
            lines.append("(nothing more)")
            break
        if isinstance(event, logging.LogRecord) and event.levelno < logging.INFO:
            continue
        lines.append(shown(event))
        if ended(event):
            break
    print("\n".join(lines), flush=True)


with bb.tinfoil.Tinfoil(tracking=False) as tinfoil:
    tinfoil.prepare(quiet=2)
    tinfoil.set_event_mask(CLASSES)
    command(tinfoil, "generateTargetsTree", None, [recipe])
    command(tinfoil, "generateTargetsTree", class_file, [recipe])
    command(tinfoil, "generateTargetsTree", None, [])
    command(tinfoil, "generateTargetsTree", None, ["nosuch"])
    command(tinfoil, "getTaskSignatures", [recipe], [])
    command(tinfoil, "getTaskSignatures", [recipe], ["do_compile"])
    command(tinfoil, "getTaskSignatures", [recipe], ["do_fetch", "do_listtasks"])
    command(tinfoil, "getTaskSignatures", ["nosuch"], ["do_compile"])
    command(tinfoil, "compareRevisions")
    command(tinfoil, "buildFile", recipe + "_2", "listtasks", False)
    command(tinfoil, "buildFile", recipe + "_2", "fetch", True)
    command(tinfoil, "buildFile", "nosuch", "fetch", True)
    command(tinfoil, "getTaskSignatures", [recipe], ["do_compile"])
    # Where one of these fails, the reference keeps the state it was in.
    command(tinfoil, "showEnvironmentTarget", [recipe])
    command(tinfoil, "showEnvironment", "meta-demo/.*/%s_1.0.bb$" % recipe)
    command(tinfoil, "showEnvironment", None)
    command(tinfoil, "showVersions")
    print(tinfoil.parse_recipe(recipe).getVar("PV"))
