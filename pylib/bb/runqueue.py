"""Names of tasks, and the events of the run queue as handlers know them. The queue itself is native."""

import _hz_siggen
import bb.event

# -- Task ids: `[mc:NAME:][virtual:VARIANT:]FILE:TASK`


def fn_from_tid(tid):
    return tid.rsplit(":", 1)[0]


def taskname_from_tid(tid):
    return tid.rsplit(":", 1)[1]


# (configuration, the rest) of a name that may begin with `mc:NAME:`; the configuration of a task; (configuration,
# file, task, file with configuration) of a task. Generators call them for every dependency.
split_mc = _hz_siggen.split_mc
mc_from_tid = _hz_siggen.mc_from_tid
split_tid_mcfn = _hz_siggen.split_tid_mcfn


def split_tid(tid):
    """(configuration, file, task)."""
    return split_tid_mcfn(tid)[:3]


def build_tid(mc, fn, taskname):
    return "%s%s:%s" % ("mc:%s:" % mc if mc else "", fn, taskname)


# -- Events


class runQueueExitWait(bb.event.Event):
    """The queue waits for running tasks before it ends."""

    def __init__(self, remain):
        self.remain = remain
        self.message = "Waiting for %s active tasks to finish" % remain
        super().__init__()


class runQueueEvent(bb.event.Event):
    """Something about the task `taskid`."""

    def __init__(self, task, stats, rq):
        self.taskid = self.taskstring = task
        self.taskname = taskname_from_tid(task)
        self.taskfile = fn_from_tid(task)
        self.taskhash = rq.rqdata.get_task_hash(task)
        self.stats = stats.copy()
        super().__init__()


class sceneQueueEvent(runQueueEvent):
    """Something about the set-scene variant of the task `taskid`."""

    def __init__(self, task, stats, rq, noexec=False):
        super().__init__(task, stats, rq)
        self.taskstring += "_setscene"
        self.taskname += "_setscene"


class runQueueTaskStarted(runQueueEvent):
    def __init__(self, task, stats, rq, noexec=False):
        super().__init__(task, stats, rq)
        self.noexec = noexec


class sceneQueueTaskStarted(sceneQueueEvent):
    def __init__(self, task, stats, rq, noexec=False):
        super().__init__(task, stats, rq)
        self.noexec = noexec


class runQueueTaskFailed(runQueueEvent):
    def __init__(self, task, stats, exitcode, rq, fakeroot_log=None):
        super().__init__(task, stats, rq)
        self.exitcode = exitcode
        self.fakeroot_log = fakeroot_log

    def __str__(self):
        text = "Task (%s) failed with exit code '%s'" % (self.taskstring, self.exitcode)
        if self.fakeroot_log:
            text += " \nPseudo log:\n%s" % self.fakeroot_log
        return text


class sceneQueueTaskFailed(sceneQueueEvent):
    def __init__(self, task, stats, exitcode, rq):
        super().__init__(task, stats, rq)
        self.exitcode = exitcode

    def __str__(self):
        return "Setscene task (%s) failed with exit code '%s' - real task will be run instead" % (self.taskstring, self.exitcode)


class sceneQueueComplete(sceneQueueEvent):
    """Everything is decided for set-scene tasks."""

    def __init__(self, stats, rq):
        self.stats = stats.copy()
        bb.event.Event.__init__(self)


class runQueueTaskCompleted(runQueueEvent):
    pass


class sceneQueueTaskCompleted(sceneQueueEvent):
    pass


class runQueueTaskSkipped(runQueueEvent):
    def __init__(self, task, stats, rq, reason):
        super().__init__(task, stats, rq)
        self.reason = reason


class taskUniHashUpdate(bb.event.Event):
    """The server gave a task another unihash."""

    def __init__(self, task, unihash):
        self.taskid = task
        self.unihash = unihash
        super().__init__()


class PSIEvent(bb.event.Event):
    """Pressure on processors, memory and disks keeps tasks waiting, or does so no longer."""

    def __init__(self, pressure_state, pressure_values):
        super().__init__()
        self.pressure_state = pressure_state
        self.pressure_values = pressure_values
