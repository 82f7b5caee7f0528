"""file:// URLs: files of the metadata."""

import _hz_fetch

from bb.fetch2 import NativeMethod


class Local(NativeMethod):
    _native = "local"

    def localfile_searchpaths(self, ud, d):
        """Every path tried, the one found last."""
        return _hz_fetch.localfile_searchpaths(ud.path, d)
