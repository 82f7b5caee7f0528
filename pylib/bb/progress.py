"""Progress of tasks and of the engine's own long steps, from output that passes by or by calls."""

import inspect
import math
import re
import time

import bb
import bb.build
import bb.event

# Control sequences of terminals: colours, cursor movements.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def filter_color(string):
    """The text without terminal control sequences."""
    return _CONTROL.sub("", string)


def filter_color_n(string):
    """The text without terminal control sequences, and how many there were."""
    return _CONTROL.subn("", string)


class ProgressHandler:
    """Stands between a command's output and a log, and tells how far the task is."""

    def __init__(self, d, outfile=None):
        self._progress = 0
        self._data = d
        self._lastevent = 0
        self._outfile = outfile or bb.build.StdoutNoopContextManager()

    def __enter__(self):
        self._outfile.__enter__()
        return self

    def __exit__(self, *excinfo):
        self._outfile.__exit__(*excinfo)

    def _fire_progress(self, taskprogress, rate=None):
        bb.event.fire(bb.build.TaskProgress(taskprogress, rate), self._data)

    def write(self, string):
        self._outfile.write(string)

    def flush(self):
        self._outfile.flush()

    def update(self, progress, rate=None):
        """Tells a percentage if it changed, or again after a second."""
        now = time.time()
        progress = min(progress, 100)
        if progress != self._progress or self._lastevent + 1 < now:
            self._fire_progress(progress, rate)
            self._lastevent = now
            self._progress = progress


class LineFilterProgressHandler(ProgressHandler):
    """Lets `writeline` decide about each line; of a line that was overwritten only the last state."""

    def __init__(self, d, outfile=None):
        self._linebuffer = ""
        super().__init__(d, outfile)

    def write(self, string):
        self._linebuffer += string
        while True:
            # A line that is only ever overwritten has no line feed: then a return ends it.
            end = self._linebuffer.find("\n") + 1 or self._linebuffer.find("\r") + 1
            if not end:
                return
            line, self._linebuffer = self._linebuffer[:end], self._linebuffer[end:]
            start = line.rfind("\r") + 1
            if start != end:
                line = line[start:]
            if self.writeline(filter_color(line)):
                super().write(line)

    def writeline(self, line):
        """To be overridden: False keeps the line out of the log."""
        return True


class BasicProgressHandler(ProgressHandler):
    """Takes the last percentage that a regular expression finds in the output."""

    def __init__(self, d, regex=r"(\d+)%", outfile=None):
        super().__init__(d, outfile)
        self._regex = re.compile(regex)
        # Makes the bar appear.
        self._fire_progress(0)

    def write(self, string):
        found = self._regex.findall(filter_color(string))
        if found:
            self.update(int(found[-1]))
        super().write(string)


class OutOfProgressHandler(ProgressHandler):
    """Takes the last "so many of so many" that a regular expression with two groups finds."""

    def __init__(self, d, regex, outfile=None):
        super().__init__(d, outfile)
        self._regex = re.compile(regex)
        # Makes the bar appear.
        self._fire_progress(0)

    def write(self, string):
        found = self._regex.findall(filter_color(string))
        if found:
            done, total = found[-1][:2]
            self.update(float(done) / float(total) * 100)
        super().write(string)


class MultiStageProgressReporter:
    """Progress of work in stages of known relative weight, told by next_stage() and update().

    With `debug`, finish() shows the weights that the times just measured suggest.
    """

    def __init__(self, d, stage_weights, debug=False):
        self._data = d
        total = sum(stage_weights)
        self._stage_weights = [float(weight) / total for weight in stage_weights]
        self._stage = -1
        self._stage_total = None
        self._base_progress = 0
        self._debug = debug
        self._finished = False
        self._last_time = time.time()
        self._stage_times = []
        self._callers = []
        # Makes the bar appear.
        self._fire_progress(0)

    def __enter__(self):
        return self

    def __exit__(self, *excinfo):
        pass

    def _fire_progress(self, taskprogress):
        bb.event.fire(bb.build.TaskProgress(taskprogress), self._data)

    def next_stage(self, stage_total=None):
        """Goes on to the next stage, also to the first; update() then counts up to `stage_total`."""
        self._stage += 1
        self._stage_total = stage_total
        if self._stage == 0:
            self._last_time = time.time()
            return
        if self._stage < len(self._stage_weights):
            self._base_progress = sum(self._stage_weights[: self._stage]) * 100
            if self._debug:
                now = time.time()
                self._stage_times.append(now - self._last_time)
                self._last_time = now
                self._callers.append(inspect.getouterframes(inspect.currentframe())[1])
        elif not self._debug:
            bb.warn("ProgressReporter: current stage beyond declared number of stages")
            self._base_progress = 100
        self._fire_progress(self._base_progress)

    def update(self, stage_progress):
        """Progress inside the stage: a percentage, or a part of the stage's total."""
        if self._stage < 0:
            bb.warn("ProgressReporter: update called before first call to next_stage()")
            return
        if self._stage_total:
            stage_progress = float(stage_progress) / self._stage_total * 100
        progress = self._base_progress
        if self._stage < len(self._stage_weights):
            progress += stage_progress * self._stage_weights[self._stage]
        if progress:
            self._fire_progress(min(progress, 100))

    def finish(self):
        """Ends the work; once."""
        if self._finished:
            return
        self._finished = True
        if not self._debug:
            return
        self._stage_times.append(time.time() - self._last_time)
        self._callers.append(None)
        unit = max(min(self._stage_times), 0.01)
        weights = [int(math.ceil(seconds / unit)) for seconds in self._stage_times]
        bb.warn("Stage weights: %s" % weights)
        lines = [
            "Up to %s:%d: %d" % (caller[1], caller[2], weight) if caller else "Up to finish: %d" % weight
            for weight, caller in zip(weights, self._callers)
        ]
        bb.warn("Stage times:\n  %s" % "\n  ".join(lines))


class MultiStageProcessProgressReporter(MultiStageProgressReporter):
    """The same for a step of the engine, known by a name instead of a task."""

    def __init__(self, d, processname, stage_weights, debug=False):
        self._processname = processname
        self._started = False
        super().__init__(d, stage_weights, debug)

    def start(self):
        if not self._started:
            bb.event.fire(bb.event.ProcessStarted(self._processname, 100), self._data)
            self._started = True

    def _fire_progress(self, taskprogress):
        if taskprogress == 0:
            self.start()
        else:
            bb.event.fire(bb.event.ProcessProgress(self._processname, taskprogress), self._data)

    def finish(self):
        super().finish()
        bb.event.fire(bb.event.ProcessFinished(self._processname), self._data)


class DummyMultiStageProcessProgressReporter(MultiStageProgressReporter):
    """Takes every call and tells nobody."""

    def __init__(self):
        super().__init__(None, [])

    def _fire_progress(self, taskprogress, rate=None):
        pass

    def start(self):
        pass

    def next_stage(self, stage_total=None):
        pass

    def update(self, stage_progress):
        pass

    def finish(self):
        pass
