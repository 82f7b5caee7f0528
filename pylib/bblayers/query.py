"""Sub-commands that show things: show-layers, -overlayed, -recipes, -appends, -cross-depends."""

import collections
import fnmatch
import logging
import os
import re
import sys

import bb.cache
import bb.utils
from bblayers.common import LayerPlugin

logger = logging.getLogger("bitbake-layers")

_CLASS_FOLDERS = ("classes-global", "classes-recipe", "classes")
# Inherited classes appear by name and by path; this is the former.
_CLASS_NAME = re.compile("classes.*/")


def plugin_init(plugins):
    return QueryPlugin()


def _class_of(path):
    return os.path.splitext(os.path.basename(path))[0]


def _matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _version(version):
    pe, pv, _ = version
    return "%s:%s" % (pe, pv) if pe else "%s" % pv


class _Listing:
    """A list of recipes with their versions, as show-recipes and show-overlayed print it."""

    def __init__(self, plugin, title, mc, patterns=None, inherits=(), layer="", names_only=False, filenames=False,
                 bare=False, multiple=False, overlayed=False, same_version=False, variants=False):
        self.plugin = plugin
        self.title = title
        self.patterns = patterns
        self.inherits = inherits
        self.layer = layer
        self.names_only = names_only
        self.filenames = filenames
        self.bare = bare
        self.multiple = multiple
        self.overlayed = overlayed
        self.same_version = same_version
        self.variants = variants
        tinfoil = plugin.tinfoil
        self.cache = tinfoil.cooker.recipecaches[mc]
        self.inherits_of = tinfoil.cooker_data.inherits if inherits else {}
        self.global_classes = set((tinfoil.config_data.getVar("INHERIT") or "").split())
        _, preferred, _ = tinfoil.find_providers(mc)
        self.preferred = preferred
        self.providers = tinfoil.get_all_providers(mc)
        self.names = set(self.cache.pkg_pn)
        self.skipped = {}
        self._add_skipped(tinfoil.cooker.skiplist_by_mc[mc], "mc:%s:" % mc if mc else "")
        self.shown = set()
        self.started = False
        # Told as one record: a record takes longer than all else that is done for a line.
        self.lines = []

    def _add_skipped(self, skiplist, prefix):
        """Skipped recipes are known by their file names only."""
        for fn, recipe in skiplist.items():
            fn = fn.removeprefix(prefix)
            self.skipped[fn] = recipe.skipreason
            name, *rest = os.path.splitext(os.path.basename(fn))[0].split("_")
            version = (None, rest[0] if rest else "unknown", None)
            self.providers[name].append((version, fn))
            if name not in self.names:
                self.names.add(name)
                self.preferred[name] = (version, fn)

    def _print(self, fn, name, version, layer, preferred):
        if self.layer and layer != self.layer:
            return
        skipped = "" if self.bare or fn not in self.skipped else " (skipped: %s)" % self.skipped[fn]
        if self.filenames:
            self.lines.append("%s%s%s" % ("" if preferred else "  ", fn, skipped))
        elif self.names_only:
            if name not in self.shown:
                self.shown.add(name)
                self.lines.append("%s%s" % (name, skipped))
        else:
            if preferred:
                self.lines.append("%s:" % name)
            self.lines.append("  %s %s%s" % (layer.ljust(20), _version(version), skipped))

    def _inherits_all(self, fn):
        """Does the recipe inherit every class asked for, itself?"""
        # By file name, which only the default multiconfig's table has.
        classes = [_class_of(path) for path in self.inherits_of.get(fn, ()) if not _CLASS_NAME.match(path)]
        return sum(cls in self.inherits and cls not in self.global_classes for cls in classes) == len(self.inherits)

    def print(self):
        """Prints the list; gives whether there was anything."""
        try:
            self._gather()
        finally:
            if self.lines:
                logger.plain("%s", "\n".join(self.lines))
        return self.started

    def _gather(self):
        done = set()
        for name in sorted(self.names):
            if self.patterns and not _matches(name, self.patterns):
                continue
            providers = self.providers[name]
            if self.multiple and len(providers) < 2:
                continue
            version, virtual = self.preferred[name]
            fn, variant, _ = bb.cache.virtualfn2realfn(virtual)
            # A recipe shows once, and by its own name rather than that of a variant.
            if variant and not self.variants and fn in self.cache.pkg_fn:
                continue
            if self.inherits and not self._inherits_all(fn):
                continue
            if fn not in done and self._print_recipe(name, version, virtual, fn, providers):
                done.add(fn)

    def _print_recipe(self, name, version, virtual, fn, providers):
        layer = self.plugin.get_file_layer(fn)
        others = []
        for other_version, other in providers:
            real = bb.cache.virtualfn2realfn(other)[0]
            others.append((other if self.variants else real, real, self.plugin.get_file_layer(real), other_version))
        if self.overlayed and all(other_layer == layer for _, _, other_layer, _ in others):
            return False
        if self.same_version and any(other_version != version for *_, other_version in others):
            return False
        if not self.started:
            self.lines.append("=== %s ===" % self.title)
            self.started = True
        self._print(fn, name, version, layer, True)
        for key, real, other_layer, other_version in others:
            if key != (virtual if self.variants else fn):
                self._print(real, name, other_version, other_layer, False)
        return True


