"""The two engines a comparison runs over one build directory, each a folder with a BitBake."""

import os
import sys


def own_program(folder):
    """Ours, if the folder holds ours: it runs what the reference has CPython for."""
    path = os.path.join(folder, "bin", "hitzeleiter")
    return path if os.path.exists(path) else None


def environment(folder):
    """The environment of a shell that is set up for a build, with the folder's BitBake in it."""
    # Sets of the reference come in one order, at least.
    found = dict(os.environ, BITBAKE=folder, PYTHONHASHSEED="0")
    # The shell's own BitBake gives way to this one, in the same place.
    own = os.path.join(folder, "bin")
    paths = found["PATH"].split(":")
    paths = [own if os.path.exists(os.path.join(p, "bitbake")) else p for p in paths]
    found["PATH"] = ":".join(dict.fromkeys(paths if own in paths else [own, *paths]))
    return found


def python(folder, script):
    """The command that runs a script of bb.tinfoil with the folder's `bb`, and its environment."""
    own = own_program(folder)
    if own:
        return [own, "python", script], environment(folder)
    return [sys.executable, script], dict(environment(folder), PYTHONPATH=os.path.join(folder, "lib"))
