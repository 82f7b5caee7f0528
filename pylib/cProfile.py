"""The `cProfile` module over `profile`, which is written in Python: the same results, slower."""

import profile as _profile
import pstats
import sys

__all__ = ["run", "runctx", "Profile"]


class Profile(_profile.Profile):
    """Like the native profiler it can be switched on and off, and used in a `with`."""

    def __init__(self, timer=None, timeunit=0.0, subcalls=True, builtins=True):
        super().__init__(timer)

    def enable(self, subcalls=True, builtins=True):
        if sys.getprofile() is not None:
            raise ValueError("Another profiling tool is already active")
        # The profiler follows the stack: what runs already, this function included, is below its first frame.
        self.set_cmd("enable")
        frame = sys._getframe()
        stack = []
        while frame is not None:
            stack.append(frame)
            frame = frame.f_back
        for frame in reversed(stack):
            self.dispatch["call"](self, frame, 0)
        sys.setprofile(self.dispatcher)

    def disable(self):
        sys.setprofile(None)

    def create_stats(self):
        self.disable()
        if self.cur is not None:
            self.simulate_cmd_complete()
        self.snapshot_stats()

    def clear(self):
        self.timings.clear()
        self.cur = None

    def getstats(self):
        """Not the native module's records, but what `pstats` reads."""
        self.create_stats()
        return self.stats

    def print_stats(self, sort=-1):
        self.create_stats()
        keys = sort if isinstance(sort, tuple) else (sort,)
        pstats.Stats(self).strip_dirs().sort_stats(*keys).print_stats()

    def __enter__(self):
        self.enable()
        return self

    def __exit__(self, *exc_info):
        self.disable()


def run(statement, filename=None, sort=-1):
    return _profile._Utils(Profile).run(statement, filename, sort)


def runctx(statement, globals, locals, filename=None, sort=-1):
    return _profile._Utils(Profile).runctx(statement, globals, locals, filename, sort)


def label(code):
    """What a line of the statistics calls a code object."""
    if isinstance(code, str):
        return ("~", 0, code)
    return (code.co_filename, code.co_firstlineno, code.co_name)
