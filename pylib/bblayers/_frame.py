"""bitbake-layers and bitbake-config-build: global options, plug-ins, and the sub-command's run."""

import argparse
import importlib
import logging
import os
import sys

import bb
import bb.msg
import bb.tinfoil
import bb.utils

# Tool -> (what it is, folder of its plug-ins in a layer's lib/, plug-ins of our own)
_TOOLS = {
    "bitbake-layers": ("Look at and change the layers of a build", "bblayers", ("action", "query", "layerindex")),
    "bitbake-config-build": ("Look at and change the configuration of a build", "bbconfigbuild", ()),
}


def _global_options(tool, about):
    parser = argparse.ArgumentParser(
        prog=tool, description=about, epilog="%(prog)s <subcommand> --help tells about a subcommand", add_help=False
    )
    parser.add_argument("-d", "--debug", help="print debug messages", action="store_true")
    parser.add_argument("-q", "--quiet", help="print nothing but errors", action="store_true")
    if tool == "bitbake-layers":
        parser.add_argument(
            "-F",
            "--force",
            help="add layers without checking that the configuration parses; twice: do not even read it first",
            action="count",
        )
    parser.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="when to use colors: %(choices)s",
        metavar="COLOR",
    )
    parser.set_defaults(force=0)
    return parser


def _plugins(logger, bbpath, folder, own):
    """Our plug-ins, then those of every BBPATH entry."""
    found = []
    for name in own:
        found.append(importlib.import_module("bblayers." + name).plugin_init(found))
    for path in bbpath:
        bb.utils.load_plugins(logger, found, os.path.join(path, "lib", folder))
    return found


def _run(tool):
    about, folder, own = _TOOLS[tool]
    logger = bb.msg.logger_create(tool, sys.stdout)
    parser = _global_options(tool, about)
    options, rest = parser.parse_known_args()
    # Only now, so that it is the sub-command's own -h if it comes after one.
    parser.add_argument("-h", "--help", action="help", default=argparse.SUPPRESS, help="print this help and exit")
    subparsers = parser.add_subparsers(title="subcommands", metavar="<subcommand>")
    subparsers.required = True
    if options.debug:
        logger.setLevel(logging.DEBUG)
    elif options.quiet:
        logger.setLevel(logging.ERROR)
    level = logger.getEffectiveLevel()
    # Plug-ins of both tools log here.
    bb.msg.logger_create("bitbake-layers", output=sys.stdout, color=options.color, level=level)

    with bb.tinfoil.Tinfoil(tracking=True) as tinfoil:
        tinfoil.logger.setLevel(level)
        bbpath = []
        if options.force < 2:
            skip = [bb.cooker.CookerFeatures.SKIP_FRAGMENTS] if tool == "bitbake-config-build" else None
            tinfoil.prepare(True, extra_features=skip)
            bbpath = tinfoil.config_data.getVar("BBPATH").split(":")
        registered = False
        for plugin in _plugins(logger, bbpath, folder, own):
            if options.force < 2 and hasattr(plugin, "tinfoil_init"):
                plugin.tinfoil_init(tinfoil)
            if hasattr(plugin, "register_commands"):
                plugin.register_commands(subparsers)
                registered = True
        if not registered:
            logger.error("No commands registered - missing plugins?")
            return 1
        args = parser.parse_args(rest, namespace=options)
        if getattr(args, "parserecipes", False):
            tinfoil.config_data.disableTracking()
            tinfoil.parse_recipes()
            tinfoil.config_data.enableTracking()
        return args.func(args)


def main():
    """The program; gives its exit status."""
    tool = os.path.basename(sys.argv[0])
    try:
        return _run(tool if tool in _TOOLS else "bitbake-layers") or 0
    except bb.BBHandledException:
        return 1
    except Exception as exc:
        # The terminal has said what went wrong where the recipes did not parse.
        if type(exc).__name__ != "TinfoilUIException":
            import traceback

            traceback.print_exc()
        return 1
