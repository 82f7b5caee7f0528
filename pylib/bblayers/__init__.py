"""Sub-commands of bitbake-layers. Layers that are on sys.path may bring more modules."""

import os
import sys

__path__ = list(__path__) + [p for p in (os.path.join(d, "bblayers") for d in sys.path) if p not in __path__ and os.path.isdir(p)]
