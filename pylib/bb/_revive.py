"""Events of native code as the objects that Python programs know, from their JSON form."""

import json
import logging
import types

import bb.build
import bb.cache
import bb.command
import bb.event
import bb.runqueue


def _log(facts):
    record = logging.makeLogRecord(
        {
            "name": facts["logger"],
            "levelno": facts["level"],
            "levelname": logging.getLevelName(facts["level"]),
            "msg": facts["message"],
            "args": (),
            "process": facts["pid"],
            "taskpid": facts["taskpid"] or 0,
            # It has been an event already.
            "bb_fired": True,
        }
    )
    if facts["fn_"] is not None:
        record.fn = facts["fn_"]
    return record


def _plain(class_name, **attributes):
    """An object of a class of bb, without its constructor."""
    module, _, name = class_name.rpartition(".")
    cls = getattr(getattr(bb, module.partition(".")[2], None), name, None) if module.startswith("bb.") else None
    if cls is None:
        cls = type(name, (bb.event.Event,), {"__module__": module})
    event = cls.__new__(cls)
    event.__dict__.update(attributes)
    return event


def _task(name, facts, **more):
    fn, _, mc = bb.cache.virtualfn2realfn(facts["mcfn"])
    task = facts["task"]
    return _plain(
        "bb.build." + name,
        pid=facts["pid"],
        _task=task,
        taskname=task,
        _fn=facts["mcfn"],
        taskfile=fn,
        _mc=mc or "default",
        _package=facts["package"],
        logfile=facts["logfile"],
        time=facts["time"],
        _message=facts["message"],
        **more,
    )


def _queue(name, facts):
    stats = types.SimpleNamespace(**facts.pop("stats"))
    if "task" not in facts:
        return _plain("bb.runqueue." + name, pid=0, stats=stats, **facts)
    task = facts.pop("task")
    tid = task["tid"].removesuffix("_setscene") if name.startswith("scene") else task["tid"]
    suffix = "_setscene" if name.startswith("scene") else ""
    return _plain(
        "bb.runqueue." + name,
        pid=0,
        stats=stats,
        taskid=tid,
        taskstring=tid + suffix,
        taskname=tid.rpartition(":")[2] + suffix,
        taskfile=task["mcfn"],
        taskhash=task["taskhash"],
        **facts,
    )


def event(text):
    """The object for an event in the form in which it travels between processes."""
    found = json.loads(text)
    if isinstance(found, str):
        kind, facts = found, {}
    else:
        ((kind, facts),) = found.items()
    if kind == "Log":
        return _log(facts)
    if kind == "Other":
        return _plain(facts["class"], **{"pid": 0, **facts["attributes"]})
    if kind.startswith(("RunQueueTask", "SceneQueue")):
        return _queue(kind[0].lower() + kind[1:], facts)
    if kind in ("TaskStarted", "TaskSucceeded", "TaskFailedSilent", "TaskInvalid"):
        return _task(kind, facts)
    if kind == "TaskFailed":
        return _task(kind, facts["info"], errprinted=facts["errprinted"])
    if kind == "TaskProgress":
        return _plain("bb.build.TaskProgress", **facts)
    if kind == "RunQueueExitWait":
        return bb.runqueue.runQueueExitWait(facts["remain"])
    if kind == "TaskUniHashUpdate":
        return bb.runqueue.taskUniHashUpdate(facts["tid"], facts["unihash"])
    if kind in ("CommandCompleted", "CommandFailed", "CommandExit"):
        return getattr(bb.command, kind)(*facts.values())
    if kind == "BuildStarted":
        return bb.event.BuildStarted(facts["name"], facts["pkgs"])
    if kind == "BuildCompleted":
        return bb.event.BuildCompleted(facts["total"], facts["name"], facts["pkgs"], facts["failed"], facts["interrupted"])
    if kind == "DiskFull":
        return bb.event.DiskFull(facts["dev"], facts["fs_type"], facts["free"], facts["mount"])
    if kind == "NoProvider":
        return bb.event.NoProvider(facts["item"], facts["runtime"], facts["dependees"], facts["reasons"], facts["close_matches"])
    if kind == "MultipleProviders":
        return bb.event.MultipleProviders(facts["item"], facts["candidates"], facts["runtime"])
    # The rest has the order of the constructor's arguments.
    return getattr(bb.event, kind)(*facts.values())
