"""Indexes of the layer index web service (`http://`, `https://`) and of files with its JSON (`file://`)."""

import json
import logging
import os
from urllib.parse import unquote, urlparse

import bb
import layerindexlib
from layerindexlib.plugin import IndexPlugin, LayerIndexPluginUrlError

logger = logging.getLogger("BitBake.layerindexlib.restapi")

# Tables beyond the branches, with the class of their rows.
_KINDS = {
    "layerItems": layerindexlib.LayerItem,
    "layerBranches": layerindexlib.LayerBranch,
    "layerDependencies": layerindexlib.LayerDependency,
    "recipes": layerindexlib.Recipe,
    "machines": layerindexlib.Machine,
    "distros": layerindexlib.Distro,
}
_OPTIONAL = ("layerDependencies", "recipes", "machines", "distros")


def plugin_init(plugins):
    return RestApiPlugin()


class RestApiPlugin(IndexPlugin):
    def __init__(self):
        self.type = "restapi"

    def _new_index(self, url, address, description):
        """An empty index, and the branches that are asked for (`*`: all)."""
        params = self.layerindex._parse_params(address.params)
        index = layerindexlib.LayerIndexObj()
        index.config = {"TYPE": self.type, "URL": url, "DESCRIPTION": unquote(params.get("desc", description or ""))}
        if "cache" in params:
            index.config["CACHE"] = params["cache"]
        branches = ["*"]
        if "branch" in params:
            branches = index.config["BRANCH"] = params["branch"].split(",")
        return index, branches

    def load_index(self, url, load=()):
        address = urlparse(url)
        if address.scheme == "file":
            return self.load_index_file(address, url, load)
        if address.scheme in ("http", "https"):
            return self.load_index_web(address, url, load)
        raise LayerIndexPluginUrlError(self.type, url)

    def load_index_file(self, up, url, load=()):
        """The index in a file, or in all `.json` files below a directory."""
        if not os.path.exists(up.path):
            raise FileNotFoundError(up.path)
        index, branches = self._new_index(url, up, up.path)
        files = [up.path]
        if os.path.isdir(up.path):
            files = [os.path.join(root, name) for root, _, names in os.walk(up.path) for name in names if name.endswith(".json")]
        for path in files:
            logger.debug("Loading json file %s" % path)
            with open(path, encoding="utf-8") as f:
                tables = json.load(f)
            wanted = [row for name in branches for row in tables.get("branches", ()) if name in ("*", row["name"])]
            if not wanted:
                logger.debug("No matching branches (%s) in index file(s)" % branches)
                continue
            index.add_raw_element("branches", layerindexlib.Branch, wanted)
            for table, kind in _KINDS.items():
                if table in tables:
                    index.add_raw_element(table, kind, tables[table])
        return index

    def _get(self, url, account, retry=True):
        """The JSON at an address; `account` is an address with the user's name and password."""
        address = urlparse(url)
        host = address.hostname + (":%s" % address.port if address.port else "")
        plain = address._replace(params="", netloc=host).geturl()
        response = self.layerindex._fetch_url(plain, username=account.username, password=account.password)
        try:
            return json.loads(response.read().decode("utf-8"))
        except ConnectionResetError:
            if not retry:
                raise layerindexlib.LayerIndexFetchError(
                    "%s: Connection reset by peer.  Is there a firewall blocking your connection?" % url
                ) from None
            return self._get(url, account, retry=False)

    def load_index_web(self, up, url, load=()):
        """The index of a web service."""
        index, branches = self._new_index(url, up, up.hostname)
        try:
            index.apilinks = self._get(url, up)
        except Exception as error:
            raise layerindexlib.LayerIndexFetchError(url, error)

        def table(name, kind, query=""):
            """Adds a table; gives whether there were any rows."""
            rows = self._get(index.apilinks[name] + query, up)
            if rows:
                index.add_raw_element(name, kind, rows)
            return bool(rows)

        names = "" if "*" in branches else "?filter=name:%s" % "OR".join(branches)
        if not table("branches", layerindexlib.Branch, names) or not table("layerItems", layerindexlib.LayerItem):
            return index
        for branch in list(index.branches.values()):
            if not table("layerBranches", layerindexlib.LayerBranch, "?filter=branch__name:%s" % branch.name):
                return index
            for name in _OPTIONAL:
                if name in load and not table(name, _KINDS[name], "?filter=layerbranch__branch__name:%s" % branch.name):
                    index.add_raw_element(name, _KINDS[name], [])
        return index

    def store_index(self, url, index):
        """Writes an index to a file, or in a directory to one file a layer."""
        address = urlparse(url)
        if address.scheme != "file":
            raise LayerIndexPluginUrlError(self.type, url)
        tables = [name for name in index._index if name in _OPTIONAL]
        if not os.path.isdir(address.path):
            whole = {"branches": [], "layerItems": [], "layerBranches": [], **{name: [] for name in tables}}
            for row in index.layerBranches.values():
                self._add(whole, row)
                for name in tables:
                    whole[name] += self._of_layer(index, name, row)
            self._write(address.path, whole)
            return
        for row in index.layerBranches.values():
            part = {"branches": [], "layerItems": [], "layerBranches": []}
            self._add(part, row)
            for name in tables:
                part[name] = self._of_layer(index, name, row)
            for data in part.get("layerDependencies", ()):
                self._add(part, layerindexlib.LayerDependency(index, data).dependency_layerBranch)
            name = "__".join([index.config["DESCRIPTION"], row.branch.name, row.layer.name])
            self._write(os.path.join(address.path, name.translate(str.maketrans("/ ", "__"))) + ".json", part)

    @staticmethod
    def _add(tables, row):
        """Adds a layer of a branch to the tables, once."""
        for name, data in (("branches", row.branch._data), ("layerItems", row.layer._data), ("layerBranches", row._data)):
            if data not in tables[name]:
                tables[name].append(data)

    @staticmethod
    def _of_layer(index, name, row):
        return [item._data for item in getattr(index, name).values() if item.layerbranch_id == row.id]

    @staticmethod
    def _write(path, tables):
        bb.debug(1, "Writing index to %s" % path)
        with open(path, "wt") as f:
            json.dump(layerindexlib.sort_entry(tables), f, indent=4)
