"""http, https, ftp and ftps URLs."""

import re

import _hz_fetch

from bb.fetch2 import NativeMethod


class Wget(NativeMethod):
    _native = "wget"

    def check_certs(self, d):
        return (d.getVar("BB_CHECK_SSL_CERTS") or "1") != "0"

    @property
    def basecmd(self):
        return "/usr/bin/env wget --tries=2 --timeout=100"

    def _runwget(self, ud, d, command, quiet, workdir=None):
        _hz_fetch.run_wget(ud, d, command, workdir)


def __getattr__(name):
    # Made when asked for: nothing of ours needs it, and it brings in the whole of bb.build.
    if name != "WgetProgressHandler":
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    import bb.progress

    class WgetProgressHandler(bb.progress.LineFilterProgressHandler):
        """Takes the progress out of what `wget --progress=dot` prints."""

        def __init__(self, d):
            super().__init__(d)
            self._fire_progress(0)

        def writeline(self, line):
            found = re.findall(r"(\d+)%\s+([\d.]+[A-Z])", line)
            if not found:
                return True
            percent, rate = found[-1]
            self.update(int(percent), rate + "/s")
            return False

    globals()[name] = WgetProgressHandler
    return WgetProgressHandler
