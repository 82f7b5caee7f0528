"""The index of the layers that this build is configured with (`cooker://`)."""

import logging
import os
from urllib.parse import unquote, urlparse

import bb
import bb.process
import bb.utils
import layerindexlib
from layerindexlib.plugin import IndexPlugin, LayerIndexPluginUrlError

logger = logging.getLogger("BitBake.layerindexlib.cooker")


def plugin_init(plugins):
    return CookerPlugin()


def _git(arguments, directory, default):
    """What a git command prints in a directory; `default` where there is no repository."""
    try:
        return bb.process.run("git " + arguments, cwd=directory)[0].strip()
    except bb.process.ExecutionError:
        return default


class CookerPlugin(IndexPlugin):
    def __init__(self):
        self.type = "cooker"

    @staticmethod
    def _handle_git_remote(remote):
        """A remote as an address: a path is `file://`, `host:path` is `ssh://`."""
        if "://" in remote:
            return remote
        return ("ssh://" if ":" in remote else "file://") + remote

    def _remote(self, directory):
        """Where a layer's repository is fetched from, or the directory itself."""
        for line in _git("remote -v", directory, "").splitlines():
            _, _, rest = line.partition("\t")
            address, _, what = rest.partition(" ")
            if what == "(fetch)":
                return self._handle_git_remote(address)
        return self._handle_git_remote(directory)

    def _layers(self, index, branches):
        """Fills branches, layerItems and layerBranches."""
        d = self.layerindex.data
        index.branches, index.layerItems, index.layerBranches = {}, {}, {}
        if not (d.getVar("BBLAYERS") or "").split():
            return
        for number, name in enumerate(branches, 1):
            branch = index.branches[number] = layerindexlib.Branch(index)
            # The program comes without a repository to have a branch of.
            branch.define_data(number, name, "<unknown>")
        files = d.varhistory.get_variable_items_files("BBFILE_COLLECTIONS")
        for number, collection in enumerate(d.getVar("BBFILE_COLLECTIONS").split(), 1):
            path = os.path.dirname(os.path.dirname(files[collection])) if collection in files else collection
            subdir, revision, actual, url = "", "<unknown>", "<unknown>", self._handle_git_remote(path)
            if os.path.isdir(path):
                top = _git("rev-parse --show-toplevel", path, path)
                if os.path.abspath(path) != os.path.abspath(top):
                    subdir = os.path.abspath(path)[len(top) + 1 :]
                actual = _git("rev-parse --abbrev-ref HEAD", path, actual)
                revision = _git("rev-parse HEAD", path, revision)
                url = self._remote(path)
            name = d.getVar("BBLAYERS_LAYERINDEX_NAME_%s" % collection) or os.path.basename(path)
            item = index.layerItems[number] = layerindexlib.LayerItem(index)
            item.define_data(number, name, description=path, vcs_url=url)
            version = d.getVar("LAYERVERSION_%s" % collection) or ""
            for branch in index.branches:
                row = layerindexlib.LayerBranch(index)
                row.define_data(
                    len(index.layerBranches) + 1,
                    collection,
                    version,
                    number,
                    branch,
                    vcs_subdir=subdir,
                    vcs_last_rev=revision,
                    actual_branch=actual,
                )
                index.layerBranches[row.id] = row

    def _dependencies(self, index):
        d = self.layerindex.data
        index.layerDependencies = {}
        for row in list(index.layerBranches.values()):
            for variable, required in (("LAYERDEPENDS", True), ("LAYERRECOMMENDS", False)):
                text = d.getVar("%s_%s" % (variable, row.collection))
                if not text:
                    continue
                try:
                    wanted = bb.utils.explode_dep_versions2(text)
                except bb.utils.VersionStringException as error:
                    bb.fatal("Error parsing LAYERDEPENDS_%s: %s" % (row.collection, error))
                for name in wanted:
                    needed = index.find_collection(name, branches=[row.branch.name])
                    if not needed:
                        logger.error("Missing dependency %s (%s)" % (name, row.branch.name))
                        continue
                    need = layerindexlib.LayerDependency(index)
                    need.define_data(
                        id=len(index.layerDependencies) + 1, required=required, layerbranch=row.id, dependency=needed.layer_id
                    )
                    index.add_element("layerDependencies", [need])

    @staticmethod
    def _configurations(index, table, folder, kind):
        """Machines or distros: the files of a folder of every layer."""
        setattr(index, table, {})
        for row in index.layerBranches.values():
            # The description of a layer is its path.
            path = os.path.join(row.layer.description, folder)
            for name in os.listdir(path) if os.path.isdir(path) else ():
                if name.endswith(".conf"):
                    item = kind(index)
                    text = name[: -len(".conf")]
                    item.define_data(id=len(getattr(index, table)) + 1, name=text, description=text, layerbranch=row)
                    index.add_element(table, [item])

    def load_index(self, url, load=()):
        address = urlparse(url)
        if address.scheme != "cooker":
            raise LayerIndexPluginUrlError(self.type, url)
        params = self.layerindex._parse_params(address.params)
        branches = params["branch"].split(",") if "branch" in params else ["HEAD"]
        index = layerindexlib.LayerIndexObj()
        self._layers(index, branches)
        index.config = {"TYPE": self.type, "URL": url, "DESCRIPTION": unquote(params.get("desc", "local")), "BRANCH": branches}
        if "cache" in params:
            index.config["CACHE"] = params["cache"]
        if "layerDependencies" in load:
            self._dependencies(index)
        if "machines" in load:
            self._configurations(index, "machines", "conf/machine", layerindexlib.Machine)
        if "distros" in load:
            self._configurations(index, "distros", "conf/distro", layerindexlib.Distro)
        return index
