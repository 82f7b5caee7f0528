"""`bitbake-dumpsig`, `bitbake-diffsigs` and what `-S printdiff` says: signature files looked for and compared.

Files are found by the metadata (`bb.siggen.find_siginfo`) and compared natively.
"""

import argparse
import logging
import os
import re
import sys

import bb
import bb.msg
import bb.runqueue
import bb.siggen

# A SHA-256 as hexadecimal digits, not part of a longer word.
_HASH = re.compile(r"(?<![a-z0-9])[a-f0-9]{64}(?![a-z0-9])", re.IGNORECASE)


def _by_time(found):
    """Hashes of a find_siginfo answer, oldest file first."""
    return sorted(found, key=lambda signature: found[signature]["time"])


# -- -S printdiff


def explain(tid, pn, taskname, unihash, mcdata, config):
    """Says how a task's signature differs from the nearest file there is of another one."""

    def recurse(key, old, new):
        bb.debug(1, "Recursively looking for recipe {} hashes {}".format(key, [old, new]))
        found = bb.siggen.find_siginfo(key, None, [old, new], config)
        bb.debug(1, "Found hashfiles:\n{}".format(found))
        if len(found) != 2:
            return ["Unable to find matching sigdata for %s with hashes %s or %s" % (key, old, new)]
        return ["    " + line for line in bb.siggen.compare_sigfiles(found[old]["path"], found[new]["path"], recurse)]

    bb.siggen.check_siggen_version(bb.siggen)
    bb.debug(1, "Looking for recipe {} task {}".format(pn, taskname))
    found = bb.siggen.find_siginfo(pn, taskname, [], mcdata)
    bb.debug(1, "Found hashfiles:\n{}".format(found))
    ours = [entry["path"] for entry in found.values() if unihash in entry["path"]]
    if not ours:
        bb.fatal("Can't find a task we're supposed to have written out? (hash: %s tid: %s)?" % (unihash, tid))
    others = {signature: entry for signature, entry in found.items() if unihash not in signature}
    # What was built here says more than what came from elsewhere.
    others = {signature: entry for signature, entry in others.items() if not entry["sstate"]} or others
    if not others:
        return
    nearest = others[_by_time(others)[-1]]["path"]
    lines = bb.siggen.compare_sigfiles(nearest, ours[-1], recurse)
    bb.plain(
        "\nTask %s:%s couldn't be used from the cache because:\n  We need hash %s, most recent matching task was %s\n  %s"
        % (pn, taskname, unihash, _HASH.search(nearest).group(0), "\n  ".join(lines))
    )


# -- The programs


class _Tool:
    """One run of a program. `configure()` gives the stores of a build directory by multiconfig."""

    def __init__(self, name, configure):
        self.name = name
        self.logger = bb.msg.logger_create(name)
        self._configure = configure
        self._stores = None
        self.color = False

    def stores(self):
        if self._stores is None:
            # What the configuration is read in is the build directory; file names are the user's.
            here = os.getcwd()
            self._stores = self._configure()
            os.chdir(here)
            if self._stores is None:
                sys.exit(1)
        return self._stores

    def fail(self, message, *args):
        self.logger.error(message % args if args else message)
        sys.exit(1)

    def find(self, pn, taskname, signatures=None):
        stores = self.stores()
        mc, pn = bb.runqueue.split_mc(pn)
        try:
            bb.siggen.check_siggen_version(bb.siggen)
            return bb.siggen.find_siginfo(pn, taskname, signatures, stores[mc])
        except bb.BBHandledException:
            sys.exit(2)
        except KeyError:
            if mc in stores:
                raise
            self.logger.error("Command execution failed: no multiconfig is named '%s'" % mc)
            sys.exit(2)

    def find_task(self, pn, taskname, wanted):
        """Files of the wanted signatures, or of the last two."""
        if not taskname.startswith("do_"):
            taskname = "do_" + taskname
        found = self.find(pn, taskname, wanted)
        if wanted:
            old, new = wanted
            if not found:
                self.fail("No sigdata files found matching %s %s matching either %s or %s", pn, taskname, old, new)
            for signature in wanted:
                if signature not in found:
                    self.fail("No sigdata files found matching %s %s with signature %s", pn, taskname, signature)
            return [found[old]["path"], found[new]["path"]]
        latest = _by_time(found)[-2:]
        if not latest:
            self.fail("No sigdata files found matching %s %s", pn, taskname)
        return [found[signature]["path"] for signature in latest]

    def recurse(self, key, old, new):
        found = self.find(key, None, [old, new])
        missing = [signature for signature in (old, new) if signature not in found]
        if not found:
            return ["Unable to find matching sigdata for %s with hashes %s or %s" % (key, old, new)]
        if missing:
            return ["Unable to find matching sigdata for %s with hash %s" % (key, missing[0])]
        changes = self.compare(found[old]["path"], found[new]["path"])
        return ["    " + line for change in changes for line in change.splitlines()]

    def compare(self, old, new):
        return bb.siggen.compare_sigfiles(old, new, self.recurse, color=self.color)


