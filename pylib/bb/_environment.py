"""Which environment variables reach the build, and changing the environment for a while.

Offered by bb.utils.
"""

import locale
import logging
import os
import sys
from contextlib import contextmanager

logger = logging.getLogger("BitBake.Util")


def preserved_envvars_exported():
    """Variables that pass from the user's environment into the metadata and out to tasks."""
    return ["BB_TASKHASH", "HOME", "LOGNAME", "PATH", "PWD", "SHELL", "USER", "LC_ALL", "BBSERVER"]


def preserved_envvars():
    """Variables that pass from the user's environment into the metadata."""
    return ["BBPATH", "BB_PRESERVE_ENV", "BB_ENV_PASSTHROUGH_ADDITIONS"] + preserved_envvars_exported()


def approved_variables():
    """Variables that may stay in the environment, the user's own choices included."""
    if "BB_PRESERVE_ENV" in os.environ:
        return os.environ.keys()
    if "BB_ENV_PASSTHROUGH" in os.environ:
        approved = os.environ["BB_ENV_PASSTHROUGH"].split() + ["BB_ENV_PASSTHROUGH"]
    else:
        approved = preserved_envvars()
    if "BB_ENV_PASSTHROUGH_ADDITIONS" in os.environ:
        approved += os.environ["BB_ENV_PASSTHROUGH_ADDITIONS"].split()
        if "BB_ENV_PASSTHROUGH_ADDITIONS" not in approved:
            approved.append("BB_ENV_PASSTHROUGH_ADDITIONS")
    return approved


def filter_environment(good_vars):
    """Drops every variable but the named ones and sets the locale; gives what was dropped."""
    removed = {name: value for name, value in os.environ.items() if name not in good_vars}
    for name in removed:
        del os.environ[name]
    # Programs written in Python take the encoding of file names from here.
    os.environ["LC_ALL"] = "en_US.UTF-8"
    if removed:
        logger.debug("Removed the following variables from the environment: %s", ", ".join(removed))
    return removed


def clean_environment():
    """Drops what is not approved, unless the user wants it all; gives what was dropped."""
    if "BB_PRESERVE_ENV" in os.environ:
        return {}
    return filter_environment(approved_variables())


def empty_environment():
    """Drops every variable."""
    for name in list(os.environ):
        del os.environ[name]


def build_environment(d):
    """Puts every exported variable of the store into the environment."""
    for name in d.keys():
        if d.getVarFlag(name, "export", False):
            os.environ[name] = d.getVar(name) or ""


@contextmanager
def environment(**envvars):
    """Sets variables inside the block; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in envvars}
    try:
        os.environ.update(envvars)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def export_proxies(d):
    """Puts proxy and credential settings of the store into the environment, as fetching does."""
    from bb.fetch2 import get_fetcher_environment

    os.environ.update(get_fetcher_environment(d))


def check_system_locale():
    """Ends the program unless the locale that builds run in exists here."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    except locale.Error:
        sys.exit("Please make sure locale 'en_US.UTF-8' is available on your system")
    locale.setlocale(locale.LC_CTYPE, before)
    if sys.getfilesystemencoding() != "utf-8":
        sys.exit(
            "Please use a locale setting which supports UTF-8 (such as LANG=en_US.UTF-8).\n"
            "Python can't change the filesystem locale after loading so we need a UTF-8 when Python starts or things won't work."
        )
