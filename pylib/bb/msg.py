"""How log records look, which of them are shown, and how loggers are set up."""

import copy
import itertools
import logging
import logging.config
import os
import sys


class BBLogFormatter(logging.Formatter):
    """`NOTE: text`, `WARNING: text`, …; records of level PLAIN are the bare text."""

    DEBUG3 = 8
    DEBUG2 = 9
    DEBUG = logging.DEBUG
    VERBOSE = 19
    NOTE = logging.INFO
    PLAIN = 21
    VERBNOTE = 22
    WARNONCE = 29
    WARNING = logging.WARNING
    ERRORONCE = 39
    ERROR = logging.ERROR
    CRITICAL = logging.CRITICAL

    levelnames = {
        DEBUG3: "DEBUG",
        DEBUG2: "DEBUG",
        DEBUG: "DEBUG",
        VERBOSE: "NOTE",
        NOTE: "NOTE",
        PLAIN: "",
        VERBNOTE: "NOTE",
        WARNONCE: "WARNING",
        WARNING: "WARNING",
        ERRORONCE: "ERROR",
        ERROR: "ERROR",
        CRITICAL: "ERROR",
    }

    color_enabled = False
    BASECOLOR, BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE = range(29, 38)

    COLORS = dict.fromkeys((VERBOSE, NOTE, PLAIN, VERBNOTE), BASECOLOR)
    COLORS.update(dict.fromkeys((DEBUG3, DEBUG2, DEBUG), CYAN))
    COLORS.update(dict.fromkeys((WARNING, WARNONCE), YELLOW))
    COLORS.update(dict.fromkeys((ERROR, ERRORONCE, CRITICAL), RED))

    BLD = "\033[1;%dm"
    STD = "\033[%dm"
    RST = "\033[0m"

    def getLevelName(self, levelno):
        return self.levelnames.setdefault(levelno, "Level %d" % levelno)

    def format(self, record):
        record.levelname = self.getLevelName(record.levelno)
        if record.levelno == self.PLAIN:
            text = record.getMessage()
        else:
            text = super().format(self.colorize(record) if self.color_enabled else record)
        trace = getattr(record, "bb_exc_formatted", None)
        if trace is not None:
            text += "\n" + "".join(trace)
        return text

    def colorize(self, record):
        color = self.COLORS.get(record.levelno)
        if not self.color_enabled or color is None:
            return record
        record = copy.copy(record)
        record.levelname = self.BLD % color + record.levelname + self.RST
        record.msg = self.STD % color + str(record.msg) + self.RST
        return record

    def enable_color(self):
        self.color_enabled = True

    def __repr__(self):
        return "%s fmt='%s' color=%s" % (type(self).__name__, self._fmt, bool(self.color_enabled))


class BBLogFilter:
    """Lets records through from a level on, of some loggers from a lower one on."""

    def __init__(self, handler, level, debug_domains):
        self.stdlevel = level
        self.debug_domains = debug_domains
        handler.setLevel(min([level, *debug_domains.values()]))
        handler.addFilter(self)

    def filter(self, record):
        return record.levelno >= min(self.stdlevel, self.debug_domains.get(record.name, self.stdlevel))


class LogFilterShowOnce(logging.Filter):
    """Drops repetitions of warnings and errors that are to be shown once."""

    def __init__(self):
        super().__init__()
        self.seen_warnings = set()
        self.seen_errors = set()

    def filter(self, record):
        if record.levelno == BBLogFormatter.WARNONCE:
            seen = self.seen_warnings
        elif record.levelno == BBLogFormatter.ERRORONCE:
            seen = self.seen_errors
        else:
            return True
        if record.msg in seen:
            return False
        seen.add(record.msg)
        return True


class _LevelFilter(logging.Filter):
    sign = ""

    def __init__(self, level):
        super().__init__()
        self.strlevel = str(level)
        self.level = stringToLevel(level)

    def __repr__(self):
        return "%s level %s %s (%d)" % (type(self).__name__, self.sign, self.strlevel, self.level)


class LogFilterGEQLevel(_LevelFilter):
    """Records of a level and above."""

    sign = ">="

    def filter(self, record):
        return record.levelno >= self.level


class LogFilterLTLevel(_LevelFilter):
    """Records below a level."""

    sign = "<"

    def filter(self, record):
        return record.levelno < self.level


# What is shown by default: set once from the command line.
loggerDefaultLogLevel = BBLogFormatter.NOTE
loggerDefaultDomains = {}


