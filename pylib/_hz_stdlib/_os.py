"""What the `os` module of our interpreter lacks and that of CPython on Linux has.

Importing this adds it; metadata and its libraries call `os` and know no other.
"""

import os

import _hz_utils


_stat, _lstat, _fstat = os.stat, os.lstat, os.fstat

# Type bits of character and block devices.
_DEVICES = (0o020000, 0o060000)


def _place(path, dir_fd=None):
    """A path for what may also be a file descriptor, or relative to one."""
    if isinstance(path, int):
        return "/proc/self/fd/%d" % path
    return path if dir_fd is None else os.path.join("/proc/self/fd/%d" % dir_fd, os.fsdecode(path))


class _DeviceState:
    """The state of a device file: an os.stat_result that knows the device, too."""

    def __init__(self, state, number):
        self._state = state
        self.st_rdev = number

    def __getattr__(self, name):
        return getattr(self._state, name)

    def __getitem__(self, item):
        return self._state[item]

    def __len__(self):
        return len(self._state)


def _with_device(state, path, follow):
    return _DeviceState(state, _hz_utils.device_number(path, follow))


def stat(path, *, dir_fd=None, follow_symlinks=True):
    state = _stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
    return _with_device(state, _place(path, dir_fd), follow_symlinks) if state.st_mode & 0o170000 in _DEVICES else state


def lstat(path, *, dir_fd=None):
    state = _lstat(path, dir_fd=dir_fd)
    return _with_device(state, _place(path, dir_fd), False) if state.st_mode & 0o170000 in _DEVICES else state


def fstat(fd):
    state = _fstat(fd)
    return _with_device(state, _place(fd), True) if state.st_mode & 0o170000 in _DEVICES else state


def mkfifo(path, mode=0o666, *, dir_fd=None):
    _hz_utils.mkfifo(_place(path, dir_fd), mode)


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


_realpath = os.path.realpath


def realpath(filename, *, strict=False):
    """Python's own, for plain paths made natively: metadata asks for thousands."""
    if not strict and type(filename) is str and "\0" not in filename:
        found = _hz_utils.realpath(filename)
        if found is not None:
            return found
    return _realpath(filename, strict=strict)


os.path.realpath = realpath

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

_REPLACED = ("stat", "lstat", "fstat")
for _name, _value in list(globals().items()):
    if not _name.startswith("_") and _name not in ("os", "realpath") and (not hasattr(os, _name) or _name in _REPLACED):
        setattr(os, _name, _value)

# Who asks what os.stat can do finds ours as able as the one it wraps.
for _supports in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
    if _stat in _supports:
        _supports.add(stat)
