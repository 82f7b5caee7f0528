"""What an engine says while a probe works, kept for the comparison. Probes run under CPython with the
reference's `bb` and in our VM with ours; this is for both.
"""

import logging


class Collector(logging.Handler):
    def emit(self, record):
        kept.append((record.levelno, record.name, record.getMessage()))


kept = []
logging.getLogger("BitBake").addHandler(Collector(0))


def records():
    """(level, logger, text) of the messages since the last call."""
    taken = list(kept)
    kept.clear()
    return taken
