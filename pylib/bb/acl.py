"""POSIX access control lists, read from the attributes in which the kernel keeps them."""

import errno
import grp
import os
import pwd
import stat
import struct
import sys

import _hz_utils

ACL_TYPE_ACCESS = 0x8000
ACL_TYPE_DEFAULT = 0x4000

ACL_UNDEFINED_TAG = 0x00
ACL_USER_OBJ = 0x01
ACL_USER = 0x02
ACL_GROUP_OBJ = 0x04
ACL_GROUP = 0x08
ACL_MASK = 0x10
ACL_OTHER = 0x20

ACL_READ = 0x04
ACL_WRITE = 0x02
ACL_EXECUTE = 0x01

_ATTRIBUTES = {ACL_TYPE_ACCESS: b"system.posix_acl_access", ACL_TYPE_DEFAULT: b"system.posix_acl_default"}
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NAMES = {ACL_USER_OBJ: "user", ACL_USER: "user", ACL_GROUP_OBJ: "group", ACL_GROUP: "group", ACL_MASK: "mask", ACL_OTHER: "other"}


class Entry:
    """What one user, group or class may do; `qualifier` is the id of a named user or group."""

    def __init__(self, tag, qualifier, mode):
        self.tag = tag
        self.qualifier = qualifier
        self.mode = mode

    def __str__(self):
        who = ""
        if self.tag == ACL_USER:
            who = pwd.getpwuid(self.qualifier).pw_name
        elif self.tag == ACL_GROUP:
            who = grp.getgrgid(self.qualifier).gr_name
        bits = "".join(letter if self.mode & bit else "-" for letter, bit in (("r", ACL_READ), ("w", ACL_WRITE), ("x", ACL_EXECUTE)))
        return "%s:%s:%s" % (_NAMES.get(self.tag, ""), who, bits)


class ACL:
    """The list of a file, as bytes of its attribute."""

    def __init__(self, acl):
        self.acl = acl

    @classmethod
    def from_path(cls, path, typ):
        """The access or default list of a file; without one, the list that its mode stands for."""
        try:
            value = _hz_utils.getxattr(path, _ATTRIBUTES[typ], True)
        except OSError as exc:
            if exc.errno != errno.EOPNOTSUPP:
                raise
            value = None
        if value is None:
            value = _VERSION.pack(2)
            if typ == ACL_TYPE_ACCESS:
                mode = stat.S_IMODE(os.stat(path).st_mode)
                for tag, shift in ((ACL_USER_OBJ, 6), (ACL_GROUP_OBJ, 3), (ACL_OTHER, 0)):
                    value += _ENTRY.pack(tag, mode >> shift & 7, 0xFFFFFFFF)
        return cls(value)

    def entries(self):
        for tag, mode, who in _ENTRY.iter_unpack(self.acl[_VERSION.size :]):
            yield Entry(tag, who if tag in (ACL_USER, ACL_GROUP) else None, mode)


def main():
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser()
    parser.add_argument("path", help="file to look at", type=Path)
    for entry in ACL.from_path(parser.parse_args().path, ACL_TYPE_ACCESS).entries():
        print(entry)
    return 0


if __name__ == "__main__":
    sys.exit(main())
