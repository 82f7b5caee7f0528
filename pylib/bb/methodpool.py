"""Metadata functions: their code, compiled once, and their definition for all metadata."""

import _hz_meta

compilecache = {}


def insert_method(modulename, code, fn, lineno):
    """Defines the functions of a text that stands after line `lineno` of file `fn`."""
    _hz_meta.define(code, fn, int(lineno))


def compile_cache(code):
    return compilecache.get(hash(code))


def compile_cache_add(code, compileobj):
    compilecache[hash(code)] = compileobj