class _CrossDepends:
    """One run of show-cross-depends: what recipes and classes need from other layers than their own."""

    _REFERENCE = re.compile(r"^(require|include)[^\S\n]+(.+)", re.M)
    _CLASS_REFERENCE = re.compile(r"^(require|include|inherit)[^\S\n]+(.+)", re.M)
    _WORDS = {"require": "requires", "include": "includes", "inherit": "inherits"}

    def __init__(self, plugin, filenames, ignored):
        self.plugin = plugin
        self.tinfoil = plugin.tinfoil
        self.cache = plugin.tinfoil.cooker_data
        self.filenames = filenames
        self.ignored = ignored
        d = plugin.tinfoil.config_data
        self.bbpath = str(d.getVar("BBPATH"))
        self.global_classes = (d.getVar("INHERIT") or "").split()
        self._best = {}
        self._best_at_run_time = {}
        self._found = {}
        self._references = {}

    def _short(self, path):
        """A path from the layer's name on."""
        layerdir = self.plugin.layer_of(path)
        if self.filenames or not layerdir:
            return path
        prefix = os.path.join(os.path.dirname(layerdir), "")
        return path.removeprefix(prefix)

    def _tell(self, layer, fn, what, needed):
        needed_layer = self.plugin.get_file_layer(needed)
        if needed_layer != layer and needed_layer not in self.ignored:
            logger.plain("%s %s %s" % (self._short(fn), what, self._short(needed)))

    def _provider(self, name):
        if name not in self._best:
            self._best[name] = self.tinfoil.find_best_provider(name)[3]
        return self._best[name]

    def _run_time_provider(self, name):
        if name not in self._best_at_run_time:
            self._best_at_run_time[name] = self.tinfoil.get_runtime_providers(name)
        return self._best_at_run_time[name]

    def _run_time(self, layer, fn, what, by_package):
        for name in dict.fromkeys(name for names in by_package.values() for name in names):
            providers, best = self._run_time_provider(name)
            # What the recipe provides itself crosses nothing.
            if providers and fn not in providers:
                self._tell(layer, fn, what, bb.cache.virtualfn2realfn(best)[0])

    def _inherited(self, layer, fn):
        for path in self.cache.inherits.get(fn, ()):
            if not _CLASS_NAME.match(path) and _class_of(path) not in self.global_classes:
                self._tell(layer, fn, "inherits", path)

    def _references_in(self, path, expression):
        if path not in self._references:
            with open(path) as f:
                self._references[path] = expression.findall(f.read())
        return self._references[path]

    def _tell_file(self, layer, fn, keyword, name):
        if name not in self._found:
            self._found[name] = bb.utils.which(self.bbpath, name)
        if self._found[name]:
            self._tell(layer, fn, self._WORDS[keyword], self._found[name])

    def recipe(self, fn):
        layer = self.plugin.get_file_layer(fn)
        for name in self.cache.deps[fn]:
            if name in self.cache.pkg_pn:
                self._tell(layer, fn, "DEPENDS", bb.cache.virtualfn2realfn(self._provider(name))[0])
        self._run_time(layer, fn, "RDEPENDS", self.cache.rundeps[fn])
        self._run_time(layer, fn, "RRECOMMENDS", self.cache.runrecs[fn])
        self._inherited(layer, fn)
        for keyword, name in self._references_in(fn, self._REFERENCE):
            if "${PV}" in name and fn in self.cache.pkg_pepvpr:
                name = name.replace("${PV}", self.cache.pkg_pepvpr[fn][1])
            self._tell_file(layer, fn, keyword, name)

    def layer(self, layerdir):
        """Machine configurations, .inc files and classes."""
        layer = self.plugin.get_layer_name(layerdir)
        for root, _, names in os.walk(layerdir):
            machines = root.endswith("/conf/machine")
            for name in names:
                is_class = name.endswith(".bbclass")
                if not (is_class or name.endswith(".inc") or (machines and name.endswith(".conf"))):
                    continue
                path = os.path.join(root, name)
                for keyword, needed in self._references_in(path, self._CLASS_REFERENCE if is_class else self._REFERENCE):
                    self._tell_file(layer, path, keyword, needed + (".bbclass" if keyword == "inherit" else ""))