def init_msgconfig(verbose, debug, debug_domains=None):
    """Sets the defaults from -v, the number of -D, and the logger names of -l (repeated: lower)."""
    global loggerDefaultLogLevel, loggerDefaultDomains
    if debug:
        loggerDefaultLogLevel = BBLogFormatter.DEBUG - debug + 1
    else:
        loggerDefaultLogLevel = BBLogFormatter.VERBOSE if verbose else BBLogFormatter.NOTE
    loggerDefaultDomains = {}
    for domain, repeated in itertools.groupby(debug_domains or []):
        loggerDefaultDomains["BitBake.%s" % domain] = logging.DEBUG - len(list(repeated)) + 1


def constructLogOptions():
    return loggerDefaultLogLevel, loggerDefaultDomains


def addDefaultlogFilter(handler, cls=BBLogFilter, forcelevel=None):
    """Makes a handler show what is shown by default, or what `forcelevel` says."""
    level, domains = constructLogOptions()
    cls(handler, level if forcelevel is None else forcelevel, domains)


def stringToLevel(level):
    """The number of a level: from a number, a name of logging, or one of ours."""
    try:
        return int(level)
    except ValueError:
        return getattr(logging, level) if hasattr(logging, level) else getattr(BBLogFormatter, level)


def fatal(msgdomain, msg):
    """Logs an error and ends the program."""
    logging.getLogger("BitBake.%s" % msgdomain if msgdomain else "BitBake").critical(msg)
    sys.exit(1)


def logger_create(name, output=sys.stderr, level=logging.INFO, preserve_handlers=False, color="auto"):
    """A logger that writes to a stream, for programs of their own."""
    logger = logging.getLogger(name)
    console = logging.StreamHandler(output)
    console.addFilter(LogFilterShowOnce())
    formatter = BBLogFormatter("%(levelname)s: %(message)s")
    if color == "always" or (color == "auto" and output.isatty() and not os.environ.get("NO_COLOR")):
        formatter.enable_color()
    console.setFormatter(formatter)
    if preserve_handlers:
        logger.addHandler(console)
    else:
        logger.handlers = [console]
    logger.setLevel(level)
    return logger


def has_console_handler(logger):
    return any(
        isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout) for handler in logger.handlers
    )


def mergeLoggingConfig(logconfig, userconfig):
    """A logging configuration with the user's on top: parts replaced by name, loggers merged."""
    merged, user = copy.deepcopy(logconfig), copy.deepcopy(userconfig)
    if user.get("version") != merged["version"]:
        raise BaseException("Bad user configuration version. Expected %r, got %r" % (merged["version"], user.get("version")))
    for part in ("handlers", "formatters", "filters"):
        merged.setdefault(part, {}).update(user.get(part, {}))

    theirs = user.setdefault("loggers", {})
    untouched = dict(theirs)
    for name, ours in merged["loggers"].items():
        if not ours.get("bitbake_merge", True):
            continue
        other = untouched.pop(name, {})
        for part in ("handlers", "filters"):
            ours.setdefault(part, []).extend(other.get(part, []))
        for key in ("level", "propagate"):
            if key in other:
                ours[key] = other[key]
    merged["loggers"].update(untouched)
    return merged


def _read_config(path):
    with open(os.path.normpath(path)) as f:
        if path.endswith((".yml", ".yaml")):
            import yaml

            return yaml.safe_load(f)
        if path.endswith((".json", ".cfg")):
            import json

            return json.load(f)
    raise BaseException("Unrecognized file format: %s" % path)


def setLoggingConfig(defaultconfig, userconfigfile=None):
    """Sets up logging from a configuration dictionary and the user's file (BB_LOGCONFIG), if any."""
    config = copy.deepcopy(defaultconfig)
    if userconfigfile:
        user = _read_config(userconfigfile)
        config = mergeLoggingConfig(config, user) if user.get("bitbake_merge", True) else user

    for name, handler in config["handlers"].items():
        if "level" in handler:
            handler["level"] = stringToLevel(handler["level"])
        # Each handler needs a memory of its own of what was shown once.
        once = name + ".showonceFilter"
        config.setdefault("filters", {})[once] = {"()": "bb.msg.LogFilterShowOnce"}
        handler.setdefault("filters", []).append(once)
    for logger in config["loggers"].values():
        if "level" in logger:
            logger["level"] = stringToLevel(logger["level"])

    configurator = logging.config.dictConfigClass(config)
    configurator.configure()

    for name, logger in config["loggers"].items():
        if name.startswith("BitBake.") and "level" in logger:
            level = int(logger["level"])
            loggerDefaultDomains[name] = min(level, loggerDefaultDomains.get(name, level))
    return configurator
