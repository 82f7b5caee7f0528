"""Running commands: output as text, failures as exceptions that show the command and its output."""

import codecs
import errno
import logging
import os
import select
import signal
import subprocess
import sys

import _hz_utils

logger = logging.getLogger("BitBake.Process")


def subprocess_setup():
    """In a child: a closed pipe ends it, as programs not written in Python expect."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class CmdError(RuntimeError):
    """A command could not be run, or failed."""

    def __init__(self, command, msg=None):
        self.command = command
        self.msg = msg

    def __str__(self):
        command = self.command if isinstance(self.command, str) else subprocess.list2cmdline(self.command)
        text = "Execution of '%s' failed" % command
        return "%s: %s" % (text, self.msg) if self.msg else text


class NotFoundError(CmdError):
    """There is no such program."""

    def __str__(self):
        return super().__str__() + ": command not found"


class ExecutionError(CmdError):
    """The command ran and gave an exit code other than 0."""

    def __init__(self, command, exitcode, stdout=None, stderr=None):
        super().__init__(command)
        self.exitcode = exitcode
        self.stdout = stdout
        self.stderr = stderr
        self.extra_message = None

    def __str__(self):
        output = (self.stderr or "") + (self.stdout or "")
        if output:
            output = ":\n" + output
        return "%s with exit code %s%s%s" % (super().__str__(), self.exitcode, output, self.extra_message or "")


def __getattr__(name):
    # Made when somebody wants it: most commands start no program from Python.
    if name != "Popen":
        raise AttributeError("module 'bb.process' has no attribute %r" % name)

    class Popen(subprocess.Popen):
        """subprocess.Popen with pipes for all three streams."""

        defaults = {
            "close_fds": True,
            "preexec_fn": subprocess_setup,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.PIPE,
            "shell": False,
        }

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{**self.defaults, **kwargs})

    Popen.__qualname__ = "Popen"
    globals()["Popen"] = Popen
    return Popen


class _Stream:
    """One output of the child: what it wrote goes to the log and is kept."""

    def __init__(self, pipe, log):
        self.pipe = pipe
        self.log = log
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.parts = []

    def fileno(self):
        return self.pipe.fileno()

    def read(self):
        """Takes what is there; False at the end of the stream."""
        try:
            data = os.read(self.fileno(), 65536)
        except BlockingIOError:
            return True
        self.take(self.decoder.decode(data, final=not data))
        return bool(data)

    def take(self, text):
        if text:
            self.parts.append(text)
            self.log.write(text)
            self.log.flush()

    def drain(self):
        """Takes what is left without waiting: a daemon may hold the other end open."""
        while select.select([self], [], [], 0)[0] and self.read():
            pass
        self.take(self.decoder.decode(b"", final=True))
        self.pipe.close()
        return "".join(self.parts)


def _read_extra(handle, callback):
    try:
        data = handle.read()
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
            raise
        data = None
    if data is not None:
        callback(data)


def _logged_communicate(pipe, log, input, extrafiles):
    """communicate() that writes output to `log` as it comes, until the process ends."""
    from bb.utils import nonblockingfd

    if pipe.stdin:
        if input is not None:
            pipe.stdin.write(input)
        pipe.stdin.close()
    streams = {}
    for name in ("stdout", "stderr"):
        handle = getattr(pipe, name)
        if handle is not None:
            nonblockingfd(handle.fileno())
            streams[name] = _Stream(handle, log)
    extras = {}
    for handle, callback in extrafiles:
        nonblockingfd(handle.fileno())
        extras[handle] = callback

    def pump(waiting, timeout):
        for ready in select.select(waiting, [], [], timeout)[0]:
            if ready in extras:
                _read_extra(ready, extras[ready])
            elif not ready.read():
                waiting.remove(ready)

    waiting = list(streams.values()) + list(extras)
    try:
        while pipe.poll() is None:
            # With both streams closed only the end of the process is left to wait for.
            pump(waiting, 1 if any(stream in waiting for stream in streams.values()) else 0.05)
        pump(list(extras), 0)
        output = {name: stream.drain() for name, stream in streams.items()}
    finally:
        log.flush()
    return output.get("stdout", ""), output.get("stderr", "")


def run(cmd, input=None, log=None, extrafiles=None, **options):
    """Runs a command (a text goes to the shell) and gives its output and error output as text.

    With `log`, output is written there too as it comes. `extrafiles` are pairs of an open file and
    a function that gets what can be read from it. Raises NotFoundError, CmdError, ExecutionError.
    """
    if isinstance(cmd, str):
        if options.keys() == {"cwd"} and not log and input is None and isinstance(options["cwd"], str):
            known = _hz_utils.git_answer(cmd, options["cwd"])
            if known is not None:
                code, stdout, stderr = known
                if code != 0:
                    raise ExecutionError(cmd, code, stdout, stderr)
                return stdout, stderr
        options.setdefault("shell", True)
    try:
        pipe = sys.modules[__name__].Popen(cmd, **options)
    except OSError as exc:
        if exc.errno == errno.ENOENT:
            raise NotFoundError(cmd)
        raise CmdError(cmd, exc)

    if log:
        stdout, stderr = _logged_communicate(pipe, log, input, extrafiles or [])
    else:
        stdout, stderr = (data.decode("utf-8") if data is not None else None for data in pipe.communicate(input))
    if pipe.returncode != 0:
        if log:
            # The log has the output already.
            raise ExecutionError(cmd, pipe.returncode, None, None)
        raise ExecutionError(cmd, pipe.returncode, stdout, stderr)
    return stdout, stderr
