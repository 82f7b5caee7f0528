"""git:// URLs."""

import re

import _hz_fetch

from bb.fetch2 import NativeMethod

sha1_re = re.compile(r"^[0-9a-f]{40}$")


class Git(NativeMethod):
    _native = "git"
    _supports_srcrev = True
    _cleanup_upon_failure = False

    def init(self, d):
        pass

    def _get_repo_url(self, ud):
        return _hz_fetch.git_repository(ud)

    def gitpkgv_revision(self, ud, d, name):
        return self._call("gitpkgv_revision", ud, d, name)
