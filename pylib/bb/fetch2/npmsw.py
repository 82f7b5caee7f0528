"""npmsw:// URLs are switched off in this release; npm.bbclass walks shrinkwrap files with this."""

from bb.fetch2 import FetchError, NativeMethod


def foreach_dependencies(shrinkwrap, callback=None, dev=False):
    """Calls callback(name, data, location) for each package a shrinkwrap file asks for."""
    packages = shrinkwrap.get("packages")
    if not packages:
        raise FetchError("Invalid shrinkwrap file format")
    for location, data in packages.items():
        wanted = location.startswith("node_modules/") and not data.get("inBundle", False)
        if wanted and (dev or not data.get("dev", False)):
            callback(location.rpartition("node_modules/")[2], data, location)


class NpmShrinkWrap(NativeMethod):
    _native = "npmsw"
