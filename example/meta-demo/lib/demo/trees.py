"""Copying and describing folder trees."""

import os
import shutil


def copy_tree(source, target):
    """Copies what is below ``source`` into ``target``; both may hold folders of the same name."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def listing(top):
    """Relative paths of all files below ``top``, sorted."""
    found = []
    for folder, _, names in os.walk(top):
        for name in names:
            found.append(os.path.relpath(os.path.join(folder, name), top))
    return sorted(found)
