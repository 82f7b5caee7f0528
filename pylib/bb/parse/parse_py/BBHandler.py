"""Recipes, classes, includes and appends."""

import os

import bb


def supports(fn, d):
    return os.path.splitext(fn)[-1] in (".bb", ".bbclass", ".inc")


def inherit(files, fn, lineno, d, deferred=False):
    """Inherits classes now."""
    import _hz_parse

    _hz_parse.inherit(files, fn, int(lineno), d, bool(deferred))


def handle(fn, d, include, baseconfig=False):
    return bb.parse.handle(fn, d, include, baseconfig)
