"""Files and directories: locks, copies, moves, removal, checksums of Go modules.

Offered by bb.utils.
"""

import errno
import fcntl
import glob
import logging
import os
import random
import re
import shutil
import stat
import string
import subprocess
import sys
import tempfile
from contextlib import contextmanager

import _hz_utils
import bb

logger = logging.getLogger("BitBake.Util")

NAME_MAX = 255


# -- Locks


def lockfile(name, shared=False, retry=True, block=False):
    """Takes the flock(2) lock of a file, made if it is missing; gives what unlockfile takes.

    Waits unless both `retry` and `block` are off; without `retry`, None says that it failed.
    """
    directory, base = os.path.split(name)
    if len(base) > NAME_MAX:
        stem, extension = os.path.splitext(base)
        base = stem[: NAME_MAX - len(extension)] + extension
    mkdirhier(directory)
    name = os.path.join(directory, base)
    if not os.access(directory, os.W_OK):
        logger.error("Unable to acquire lock '%s', directory is not writable", name)
        sys.exit(1)

    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if not retry and not block:
        operation |= fcntl.LOCK_NB
    while True:
        handle = None
        try:
            handle = open(name, "a+")
            fcntl.flock(handle.fileno(), operation)
            # Whoever held it before may have removed the file: then the lock is on nothing that
            # others would see, and we start again.
            if _still_there(handle):
                return handle
            handle.close()
        except OSError as exc:
            if handle is not None:
                handle.close()
            if exc.errno in (errno.EACCES, errno.ENAMETOOLONG):
                logger.error("Unable to acquire lock '%s', %s", exc.strerror, name)
                sys.exit(1)
        if not retry:
            return None


