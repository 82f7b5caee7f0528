"""One index: tables of what it holds, by number, and ways to find a layer."""

from collections import OrderedDict


class LayerIndexObj:
    """Attributes are tables: branches, layerItems, layerBranches, layerDependencies, …; and config,
    a dict about the index itself. Locked, it cannot be changed and finds things faster."""

    def __init__(self):
        self.__dict__.update(_index={}, _lock=False, _views={})

    def __bool__(self):
        return bool(self._index.get("branches") and self._index.get("layerBranches"))

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._index:
            raise AttributeError("%s not in index datastore" % name)
        return self._index[name]

    def __setattr__(self, name, value):
        if self._lock:
            raise TypeError("Can not set attribute '%s': index is locked" % name)
        if name.startswith("_"):
            self.__dict__[name] = value
        else:
            self._index[name] = value

    def __delattr__(self, name):
        if self._lock:
            raise TypeError("Can not delete attribute '%s': index is locked" % name)
        if name.startswith("_"):
            self.__dict__.pop(name, None)
        else:
            self._index.pop(name)

    def lockData(self):
        self.__dict__["_lock"] = True

    def unlockData(self):
        self.__dict__["_lock"] = False
        self._views.clear()

    def isLocked(self):
        return self._lock

    def add_element(self, indexname, objs):
        """Adds rows to a table; another one of the same number is an error."""
        from layerindexlib import LayerIndexException

        table = self._index.setdefault(indexname, {})
        for obj in objs:
            if table.setdefault(obj.id, obj) != obj:
                raise LayerIndexException("Conflict adding object %s(%s) to index" % (indexname, obj.id))

    def add_raw_element(self, indexname, objtype, rawobjs):
        """Adds rows given as dicts."""
        self.add_element(indexname, [objtype(self, entry) for entry in rawobjs])

    def _view(self, name, make):
        """A table made from others, kept while the index is locked."""
        if name in self._views:
            return self._views[name]
        view = make()
        if self._lock:
            self._views[name] = view
        return view

    @property
    def layerBranches_layerId_branchId(self):
        rows = self.layerBranches
        return self._view("ids", lambda: {"%s:%s" % (lb.layer_id, lb.branch_id): lb for lb in rows.values()})

    @property
    def layerDependencies_layerBranchId(self):
        def make():
            view = {number: [] for number in self.layerBranches}
            for need in self._index.get("layerDependencies", {}).values():
                view[need.layerbranch_id].append(need)
            return view

        return self._view("dependencies", make)

    @property
    def layerBranches_vcsUrl(self):
        def make():
            view = {}
            for lb in self.layerBranches.values():
                view.setdefault(lb.layer.vcs_url, []).append(lb)
            return view

        return self._view("urls", make)

    def _find(self, branches, wanted):
        if not self:
            return None
        for lb in self.layerBranches.values():
            if (not branches or lb.branch.name in branches) and wanted(lb):
                return lb
        return None

    def find_vcs_url(self, vcs_url, branches=None):
        """The first layer of a repository."""
        return self._find(branches, lambda lb: lb.layer.vcs_url == vcs_url)

    def find_collection(self, collection, version=None, branches=None):
        """The first layer of a collection, of any version or of one."""
        return self._find(branches, lambda lb: lb.collection == collection and version in (None, lb.version))

    def find_layerbranch(self, name, branches=None):
        """The first layer of a name."""
        return self._find(branches, lambda lb: lb.layer.name == name)

    def find_dependencies(self, names=None, branches=None, layerBranches=None, ignores=None):
        """As LayerIndex.find_dependencies, within this index."""
        from layerindexlib import LayerIndexException, resolve

        found, unknown = list(layerBranches or ()), []
        for name in names or ():
            if ignores and name in ignores:
                continue
            lb = self.find_layerbranch(name, branches)
            if lb:
                found.append(lb)
            else:
                unknown.append(name)
        if any(lb.index is not self for lb in found):
            raise LayerIndexException("Can not resolve dependencies across indexes with this class function!")
        return OrderedDict(resolve(found, ignores, lambda needed: needed)), unknown
