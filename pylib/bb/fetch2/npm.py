"""npm:// URLs are switched off in this release; what npm.bbclass uses of this module remains."""

import base64
import os
import re
import shlex
import tempfile

import bb.data
import bb.utils
from bb.fetch2 import NativeMethod, runfetchcmd


def npm_package(package):
    """A package's name as a file name: lower case, no characters but letters, digits, - and @."""
    plain = re.sub("[^-a-z0-9@]", "", package.replace("/", "-").lower())
    return plain.strip("-")


def npm_filename(package, version):
    return "%s-%s.tgz" % (npm_package(package), version)


def npm_localfile(package, version=None):
    """Path below DL_DIR."""
    return os.path.join("npm2", package if version is None else npm_filename(package, version))


def npm_integrity(integrity):
    """Checksum parameter and value of a subresource integrity text."""
    algorithm, _, value = integrity.partition("-")
    return algorithm + "sum", base64.b64decode(value).hex()


def npm_unpack(tarball, destdir, d):
    bb.utils.mkdirhier(destdir)
    runfetchcmd(
        "tar --extract --gzip --file=%s --no-same-owner --delay-directory-restore --strip-components=1"
        % shlex.quote(tarball), d, workdir=destdir)
    runfetchcmd("chmod -R +X '%s'" % destdir, d, quiet=True, workdir=destdir)


class NpmEnvironment(object):
    """Runs npm with a configuration of our own and nobody's home directory."""

    def __init__(self, d, configs=[], npmrc=None):
        self.d = d
        self.global_config_name = npmrc or "/dev/null"
        self.user_config = tempfile.NamedTemporaryFile(mode="w", buffering=1)
        home = os.path.join(os.environ.get("HOME", "/"), ".npmrc")
        if d.getVar("BB_USE_HOME_NPMRC") == "1" and os.path.exists(home):
            bb.warn("BB_USE_HOME_NPMRC flag set and valid .npmrc detected - npm fetcher will use %s" % home)
            with open(home) as own:
                self.user_config.write(own.read())
        for key, value in configs:
            self.user_config.write("%s=%s\n" % (key, value))

    def __del__(self):
        config = getattr(self, "user_config", None)
        if config:
            config.close()

    def run(self, cmd, args=None, configs=None, workdir=None):
        if configs:
            bb.warn("Use of configs argument of NpmEnvironment.run() function"
                    " is deprecated. Please use args argument instead.")
        for key, value in list(configs or []) + list(args or []):
            cmd += " --%s=%s" % (key, shlex.quote(value))
        cmd = "NPM_CONFIG_GLOBALCONFIG=%s NPM_CONFIG_USERCONFIG=%s %s" % (
            self.global_config_name, self.user_config.name, cmd)
        with tempfile.TemporaryDirectory() as home:
            d = bb.data.createCopy(self.d)
            # PATH may hold HOME: expand it first.
            d.setVar("PATH", d.getVar("PATH"))
            d.setVar("HOME", home)
            return runfetchcmd(cmd, d, workdir=workdir or home)


class Npm(NativeMethod):
    _native = "npm"
