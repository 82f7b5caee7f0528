"""bitbake-getvar: prints one variable of the configuration or of a recipe."""

import logging
import sys

_SWITCHES = {"-u": "unexpand", "--unexpand": "unexpand", "--value": "value", "-q": "quiet", "--quiet": "quiet",
             "--ignore-undefined": "ignore_undefined"}
_VALUES = {"-r": "recipe", "--recipe": "recipe", "-f": "flag", "--flag": "flag"}


class _Arguments:
    recipe = flag = variable = None
    unexpand = value = quiet = ignore_undefined = False


def _plain_arguments(words):
    """The arguments where each is written out; None where `argparse` has to tell what is meant or wrong. Importing
    that takes as long as finding the value."""
    args = _Arguments()
    words = iter(words)
    for word in words:
        if word in _SWITCHES:
            setattr(args, _SWITCHES[word], True)
        elif word in _VALUES:
            value = next(words, "-")
            if value.startswith("-"):
                return None
            setattr(args, _VALUES[word], value)
        elif word.startswith("-") or not word or args.variable is not None:
            return None
        else:
            args.variable = word
    return None if args.variable is None else args


def _arguments():
    args = _plain_arguments(sys.argv[1:]) or _parsed_arguments()
    if not args.value:
        for option, given in (("--unexpand", args.unexpand), ("--flag", args.flag)):
            if given:
                sys.exit("%s only makes sense with --value" % option)
    return args


def _parsed_arguments():
    import argparse

    parser = argparse.ArgumentParser(description="Print a variable as the build sees it")
    parser.add_argument("variable", help="name of the variable")
    parser.add_argument("-r", "--recipe", help="ask in this recipe instead of the configuration")
    parser.add_argument("-u", "--unexpand", help="leave references as they are (with --value)", action="store_true")
    parser.add_argument("-f", "--flag", help="ask for a flag of the variable (with --value)")
    parser.add_argument("--value", help="print the value alone, without name and history", action="store_true")
    parser.add_argument("-q", "--quiet", help="keep quiet about the start-up", action="store_true")
    parser.add_argument("--ignore-undefined", help="an undefined variable is no error", action="store_true")
    return parser.parse_args()


def _store(tinfoil, args, quiet):
    import bb.providers

    if not args.recipe:
        tinfoil.prepare(quiet=2, config_only=True)
        return tinfoil.finalizeData()
    tinfoil.prepare(quiet=3 if quiet else 2)
    try:
        return tinfoil.parse_recipe(args.recipe)
    except bb.providers.NoProvider as exc:
        sys.exit(str(exc))


def main():
    args = _arguments()
    import bb.data
    import bb.tinfoil

    quiet = args.quiet or args.value
    if quiet:
        logging.getLogger("BitBake").setLevel(logging.WARNING)
    try:
        with bb.tinfoil.Tinfoil(tracking=True, setup_logging=not quiet) as tinfoil:
            d = _store(tinfoil, args, quiet)
            if args.flag:
                value = d.getVarFlag(args.variable, args.flag, expand=not args.unexpand)
                if value is None and not args.ignore_undefined:
                    sys.exit("The flag '%s' is not defined for variable '%s'" % (args.flag, args.variable))
            else:
                value = d.getVar(args.variable, expand=not args.unexpand)
                if value is None and not args.ignore_undefined:
                    sys.exit("The variable '%s' is not defined" % args.variable)
            if args.value:
                print("" if value is None else value)
            else:
                bb.data.emit_var(args.variable, o=sys.stdout, d=d, all=True)
    except (bb.BBHandledException, bb.tinfoil.TinfoilUIException):
        # Whoever raised it has said why.
        return 1
    return 0
