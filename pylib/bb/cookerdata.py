"""Finding and reading configuration files."""

import functools
import logging
import os

import bb
import bb.parse

parselog = logging.getLogger("BitBake.Parsing")


def catch_parse_error(func):
    """Decorator: whatever goes wrong with the file named first is told, and is then handled."""

    @functools.wraps(func)
    def wrapped(fn, *args):
        try:
            return func(fn, *args)
        except Exception as error:
            parselog.critical("Unable to parse %s" % fn, exc_info=error)
            raise bb.BBHandledException() from error

    return wrapped


def findConfigFile(configfile, data):
    """`conf/FILE` along BBPATH, then in the current directory and above; None if there is none."""
    search = [os.path.join(d, "conf", configfile) for d in (data.getVar("BBPATH") or "").split(":") if d]
    path = os.getcwd()
    while path != "/":
        search.append(os.path.join(path, "conf", configfile))
        path = os.path.dirname(path)
    return next((f for f in search if os.path.exists(f)), None)


def findTopdir():
    """The build directory."""
    d = bb.data.init()
    if "BBPATH" in os.environ:
        d.setVar("BBPATH", os.environ["BBPATH"])
    layerconf = findConfigFile("bblayers.conf", d)
    if layerconf:
        return os.path.dirname(os.path.dirname(layerconf))
    return os.path.abspath(os.getcwd())


@catch_parse_error
def parse_config_file(fn, data, include=True):
    """Reads a configuration file into a store."""
    return bb.parse.handle(fn, data, include, baseconfig=True)
