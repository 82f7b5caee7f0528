"""What the modules of bb.compress share: a file object around a program that filters stdin to stdout."""

import builtins
import errno
import io
import os
import subprocess


class CompressionError(OSError):
    """The program failed."""


def open_wrap(cls, filename, mode="rb", *, encoding=None, errors=None, newline=None, **kwargs):
    """Opens a compressed file as built-in open() does, by name or around an open file.

    `cls` is the PipeFile of the compression. Modes with `t` give text, all others bytes.
    """
    text = "t" in mode
    if text and "b" in mode:
        raise ValueError("Invalid mode: %r" % (mode,))
    if not text:
        for name, value in (("encoding", encoding), ("errors", errors), ("newline", newline)):
            if value is not None:
                raise ValueError("Argument '%s' not supported in binary mode" % name)

    binary_mode = mode.replace("t", "")
    if isinstance(filename, (str, bytes, os.PathLike, int)):
        binary = cls(filename, binary_mode, **kwargs)
    elif hasattr(filename, "read") or hasattr(filename, "write"):
        binary = cls(None, binary_mode, fileobj=filename, **kwargs)
    else:
        raise TypeError("filename must be a str or bytes object, or a file")
    return io.TextIOWrapper(binary, encoding, errors, newline, write_through=True) if text else binary


class PipeFile(io.RawIOBase):
    """Bytes through a program. Subclasses name it: get_compress() and get_decompress() give argument lists."""

    READ = 0
    WRITE = 1

    def __init__(self, filename=None, mode="rb", *, stderr=None, fileobj=None):
        # Set first: the destructor of a half made object asks for it.
        self._shut = True
        self.p = None
        if "t" in mode or "U" in mode:
            raise ValueError("Invalid mode: {!r}".format(mode))
        if "b" not in mode:
            mode += "b"
        if mode[0] not in "rw":
            raise ValueError("Invalid mode %r" % mode)
        self.mode = self.READ if mode[0] == "r" else self.WRITE

        self.fileobj = fileobj if fileobj is not None else builtins.open(filename, mode)
        reading = self.mode == self.READ
        self.p = subprocess.Popen(
            self.get_decompress() if reading else self.get_compress(),
            stdin=self.fileobj if reading else subprocess.PIPE,
            stdout=subprocess.PIPE if reading else self.fileobj,
            stderr=stderr,
            close_fds=True,
        )
        self.pipe = self.p.stdout if reading else self.p.stdin
        self._shut = False

    def _check_process(self):
        """Waits for the program; an error if it failed. Asked once."""
        if self.p is None:
            return
        process, self.p = self.p, None
        status = process.wait()
        if status:
            raise CompressionError("Process died with %d" % status)

    def close(self):
        if self._shut:
            return
        self._shut = True
        try:
            self.pipe.close()
            self._check_process()
        finally:
            self.fileobj.close()

    @property
    def closed(self):
        return self._shut

    def fileno(self):
        return self.pipe.fileno()

    def flush(self):
        self.pipe.flush()

    def isatty(self):
        return self.pipe.isatty()

    def readable(self):
        return self.mode == self.READ

    def writable(self):
        return self.mode == self.WRITE

    def readinto(self, b):
        if self.mode != self.READ:
            raise OSError(errno.EBADF, "read() on write-only %s object" % type(self).__name__)
        size = self.pipe.readinto(b)
        if size == 0:
            self._check_process()
        return size

    def write(self, data):
        if self.mode != self.WRITE:
            raise OSError(errno.EBADF, "write() on read-only %s object" % type(self).__name__)
        size = self.pipe.write(data)
        if not size:
            self._check_process()
        return size
