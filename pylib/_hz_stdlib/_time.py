"""`time.tzset`: the time zone of the environment takes effect in this process."""

import time


def tzset():
    import ctypes

    libc = ctypes.CDLL(None)
    libc.tzset()
    names = (ctypes.c_char_p * 2).in_dll(libc, "tzname")
    time.tzname = tuple(name.decode() for name in names)
    time.timezone = ctypes.c_long.in_dll(libc, "timezone").value
    time.daylight = ctypes.c_int.in_dll(libc, "daylight").value
    # As CPython: the offset in summer is that of whichever half of the year is not standard time.
    halves = [time.localtime(month * 2629800).tm_gmtoff for month in (0, 6)]
    time.altzone = -max(halves) if time.daylight else time.timezone


time.tzset = tzset