def _parser(name, dump):
    parser = argparse.ArgumentParser(
        prog=name,
        description="Shows what a signature file (sigdata, siginfo) says" if dump else "Shows what differs between two signature files (sigdata, siginfo)",
    )
    parser.add_argument("-D", "--debug", action="store_true", help="say which files are read")
    if dump:
        parser.add_argument(
            "-t", "--task", dest="taskargs", nargs=2, metavar=("recipename", "taskname"),
            help="show the file of this task's last run",
        )
        parser.add_argument("sigdatafile1", nargs="?", metavar="sigdatafile", help="the file, unless -t finds it")
        return parser
    parser.add_argument(
        "-c", "--color", choices=["auto", "always", "never"], default="auto", metavar="color",
        help="use colour: %(choices)s",
    )
    parser.add_argument("-d", "--dump", action="store_true", help="show one file, the last found, as bitbake-dumpsig does")
    parser.add_argument(
        "-t", "--task", dest="taskargs", nargs=2, metavar=("recipename", "taskname"),
        help="compare the files of this task's last two runs",
    )
    parser.add_argument(
        "-s", "--signature", dest="sigargs", nargs=2, metavar=("fromsig", "tosig"),
        help="with -t: compare the files of these two signatures",
    )
    parser.add_argument("sigdatafile1", nargs="?", help="the first file; shown if it is the only one")
    parser.add_argument("sigdatafile2", nargs="?", help="the second file")
    return parser


def main(name, args, configure):
    """Runs `bitbake-dumpsig` or `bitbake-diffsigs`; leaves with SystemExit on errors."""
    only_dump = name == "bitbake-dumpsig"
    parser = _parser(name, only_dump)
    options = parser.parse_args(args)
    tool = _Tool(name, configure)
    if options.debug:
        tool.logger.setLevel(logging.DEBUG)
    dump = only_dump or options.dump
    sigargs = None if only_dump else options.sigargs
    first, second = options.sigdatafile1, None if only_dump else options.sigdatafile2
    if not only_dump:
        tool.color = options.color == "always" or (options.color == "auto" and sys.stdout.isatty())

    if options.taskargs:
        pn, taskname = options.taskargs
        tool.stores()
        files = tool.find_task(pn, taskname, None if dump else sigargs)
        if dump:
            tool.logger.debug("Signature file: %s" % files[-1])
            lines = bb.siggen.dump_sigfile(files[-1])
        elif len(files) < 2:
            tool.fail("Only one matching sigdata file found for the specified task (%s %s)", pn, taskname)
        else:
            tool.logger.debug("Signature file (previous): %s" % files[-2])
            tool.logger.debug("Signature file (latest): %s" % files[-1])
            lines = tool.compare(files[-2], files[-1])
    elif sigargs:
        tool.fail("-s/--signature can only be used together with -t/--task")
    elif not first:
        tool.logger.error("Must specify signature file(s) or -t/--task")
        parser.print_help()
        sys.exit(1)
    else:
        try:
            if second and not dump:
                tool.stores()
                lines = tool.compare(first, second)
            else:
                lines = bb.siggen.dump_sigfile(first)
        except OSError as error:
            tool.fail(str(error))
    if lines:
        print("\n".join(lines))
