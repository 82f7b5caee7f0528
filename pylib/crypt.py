"""The `crypt` module over the C library's `crypt(3)`, which is loaded when first needed."""

import collections
import ctypes
import ctypes.util
import errno
import os
import random
import string

_CHARACTERS = string.ascii_letters + string.digits + "./"
_random = random.SystemRandom()


class _Method(collections.namedtuple("_Method", "name ident salt_chars total_size")):
    def __repr__(self):
        return "<crypt.METHOD_%s>" % self.name


METHOD_SHA512 = _Method("SHA512", "6", 16, 106)
METHOD_SHA256 = _Method("SHA256", "5", 16, 63)
METHOD_BLOWFISH = _Method("BLOWFISH", "2b", 22, 60)
METHOD_MD5 = _Method("MD5", "1", 8, 34)
METHOD_CRYPT = _Method("CRYPT", None, 2, 13)
_LIBRARY = []


def _library():
    if not _LIBRARY:
        library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
        library.crypt.restype = ctypes.c_char_p
        library.crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
        _LIBRARY.append(library)
    return _LIBRARY[0]


def mksalt(method=None, *, rounds=None):
    """A salt for a method (default: the strongest)."""
    method = METHOD_SHA512 if method is None else method
    if rounds is not None and not isinstance(rounds, int):
        raise TypeError("%s object cannot be interpreted as an integer" % type(rounds).__name__)
    if not method.ident:
        prefix = ""
    elif method is METHOD_BLOWFISH:
        rounds = 1 << 12 if rounds is None else rounds
        cost = rounds.bit_length() - 1
        if rounds != 1 << cost or not 4 <= cost <= 31:
            raise ValueError("rounds must be a power of 2 in the range 2**4 to 2**31")
        prefix = "$2b$%02d$" % cost
    elif method in (METHOD_SHA256, METHOD_SHA512):
        if rounds is not None and not 1000 <= rounds <= 999_999_999:
            raise ValueError("rounds out of the range 1000 to 999_999_999")
        prefix = "$%s$" % method.ident + ("" if rounds is None else "rounds=%d$" % rounds)
    else:
        prefix = "$%s$" % method.ident
        if rounds is not None:
            raise ValueError("%r doesn't support the rounds argument" % (method,))
    return prefix + "".join(_random.choice(_CHARACTERS) for _ in range(method.salt_chars))


def crypt(word, salt=None):
    """The hash of a password; `salt` is a salt, a hash made before, or a method."""
    if salt is None or isinstance(salt, _Method):
        salt = mksalt(salt)
    found = _library().crypt(word.encode(), salt.encode())
    if found is None or found.startswith(b"*"):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return found.decode()


def __getattr__(name):
    # Which methods there are costs hashing with each: worked out for whoever asks.
    if name == "methods":
        found = []
        for method in (METHOD_SHA512, METHOD_SHA256, METHOD_BLOWFISH, METHOD_MD5, METHOD_CRYPT):
            try:
                if len(crypt("", mksalt(method, rounds=1 << 4 if method is METHOD_BLOWFISH else None))) == method.total_size:
                    found.append(method)
            except OSError:
                pass
        globals()["methods"] = found
        return found
    raise AttributeError("module 'crypt' has no attribute %r" % name)
