"""What RustPython does otherwise than CPython, and only a change inside it could mend: a minimal case each.

docs/dev/python.md says what each means for metadata. `run` compares the two sides: a case whose results
agree is mended, and has to go, here and there.
"""

import sys

from uses import main, raised, use


@use("xml: text that is not well-formed is no error")
def _():
    import xml.etree.ElementTree as tree
    return raised(tree.fromstring, "<a>"), raised(tree.fromstring, "<a></b>")


@use("time: the offset in strftime")
def _():
    import os
    import time
    os.environ["TZ"] = "XYZ-3"
    time.tzset()
    return time.strftime("%z", time.localtime(0))


@use("zoneinfo finds no zones")
def _():
    import zoneinfo
    return raised(zoneinfo.ZoneInfo, "UTC")


@use("sets are shown in the order in which they were filled")
def _():
    # CPython's order is that of small numbers' hashes; nobody may rely on either.
    return repr({3, 1, 2})


@use("import ssl")
def _():
    return raised(__import__, "ssl")


@use("import tracemalloc")
def _():
    return raised(__import__, "tracemalloc")


@use("import imp")
def _():
    # Python dropped it in 3.12; nothing in metadata imports it.
    return raised(__import__, "imp")


if __name__ == "__main__":
    main()
