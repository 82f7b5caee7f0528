"""Configuration files."""

import bb


def supports(fn, d):
    return fn.endswith(".conf")


def handle(fn, data, include, baseconfig=False):
    return bb.parse.handle(fn, data, include, baseconfig)
