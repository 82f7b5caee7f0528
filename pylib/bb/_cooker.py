"""What the native cooker shows metadata: recipes for signature generators, and its own events."""

import json
import re
import types

import bb.cache
import bb.event
import bb.runqueue

# Tables by recipe (`[mc:NAME:][virtual:CLASS:]FILE`), by PN or by task id; filled natively.
_TABLES = (
    "pkg_fn", "pkg_pn", "pkg_pepvpr", "pkg_dp", "stamp", "stampclean", "stamp_extrainfo", "file_checksums", "fn_provides",
    "deps", "rundeps", "runrecs", "hashfn", "basetaskhash", "inherits", "task_deps", "fakerootenv", "fakerootnoenv",
    "fakerootdirs", "fakerootlogs",
)


class CacheData:
    """The recipes of one multiconfig that take part in a build."""

    def __init__(self, mc):
        for table in _TABLES:
            setattr(self, table, {})
        # What base hashes are made of stays native until somebody reads it.
        for name in ("siggen_varvals", "siggen_taskdeps", "siggen_gendeps"):
            setattr(self, name, bb.cache.RecipeFacts(mc, name))


def extra_depends(name, code, deps, world_target, pkg_pn, self_pn):
    """Runs a recipe's calculate_extra_depends; gives the dependencies it leaves."""
    scope = {"deps": deps, "world_target": set(world_target), "pkg_pn": pkg_pn, "self_pn": self_pn}
    text = "def %s(deps, world_target, pkg_pn, self_pn):\n%s\n%s(deps, world_target, pkg_pn, self_pn)\n" % (name, code, name)
    exec(compile(text, "<%s>" % name, "exec"), scope)
    return deps


def wants_event(name):
    """Does a class handler ask for events of this class (`module.Class`)?"""
    return bool(bb.event._catchall_handlers or bb.event._event_handler_map.get(name))


def dep_tree_generated(tree, d):
    """Gives the class handlers a build's dependency tree (JSON)."""
    tree = json.loads(tree)
    tree["providermap"] = {item: tuple(entry) for item, entry in tree["providermap"].items()}
    layers = tree["layer-priorities"]
    # An empty pattern matches no file.
    tree["layer-priorities"] = [(name, pattern, re.compile(pattern or "^NULL$"), level) for name, pattern, level in layers]
    bb.event.fire_class_handlers(bb.event.DepTreeGenerated(tree), d)


class _Stats(types.SimpleNamespace):
    """Counters of the run queue."""

    def copy(self):
        return _Stats(**vars(self))


def fire_queue_event(name, facts, d):
    """Makes the event object for a native event of the run queue, if a handler wants its class."""
    namespace = bb.event if hasattr(bb.event, name) else bb.runqueue
    if not wants_event("%s.%s" % (namespace.__name__, name)):
        return
    facts = json.loads(facts)
    if namespace is bb.event:
        usage = {dev: bb.event.DiskUsageSample(**sample) for dev, sample in facts["disk_usage"].items()}
        event = bb.event.MonitorDiskEvent(usage)
    else:
        stats = _Stats(**facts["stats"])
        # The classes take the hash from the queue they are given.
        queue = types.SimpleNamespace(rqdata=types.SimpleNamespace(get_task_hash=lambda tid: facts.get("hash")))
        args = {"stats": stats, "rq": queue, **facts["more"]}
        if "tid" in facts:
            tid = facts["tid"]
            args["task"] = tid[: -len("_setscene")] if name.startswith("scene") and tid.endswith("_setscene") else tid
        event = getattr(bb.runqueue, name)(**args)
    bb.event.fire_class_handlers(event, d)