class QueryPlugin(LayerPlugin):
    def do_show_layers(self, args):
        """list the configured layers."""
        logger.plain("%s  %s  %s" % ("layer".ljust(20), "path".ljust(70), "priority"))
        logger.plain("=" * 104)
        for layer, _, _, priority in self.tinfoil.cooker.bbfile_config_priorities:
            path = self.bbfile_collections.get(layer) or ""
            logger.plain("%s  %s  %s" % (layer.ljust(20), path.ljust(70), priority))

    def do_show_overlayed(self, args):
        """list recipes and classes that several layers have

Shows the versions of each such recipe in every layer, the preferred one
first, skipped ones with the reason; then the classes of which BBPATH
finds one and hides others.
"""
        listing = _Listing(
            self,
            "Overlayed recipes",
            args.mc,
            filenames=args.filenames,
            multiple=True,
            overlayed=True,
            same_version=args.same_version,
        )
        listed = listing.print()
        if not self._overlayed_classes(args.filenames) and not listed:
            logger.plain("No overlayed files found.")

    def _overlayed_classes(self, filenames):
        """Prints classes of the same name in several folders; gives whether there were any."""
        folders = collections.defaultdict(list)
        for layerdir in self.bblayers:
            for folder in (os.path.join(layerdir, name) for name in _CLASS_FOLDERS):
                if os.path.exists(folder):
                    for name in os.listdir(folder):
                        if name.endswith(".bbclass"):
                            folders[name].append(folder)
        several = {name: where for name, where in folders.items() if len(where) > 1}
        if several:
            logger.plain("=== Overlayed classes ===")
        bbpath = str(self.tinfoil.config_data.getVar("BBPATH"))
        for name, where in several.items():
            first = bb.utils.which(bbpath, os.path.join("classes", name))
            if filenames:
                logger.plain("%s" % first)
            else:
                logger.plain("%s:" % name)
                owners = [d for d in self.bblayers if first.startswith(os.path.join(d, "classes"))]
                logger.plain("  %s" % (self.get_layer_name(owners[-1]) if owners else "?"))
            for folder in where:
                path = os.path.join(folder, name)
                if path != first:
                    print("  %s" % (path if filenames else self.get_layer_name(os.path.dirname(folder))))
        return bool(several)

    def do_show_recipes(self, args):
        """list recipes with their versions and layers

Shows the versions of each recipe in every layer, the preferred one
first, skipped ones with the reason. Names or patterns (in quotes) limit
the list.
"""
        inherits = args.inherits.split(",") if args.inherits else []
        bbpath = str(self.tinfoil.config_data.getVar("BBPATH"))
        for cls in inherits:
            if not any(bb.utils.which(bbpath, "%s/%s.bbclass" % (folder, cls), history=False) for folder in _CLASS_FOLDERS):
                logger.error("No class named %s found in BBPATH", cls)
                sys.exit(1)
        _Listing(
            self,
            "Matching recipes:" if inherits or args.pnspec or args.multiple else "Available recipes:",
            args.mc,
            patterns=args.pnspec,
            inherits=inherits,
            layer=args.layer,
            names_only=args.recipes_only,
            filenames=args.filenames,
            bare=args.bare,
            multiple=args.multiple,
            variants=args.show_variants,
        ).print()

    def do_show_appends(self, args):
        """list recipes that have appends, with these

Warns where other versions of a recipe have appends and the preferred one
has none.
"""
        logger.plain("=== Matched appended recipes ===" if args.pnspec else "=== Appended recipes ===")
        cache = self.tinfoil.cooker.recipecaches[args.mc]
        found = False
        for pn in sorted(cache.pkg_pn):
            if args.pnspec and not _matches(pn, args.pnspec):
                continue
            missing = self._print_appends(cache.pkg_pn[pn])
            if missing is None:
                continue
            found = True
            best = self.tinfoil.find_best_provider("mc:%s:%s" % (args.mc, pn) if args.mc else pn)[3]
            if best and os.path.basename(best) in missing:
                logger.warning("%s: missing append for preferred version", os.path.basename(best))
        if not args.pnspec:
            names = [os.path.basename(fn) for fn in self.tinfoil.cooker.skiplist_by_mc[args.mc]]
            if self._print_appends(names, " (skipped)") is not None:
                found = True
        if not found:
            logger.plain("No append files found")

    def _print_appends(self, files, suffix=""):
        """Prints those of some recipe files that have appends; gives the names of the others, or None
        if nothing was printed."""
        missing, printed = [], False
        for fn in files:
            _, variant, mc = bb.cache.virtualfn2realfn(fn)
            if variant:
                continue
            name = os.path.basename(fn)
            appends = self.tinfoil.cooker.collections[mc].get_file_appends(name)
            if not appends:
                missing.append(name)
                continue
            printed = True
            logger.plain("%s%s:", name, suffix)
            for append in appends:
                logger.plain("  %s", append)
        return missing if printed else None

    def do_show_cross_depends(self, args):
        """list what recipes need of other layers

Shows dependencies, inherited classes and included files that lie in
another layer than what needs them.

NOTE: appends can change the dependencies of a recipe.
"""
        cross = _CrossDepends(self, args.filenames, (args.ignore or "").split(","))
        for fn in self.tinfoil.cooker_data.pkg_fn:
            cross.recipe(bb.cache.virtualfn2realfn(fn)[0])
        for layerdir in self.bblayers:
            cross.layer(layerdir)

    def register_commands(self, sp):
        filenames = "print file names: those of preferred recipes, the others indented below"
        mc = "ask in this multiconfig"
        names = "recipe to list; patterns in quotes"
        self.add_command(sp, "show-layers", self.do_show_layers, parserecipes=False)

        parser = self.add_command(sp, "show-overlayed", self.do_show_overlayed)
        parser.add_argument("-f", "--filenames", help=filenames, action="store_true")
        parser.add_argument("-s", "--same-version", help="only recipes of the same version in all layers", action="store_true")
        parser.add_argument("--mc", help=mc, default="")

        parser = self.add_command(sp, "show-recipes", self.do_show_recipes)
        parser.add_argument("-f", "--filenames", help=filenames, action="store_true")
        parser.add_argument("-r", "--recipes-only", help="print names alone", action="store_true")
        parser.add_argument("-m", "--multiple", help="only names that several recipes have", action="store_true")
        parser.add_argument(
            "-i", "--inherits", help="only recipes that inherit all these classes (separated by commas)", metavar="CLASS", default=""
        )
        parser.add_argument("-l", "--layer", help="only recipes of this layer", default="")
        parser.add_argument("-b", "--bare", help="do not mark skipped recipes", action="store_true")
        parser.add_argument("--show-variants", help="list the variants of BBCLASSEXTEND too", action="store_true")
        parser.add_argument("--mc", help=mc, default="")
        parser.add_argument("pnspec", nargs="*", help=names)

        parser = self.add_command(sp, "show-appends", self.do_show_appends)
        parser.add_argument("pnspec", nargs="*", help=names)
        parser.add_argument("--mc", help=mc, default="")

        parser = self.add_command(sp, "show-cross-depends", self.do_show_cross_depends)
        parser.add_argument("-f", "--filenames", help="print whole paths", action="store_true")
        parser.add_argument("-i", "--ignore", help="layers whose files do not count (separated by commas)", metavar="LAYERNAME")
