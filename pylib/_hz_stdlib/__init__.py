"""What the standard library of our interpreter lacks, or does otherwise than CPython's on Linux.

Imported when the interpreter starts, so that whoever imports a module of the standard library finds
it whole. Modules that are missing altogether stand beside this package under their own names
(`readline`, `cProfile`, …). docs/dev/python.md lists all of it.
"""

import sys

from _hz_stdlib import _lazy  # before all that imports more
from _hz_stdlib import _os, _signal, _time

# Who asks whether a hook was replaced compares these; the interpreter makes two objects of one function.
sys.__excepthook__, sys.__displayhook__ = sys.excepthook, sys.displayhook
