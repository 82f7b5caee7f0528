"""Sub-commands that change things: add-layer, remove-layer, flatten."""

import fnmatch
import logging
import os
import shutil
import sys
import tempfile

import bb.utils
from bb.cookerdata import findTopdir
from bblayers.common import LayerPlugin

logger = logging.getLogger("bitbake-layers")


def plugin_init(plugins):
    return ActionPlugin()


def _complain(message, *args):
    sys.stderr.write(message % args + "\n")
    return 1


def _bblayers_conf():
    """The build directory's bblayers.conf, or None after saying that there is none."""
    path = os.path.join(findTopdir(), "conf", "bblayers.conf")
    if os.path.exists(path):
        return path
    _complain("Unable to find bblayers.conf")
    return None


class _Flattener:
    """One run of `flatten`: layers copied over each other, appends at the end of their recipes."""

    def __init__(self, plugin, layers, outputdir):
        self.plugin = plugin
        self.layers = layers
        self.outputdir = outputdir
        cooker = plugin.tinfoil.cooker
        self.collections = [cooker.collections[mc] for mc in cooker.multiconfigs]
        self.hidden = {fn for collection in self.collections for files in collection.overlayed.values() for fn in files}
        self.applied = set()

    def _layer_of(self, path):
        """Which of the layers to flatten a file is in."""
        return next((layer for layer in self.layers if path.startswith(os.path.join(layer, ""))), None)

    def _target(self, layer, path):
        target = os.path.normpath(self.outputdir + os.sep + path[len(layer) :])
        bb.utils.mkdirhier(os.path.dirname(target))
        return target

    def _appends_of(self, recipe):
        found = {}
        for collection in self.collections:
            found.update(dict.fromkeys(collection.get_file_appends(recipe)))
        return found

    def _append(self, append, recipe):
        with open(append) as source, open(recipe, "a") as target:
            target.write("\n##### bbappended from %s #####\n" % self.plugin.get_file_layer(append))
            target.write(source.read())

    def copy_layer(self, layer):
        logger.plain("Copying files from %s..." % layer)
        for root, dirs, files in os.walk(layer):
            for name in (".git", ".hg"):
                if name in dirs:
                    dirs.remove(name)
            for name in files:
                path = os.sep.join([root, name])
                if path in self.hidden and path.startswith(layer):
                    logger.plain("  Skipping overlayed file %s" % path)
                elif not name.endswith(".bbappend") or name == ".bbappend":
                    self._copy_file(layer, root, name, path)

    def _copy_file(self, layer, root, name, path):
        target = self._target(layer, path)
        if os.path.exists(target):
            if name == "layer.conf" and root.endswith("/conf"):
                logger.plain("  Skipping layer config file %s" % path)
                return
            logger.warning("Overwriting file %s", target)
        bb.utils.copyfile(path, target)
        if os.path.splitext(name)[1] == ".bb":
            for append in self._appends_of(path):
                if self._layer_of(append):
                    logger.plain("  Applying append %s to %s" % (append, target))
                    self._append(append, target)
                    self.applied.add(append)

    def copy_other_appends(self):
        """Appends whose recipes are in none of the layers go on being appends."""
        for collection in self.collections:
            for _, append in collection.bbappends:
                layer = self._layer_of(append)
                if layer and append not in self.applied:
                    bb.utils.copyfile(append, self._target(layer, append))

    def check_bbfiles(self):
        """Warns of recipes that the new layer's layer.conf, which is that of the first layer, misses."""
        first = self.layers[0]
        probe = os.path.join(first, "test")
        priorities = self.plugin.tinfoil.cooker.bbfile_config_priorities
        expression = next((expression for _, _, expression, _ in priorities if expression.match(probe)), None)
        if expression is None:
            return
        entries = str(self.plugin.tinfoil.config_data.getVar("BBFILES")).split()
        patterns = [os.path.join(self.outputdir, entry[len(first) + 1 :]) for entry in entries if expression.match(entry)]
        if not patterns:
            return
        for root, _, files in os.walk(self.outputdir):
            for name in files:
                path = os.sep.join([root, name])
                if os.path.splitext(name)[1] in (".bb", ".bbappend") and not any(fnmatch.fnmatch(path, p) for p in patterns):
                    logger.warning(
                        "File %s does not match the flattened layer's BBFILES setting, you may need to edit conf/layer.conf"
                        " or move the file elsewhere" % path
                    )


