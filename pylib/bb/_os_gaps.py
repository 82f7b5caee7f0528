"""What the `os` module of our interpreter lacks and that of CPython on Linux has.

Importing this adds it; metadata and its libraries call `os` and know no other.
"""

import os

import _hz_utils


def mkfifo(path, mode=0o666, *, dir_fd=None):
    if dir_fd is not None:
        path = "/proc/self/fd/%d/%s" % (dir_fd, os.fspath(path))
    _hz_utils.mkfifo(path, mode)


def major(device):
    return (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF


def minor(device):
    return device & 0xFF | (device >> 12) & ~0xFF & 0xFFFFFFFF


def makedev(major, minor):
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32


def sched_getaffinity(pid):
    return set(_hz_utils.sched_getaffinity(pid))


def sched_setaffinity(pid, mask):
    _hz_utils.sched_setaffinity(pid, list(mask))


def fdatasync(fd):
    os.fsync(fd)


def _place(path):
    return "/proc/self/fd/%d" % path if isinstance(path, int) else path


def listxattr(path=None, *, follow_symlinks=True):
    names = _hz_utils.listxattr(_place(os.curdir if path is None else path), follow_symlinks)
    return [os.fsdecode(name) for name in names]


def getxattr(path, attribute, *, follow_symlinks=True):
    value = _hz_utils.getxattr(_place(path), attribute, follow_symlinks)
    if value is None:
        import errno

        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), path)
    return value


def setxattr(path, attribute, value, flags=0, *, follow_symlinks=True):
    _hz_utils.setxattr(_place(path), attribute, value, flags, follow_symlinks)


def removexattr(path, attribute, *, follow_symlinks=True):
    _hz_utils.removexattr(_place(path), attribute, follow_symlinks)


# Flags of statvfs().f_flag, and of setxattr().
ST_NODEV = 4
ST_NOEXEC = 8
ST_SYNCHRONOUS = 16
ST_MANDLOCK = 64
ST_WRITE = 128
ST_APPEND = 256
ST_NOATIME = 1024
ST_NODIRATIME = 2048
ST_RELATIME = 4096
XATTR_CREATE = 1
XATTR_REPLACE = 2
XATTR_SIZE_MAX = 65536

for _name, _value in list(globals().items()):
    if not _name.startswith("_") and _name != "os" and not hasattr(os, _name):
        setattr(os, _name, _value)
