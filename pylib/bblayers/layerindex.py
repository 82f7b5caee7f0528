"""Sub-commands that ask a layer index: layerindex-fetch, layerindex-show-depends."""

import argparse
import logging
import os
import subprocess

from bblayers.action import ActionPlugin

logger = logging.getLogger("bitbake-layers")


def plugin_init(plugins):
    return LayerIndexPlugin()


def _captured(command):
    return subprocess.run(command, text=True, capture_output=True)


class LayerIndexPlugin(ActionPlugin):
    def get_fetch_layer(self, fetchdir, url, subdir, fetch_layer, branch, shallow=False):
        """Has a layer's repository below `fetchdir`, on its branch; with `fetch_layer` it is cloned if
        it is not there. Gives (subdirectory, name, directory of the layer), or three times None after
        saying what went wrong."""
        nothing = None, None, None
        name = self.get_layer_name(url).removesuffix(".git")
        repodir = os.path.join(fetchdir, name)
        layer = subdir, name, os.path.join(repodir, subdir)
        if not os.path.exists(repodir):
            if not fetch_layer:
                logger.plain("Repository %s needs to be fetched" % url)
                return layer
            depth = ["--depth", "1"] if shallow else []
            wanted = ["-b", branch] if branch else []
            if subprocess.call(["git", "clone", *depth, *wanted, url, repodir]):
                logger.error("Failed to download %s (%s)" % (url, branch))
                return nothing
            return layer
        if branch:
            return layer if self._on_branch(repodir, branch) else nothing
        if os.path.exists(layer[2]):
            return layer
        logger.error("%s is not in %s" % (url, subdir))
        return nothing

    @staticmethod
    def _on_branch(repodir, branch):
        """Has an existing clone on a branch, if that is possible; gives whether it is."""
        git = ["git", "--git-dir=%s/.git" % repodir, "--work-tree=%s" % repodir]
        current = _captured(git + ["name-rev", "--name-only", "HEAD"])
        if current.returncode:
            logger.error("Unable to validate repo %s (%s)" % (repodir, current.stderr))
            return False
        if current.stdout.strip() == branch:
            return True
        if _captured(git + ["status", "--short"]).stdout:
            logger.warning("There are uncommitted changes in repo %s" % repodir)
        switched = _captured(git + ["checkout", branch])
        if switched.returncode:
            logger.error("Unable to automatically switch %s to desired branch '%s' (%s)" % (repodir, branch, switched.stderr))
            return False
        return True

    def _resolve(self, names, branches, ignored, show_only):
        """What the named layers need, from this build's layers and then from the index. None: there
        is nothing to do; raises LookupError after saying what is missing."""
        import layerindexlib

        d = self.tinfoil.config_data
        local = layerindexlib.LayerIndex(d)
        local.load_layerindex("cooker://", load=["layerDependencies"])
        found, missing = local.find_dependencies(names=names, ignores=ignored)
        if not missing:
            if not show_only:
                logger.plain("You already have the requested layer(s): %s" % names)
                return None
            return found
        urls = d.getVar("BBLAYERS_LAYERINDEX_URL").split()
        if not urls:
            logger.error("Cannot get BBLAYERS_LAYERINDEX_URL")
            raise LookupError
        remote = layerindexlib.LayerIndex(d)
        for url in urls:
            if not url.endswith("/"):
                url += "/"
            if not url.startswith("cooker"):
                url += "api/"
            if branches:
                url += ";branch=%s" % ",".join(branches)
            logger.plain("Loading %s..." % url)
            remote.load_layerindex(url, load=["layerDependencies"])
        if remote.is_empty():
            logger.error("Remote layer index %s is empty for branches %s" % (urls, branches))
            raise LookupError
        found, missing = (local + remote).find_dependencies(names=names, ignores=ignored)
        for name in missing:
            logger.error('Layer "%s" not found in layer index' % name)
        if missing:
            raise LookupError
        return found

    @staticmethod
    def _print(found):
        logger.plain("%s  %s  %s" % ("Layer".ljust(49), "Git repository (branch)".ljust(54), "Subdirectory"))
        logger.plain("=" * 125)
        for layerbranch, *needs in found.values():
            layer = "%s:%s:%s" % (layerbranch.index.config["DESCRIPTION"], layerbranch.branch.name, layerbranch.layer.name)
            repository = "%s (%s)" % (layerbranch.layer.vcs_url, layerbranch.actual_branch)
            logger.plain("%s %s %s" % (layer.ljust(50), repository.ljust(55), layerbranch.vcs_subdir))
            for text, required in (("required", True), ("recommended", False)):
                names = [need.layer.name for need in needs if bool(need.required) == required]
                if names:
                    logger.plain("  %s by: %s" % (text, " ".join(names)))

    def do_layerindex_fetch(self, args):
        """Fetch layers and those they need from a layer index, and add them to conf/bblayers.conf.
"""
        d = self.tinfoil.config_data
        branches = [args.branch] if args.branch else (d.getVar("LAYERSERIES_CORENAMES") or "master").split()
        logger.debug("Trying branches: %s" % branches)
        ignored = args.ignore.split(",") if args.ignore else []
        try:
            found = self._resolve(args.layername, branches, ignored, args.show_only)
        except LookupError:
            return 1
        if found is None:
            return 0
        self._print(found)
        fetched = []
        if found:
            fetchdir = args.fetchdir or d.getVar("BBLAYERS_FETCH_DIR")
            if not fetchdir:
                logger.error("Cannot get BBLAYERS_FETCH_DIR")
                return 1
            os.makedirs(fetchdir, exist_ok=True)
            for layerbranch, *_ in found.values():
                # The layers of this build are here.
                if layerbranch.index.config["TYPE"] == "cooker":
                    continue
                layer = self.get_fetch_layer(
                    fetchdir,
                    layerbranch.layer.vcs_url,
                    layerbranch.vcs_subdir,
                    not args.show_only,
                    layerbranch.actual_branch,
                    args.shallow,
                )
                if not layer[1]:
                    return 1
                fetched.append(layer)
        if not args.show_only:
            self._add(fetched, args.force)
        return None

    def _add(self, fetched, force):
        layerdirs = []
        for subdir, name, layerdir in fetched:
            if not os.path.exists(layerdir):
                break
            logger.plain('Adding layer "%s" (%s) to conf/bblayers.conf' % (subdir or name, layerdir))
            layerdirs.append(layerdir)
        if layerdirs:
            self.do_add_layer(argparse.Namespace(layerdir=layerdirs, force=force))

    def do_layerindex_show_depends(self, args):
        """List what a layer needs, from a layer index.
"""
        args.show_only = True
        args.ignore = ""
        args.fetchdir = ""
        args.shallow = True
        # Its exit status is 0 whatever happens, as on the reference.
        self.do_layerindex_fetch(args)

    def register_commands(self, sp):
        fetch = self.add_command(sp, "layerindex-fetch", self.do_layerindex_fetch, parserecipes=False)
        fetch.add_argument("-n", "--show-only", help="list what is needed and stop", action="store_true")
        fetch.add_argument("-b", "--branch", help="branch to fetch")
        fetch.add_argument("-s", "--shallow", help="clone without history", action="store_true")
        fetch.add_argument("-i", "--ignore", help="layers to leave out (separated by commas)", metavar="LAYER")
        fetch.add_argument("-f", "--fetchdir", help="directory to fetch into, made if need be")
        fetch.add_argument("layername", nargs="+", help="layer to fetch")

        depends = self.add_command(sp, "layerindex-show-depends", self.do_layerindex_show_depends, parserecipes=False)
        depends.add_argument("-b", "--branch", help="branch to look at")
        depends.add_argument("layername", nargs="+", help="layer to look up")