class ActionPlugin(LayerPlugin):
    def do_add_layer(self, args):
        """Add layers to conf/bblayers.conf."""
        layerdirs = [os.path.abspath(layerdir) for layerdir in args.layerdir]
        for layerdir in layerdirs:
            if not os.path.exists(layerdir):
                return _complain("Specified layer directory %s doesn't exist", layerdir)
            if not os.path.exists(os.path.join(layerdir, "conf", "layer.conf")):
                return _complain("Specified layer directory %s doesn't contain a conf/layer.conf file", layerdir)
        conf = _bblayers_conf()
        if conf is None:
            return 1
        with tempfile.TemporaryDirectory() as keep:
            before = os.path.join(keep, "bblayers.conf.bak")
            shutil.copy2(conf, before)
            notadded, _ = bb.utils.edit_bblayers_conf(conf, layerdirs, None)
            if args.force or notadded:
                # As on the reference, layers that are there already are not mentioned then.
                return None
            self.tinfoil.modified_files()
            try:
                self.tinfoil.run_command("parseConfiguration")
            except (bb.tinfoil.TinfoilUIException, bb.BBHandledException):
                shutil.copy2(before, conf)
                self.tinfoil.modified_files()
                bb.fatal("Parse failure with the specified layer added, exiting.")
        return None

    def do_remove_layer(self, args):
        """Remove layers from conf/bblayers.conf."""
        conf = _bblayers_conf()
        if conf is None:
            return 1

        def pattern(item):
            if item.startswith("*"):
                return item
            return os.path.abspath(item) if "/" in item else "*/%s" % item

        _, notremoved = bb.utils.edit_bblayers_conf(conf, None, [pattern(item) for item in args.layerdir])
        if args.force > 1:
            return 0
        self.tinfoil.modified_files()
        for item in notremoved:
            _complain("No layers matching %s found in BBLAYERS", item)
        return 1 if notremoved else None

    def do_flatten(self, args):
        """write all layers, or some, into one directory as a single layer

Copies the files of the layers into the output directory in the order of
BBLAYERS. Recipes that another layer hides are left out, and appends are
written to the end of the recipes they apply to. Look over the result:

* files other than recipes that exist in several layers are overwritten,
  with a warning;
* the layer.conf is that of the first layer, whatever the others set;
* values that appends override or extend are still spread over a recipe;
* recipes may lie where the first layer's BBFILES does not find them: a
  warning names them.

A layer that stands between the flattened ones in priority may see other
results than before.
"""
        if len(args.layer) == 1:
            logger.error("If you specify layers to flatten you must specify at least two")
            return 1
        outputdir = args.outputdir
        if os.path.exists(outputdir) and os.listdir(outputdir):
            logger.error("Directory %s exists and is non-empty, please clear it out first" % outputdir)
            return 1
        layers = self.bblayers
        # Two names mean all layers, too: the reference takes names into account from three on.
        if len(args.layer) > 2:
            layers = [layer for layer in self.bblayers if self.get_layer_name(layer) in args.layer]
            found = [self.get_layer_name(layer) for layer in layers]
            for name in args.layer:
                if name not in found:
                    logger.error(
                        'Unable to find layer %s in current configuration, please run "%s show-layers" to list configured layers'
                        % (name, os.path.basename(sys.argv[0]))
                    )
                    return None
        flattener = _Flattener(self, layers, outputdir)
        for layer in layers:
            flattener.copy_layer(layer)
        flattener.copy_other_appends()
        flattener.check_bbfiles()
        self.tinfoil.modified_files()
        return None

    def register_commands(self, sp):
        add = self.add_command(sp, "add-layer", self.do_add_layer, parserecipes=False)
        add.add_argument("layerdir", nargs="+", help="directory of a layer to add")
        remove = self.add_command(sp, "remove-layer", self.do_remove_layer, parserecipes=False)
        remove.add_argument("layerdir", nargs="+", help="layer to remove: its directory, its name or a pattern in quotes")
        flatten = self.add_command(sp, "flatten", self.do_flatten)
        flatten.add_argument("layer", nargs="*", help="layers to flatten; all if none is given")
        flatten.add_argument("outputdir", help="directory to write to")