def _still_there(handle):
    try:
        return os.path.samestat(os.stat(handle.name), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def unlockfile(lf):
    """Gives a lock of lockfile back; the file is removed if nobody else shares it."""
    try:
        fcntl.flock(lf.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(lf.name)
    except OSError:
        pass
    fcntl.flock(lf.fileno(), fcntl.LOCK_UN)
    lf.close()


@contextmanager
def fileslocked(files, *args, **kwargs):
    """Holds the locks of several files inside the block."""
    held = []
    try:
        for name in files or []:
            lock = lockfile(name, *args, **kwargs)
            if lock is not None:
                held.append(lock)
        yield
    finally:
        for lock in reversed(held):
            unlockfile(lock)


# -- Directories and removal


def mkdirhier(directory):
    """Makes a directory and what is missing above it; fine if it exists."""
    if "${" in str(directory):
        bb.fatal(
            "Directory name {} contains unexpanded bitbake variable. This may cause build failures and WORKDIR polution.".format(directory)
        )
    _hz_utils.mkdirhier(directory)


def _check_unsafe_delete_path(path):
    """Is this the root, /home, or a home directory?"""
    path = os.path.abspath(path)
    if path in ("/", "//", "/home") or re.fullmatch("/home/[^/]*", path):
        return True
    home = os.environ.get("HOME", "")
    return bool(home) and re.match("(%s)$" % home, path) is not None


def remove(path, recurse=False, ionice=False):
    """Removes what a glob pattern names, as `rm -f` does, with `recurse` as `rm -rf` does."""
    if not path:
        return
    names = glob.glob(path)
    if recurse:
        for name in names:
            if _check_unsafe_delete_path(name):
                raise Exception('bb.utils.remove: called with dangerous path "%s" and recurse=True, refusing to delete!' % name)
        if names:
            command = ["ionice", "-c", "3"] if ionice else []
            subprocess.check_call(command + ["rm", "-rf"] + names)
        return
    for name in names:
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass


def prunedir(topdir, ionice=False):
    """Removes a directory and all in it."""
    if _check_unsafe_delete_path(topdir):
        raise Exception('bb.utils.prunedir: called with dangerous path "%s", refusing to delete!' % topdir)
    remove(topdir, recurse=True, ionice=ionice)


# -- Copies and moves


def rename(src, dst):
    """os.rename, and a move where that would cross file systems."""
    try:
        os.rename(src, dst)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        shutil.move(src, dst)


class _Failed(Exception):
    """A step of copyfile or movefile failed; the text says which."""


@contextmanager
def _step(message, *args):
    try:
        yield
    except (OSError, shutil.Error) as exc:
        raise _Failed("%s (%s)" % (message % args, exc)) from exc


def _clear_destination(dest):
    """The state of what is at `dest` or, if nothing is, of its directory; links are removed."""
    try:
        found = os.lstat(dest)
    except OSError:
        return False, os.lstat(os.path.dirname(dest))
    if stat.S_ISLNK(found.st_mode):
        try:
            os.unlink(dest)
            return False, found
        except OSError:
            pass
    return True, found


def _copy_link(src, dest, exists, there):
    """A link at `dest` that points where the one at `src` does."""
    target = os.readlink(src)
    if exists and not stat.S_ISDIR(there.st_mode):
        os.unlink(dest)
    os.symlink(target, dest)


def _copy_content(src, dest):
    """Content beside the destination, then renamed: nobody sees half a file."""
    shutil.copyfile(src, dest + "#new")
    rename(dest + "#new", dest)


def _take_over(path, sstat):
    os.lchown(path, sstat[stat.ST_UID], sstat[stat.ST_GID])
    # A change of owner drops the special bits: mode afterwards.
    os.chmod(path, stat.S_IMODE(sstat[stat.ST_MODE]))


def _set_times(path, newmtime, sstat):
    if newmtime:
        os.utime(path, (newmtime, newmtime))
        return newmtime
    os.utime(path, (sstat[stat.ST_ATIME], sstat[stat.ST_MTIME]))
    return sstat[stat.ST_MTIME]


def _special(program, src, dest, message):
    done = subprocess.run([program, "-f", src, dest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise _Failed("%s (%s)" % (message, done.stdout.decode("utf-8", "replace").strip()))


def movefile(src, dest, newmtime=None, sstat=None):
    """Moves a file with owner, mode and times, also between file systems.

    Gives the modification time, for a link the state of the new one; None if it failed, after a
    warning.
    """
    try:
        with _step("movefile: Stating source file failed..."):
            sstat = sstat or os.lstat(src)
        exists, there = _clear_destination(dest)

        if stat.S_ISLNK(sstat[stat.ST_MODE]):
            with _step("movefile: failed to properly create symlink: %s", dest):
                _copy_link(src, dest, exists, there)
                os.unlink(src)
                return os.lstat(dest)

        target = os.path.join(dest, os.path.basename(src)) if os.path.isdir(dest) else dest
        moved = False
        if sstat[stat.ST_DEV] == there.st_dev:
            with _step("movefile: Failed to move %s to %s", src, dest):
                rename(src, target)
                moved = True
        if not moved and stat.S_ISREG(sstat[stat.ST_MODE]):
            with _step("movefile: copy %s -> %s failed.", src, dest):
                _copy_content(src, target)
            with _step("movefile: Failed to chown/chmod/unlink %s", dest):
                _take_over(target, sstat)
                os.unlink(src)
        elif not moved:
            _special("/bin/mv", src, dest, "movefile: Failed to move special file:%s to %s" % (src, dest))
    except _Failed as exc:
        logger.warning("%s", exc)
        return None
    return _set_times(target, newmtime, sstat)


def copyfile(src, dest, newmtime=None, sstat=None):
    """Copies a file with owner, mode and times.

    Gives the modification time, for a link the state of the new one; False if it failed, after a
    warning.
    """
    try:
        with _step("copyfile: stat of %s failed", src):
            sstat = sstat or os.lstat(src)
        exists, there = _clear_destination(dest)

        if stat.S_ISLNK(sstat[stat.ST_MODE]):
            with _step("copyfile: failed to create symlink %s to %s", dest, src):
                _copy_link(src, dest, exists, there)
                os.lchown(dest, sstat[stat.ST_UID], sstat[stat.ST_GID])
                return os.lstat(dest)

        if stat.S_ISREG(sstat[stat.ST_MODE]):
            with _step("copyfile: copy %s to %s failed", src, dest):
                with _readable(src, sstat):
                    _copy_content(src, dest)
        else:
            _special("/bin/cp", src, dest, "copyfile: failed to copy special file %s to %s" % (src, dest))
        with _step("copyfile: failed to chown/chmod %s", dest):
            _take_over(dest, sstat)
    except _Failed as exc:
        logger.warning("%s", exc)
        return False
    return _set_times(dest, newmtime, sstat)


@contextmanager
def _readable(src, sstat):
    """Makes a file readable for its owner inside the block."""
    if os.access(src, os.R_OK):
        yield
        return
    os.chmod(src, sstat[stat.ST_MODE] | stat.S_IRUSR)
    try:
        yield
    finally:
        os.chmod(src, sstat[stat.ST_MODE])
        os.utime(src, (sstat[stat.ST_ATIME], sstat[stat.ST_MTIME]))


def break_hardlinks(src, sstat=None):
    """Gives a file content of its own if it shares it with other names."""
    try:
        sstat = sstat or os.lstat(src)
    except OSError as exc:
        logger.warning("break_hardlinks: stat of %s failed (%s)" % (src, exc))
        return False
    if sstat[stat.ST_NLINK] == 1:
        return True
    return copyfile(src, src, sstat=sstat)


# -- The rest


def goh1_file(filename):
    """The h1 sum of Go modules (in hexadecimal): over the members of a zip file, else of one go.mod."""
    import hashlib
    import zipfile

    lines = None
    if zipfile.is_zipfile(filename):
        try:
            with zipfile.ZipFile(filename) as archive:
                lines = ["%s  %s\n" % (hashlib.sha256(archive.read(name)).hexdigest(), name) for name in sorted(archive.namelist())]
        except zipfile.BadZipFile:
            lines = None
    if lines is None:
        lines = ["%s  go.mod\n" % _hz_utils.sha256_file(filename)]
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


def mkstemp(suffix=None, prefix=None, dir=None, text=False):
    """tempfile.mkstemp with more randomness, for directories that several machines share."""
    extra = "".join(random.choices(string.ascii_letters + string.digits, k=20))
    prefix = (prefix or tempfile.gettempprefix()) + extra
    return tempfile.mkstemp(suffix=suffix, prefix=prefix, dir=dir, text=text)


def path_is_descendant(descendant, ancestor):
    """Is `descendant` the directory `ancestor` or below it, whatever links and mounts lead there?"""
    top = os.stat(ancestor)
    path = os.path.abspath(descendant).rstrip("/")
    while path:
        if os.path.samestat(os.stat(path), top):
            return True
        path = os.path.dirname(path).rstrip("/")
    return False


def is_path_on_nfs(path):
    """Is the path (or its nearest existing parent) on an NFS mount?"""
    return _hz_utils.is_on_nfs(path)


def nonblockingfd(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


@contextmanager
def umask(new_mask):
    """Another umask inside the block."""
    before = os.umask(new_mask)
    try:
        yield
    finally:
        os.umask(before)
