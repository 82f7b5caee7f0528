"""git:// URLs."""

import os
import re
import shutil

import _hz_fetch

from bb.fetch2 import NativeMethod

def _program(name):
    """One of our programs: it stands beside the running one, if that is an installed one."""
    beside = os.path.join(os.path.dirname(os.path.realpath("/proc/self/exe")), name)
    return beside if os.path.exists(beside) else shutil.which(name) or name


sha1_re = re.compile(r"^[0-9a-f]{40}$")


class Git(NativeMethod):
    _native = "git"
    _supports_srcrev = True
    _cleanup_upon_failure = False
    make_shallow_path = _program("git-make-shallow")

    def init(self, d):
        pass

    def _get_repo_url(self, ud):
        return _hz_fetch.git_repository(ud)

    def gitpkgv_revision(self, ud, d, name):
        return self._call("gitpkgv_revision", ud, d, name)
