"""Finding and reading configuration files."""

import os

import bb
import bb.parse


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


def parse_config_file(fn, data, include=True):
    """Reads a configuration file into a store."""
    return bb.parse.handle(fn, data, include, baseconfig=True)
