"""Extended attributes of files."""

import os
import sys

import _hz_utils

fsencoding = sys.getfilesystemencoding()


def listxattr(path, follow=True):
    """Names of the attributes; of a symbolic link itself unless `follow`."""
    return [name.decode(fsencoding) for name in _hz_utils.listxattr(path, follow)]


def getxattr(path, name, follow=True):
    """Value of an attribute as bytes, "" if it is empty, None if there is none."""
    value = _hz_utils.getxattr(path, os.fsencode(name), follow)
    return "" if value == b"" else value


def get_all_xattr(path, follow=True):
    """A dictionary of all attributes; one that goes away meanwhile is left out."""
    values = {name: getxattr(path, name, follow) for name in listxattr(path, follow)}
    return {name: value for name, value in values.items() if value is not None}


def main():
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser()
    parser.add_argument("path", help="file to look at", type=Path)
    for name, value in get_all_xattr(parser.parse_args().path).items():
        try:
            value = value.decode(fsencoding)
        except (AttributeError, UnicodeDecodeError):
            pass
        print(f"{name} = {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
