"""The things an index holds: branches, layers, layers of a branch, what these need and bring."""

import datetime
import os


class LayerIndexItemObj:
    """A row of an index: attributes are the fields of `_data`, as the index's JSON has them."""

    def __init__(self, index, data=None, lock=False):
        if data is None:
            data = {}
        if type(data) is not dict:
            raise TypeError("data (%s) is not a dict" % type(data))
        self.__dict__.update(_lock=lock, index=index, _data=data)

    def __eq__(self, other):
        return self.__class__ == other.__class__ and self._data == other._data

    __hash__ = None

    def __bool__(self):
        return bool(self._data)

    def __getattr__(self, name):
        if name == "index" or name.startswith("_"):
            raise AttributeError(name)
        if name not in self._data:
            raise AttributeError("%s not in datastore" % name)
        return self._data[name]

    def _setattr(self, name, value, prop=True):
        if self.isLocked():
            raise TypeError("Can not set attribute '%s': Object data is locked" % name)
        if name.startswith("_"):
            self.__dict__[name] = value
        elif prop and isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            self._data[name] = value

    def __setattr__(self, name, value):
        self._setattr(name, value)

    def _delattr(self, name, prop=True):
        if prop and isinstance(getattr(type(self), name, None), property):
            object.__delattr__(self, name)
        else:
            self._data.pop(name)

    def __delattr__(self, name):
        self._delattr(name)

    def lockData(self):
        self.__dict__["_lock"] = True

    def unlockData(self):
        self.__dict__["_lock"] = False

    def isLocked(self):
        return self._lock

    def _define(self, **fields):
        for name, value in fields.items():
            setattr(self, name, value)


def _now():
    return datetime.datetime.today().isoformat()


def _field(name):
    """A property that is the plain field of another name."""

    def read(self):
        return LayerIndexItemObj.__getattr__(self, name)

    def write(self, value):
        self._setattr(name, value, prop=False)

    def delete(self):
        self._delattr(name, prop=False)

    return property(read, write, delete)


def _reference(field, table, kind):
    """A property that is the row of a table which a field names; the row or its number can be set."""

    def read(self):
        number = LayerIndexItemObj.__getattr__(self, field)
        try:
            return getattr(self.index, table)[number]
        except (KeyError, IndexError):
            raise AttributeError("Unable to find %s %s in index %s" % (field, number, table)) from None

    def write(self, value):
        if not isinstance(value, kind()):
            raise TypeError("value is not a %s" % kind().__name__)
        if self.index != value.index:
            raise AttributeError("Object and value do not share the same index and thus key set.")
        self._setattr(field, value.id, prop=False)

    def delete(self):
        self._delattr(field, prop=False)

    return property(read, write, delete)


def _set_reference(item, name, value):
    """Sets a reference by its row or by its number."""
    setattr(item, name if isinstance(value, LayerIndexItemObj) else name + "_id", value)


class Branch(LayerIndexItemObj):
    def define_data(self, id, name, bitbake_branch, short_description=None, sort_priority=1, updates_enabled=True,
                    updated=None, update_environment=None):
        self._define(
            id=id,
            name=name,
            bitbake_branch=bitbake_branch,
            short_description=short_description or name,
            sort_priority=sort_priority,
            updates_enabled=updates_enabled,
            updated=updated or _now(),
            update_environment=update_environment,
        )

    @property
    def name(self):
        return LayerIndexItemObj.__getattr__(self, "name")

    @name.setter
    def name(self, value):
        self._data["name"] = value
        if self.bitbake_branch == value:
            self.bitbake_branch = ""

    @name.deleter
    def name(self):
        self._delattr("name", prop=False)

    @property
    def bitbake_branch(self):
        return self._data["bitbake_branch"] if "bitbake_branch" in self._data else self.name

    @bitbake_branch.setter
    def bitbake_branch(self, value):
        # Empty where it has the branch's own name.
        self._data["bitbake_branch"] = "" if self.name == value else value

    @bitbake_branch.deleter
    def bitbake_branch(self):
        self._delattr("bitbake_branch", prop=False)


class LayerItem(LayerIndexItemObj):
    def define_data(self, id, name, status="P", layer_type="A", summary=None, description=None, vcs_url=None,
                    vcs_web_url=None, vcs_web_tree_base_url=None, vcs_web_file_base_url=None, usage_url=None,
                    mailing_list_url=None, index_preference=1, classic=False, updated=None):
        self._define(
            id=id,
            name=name,
            status=status,
            layer_type=layer_type,
            summary=summary or name,
            description=description or summary or name,
            vcs_url=vcs_url,
            vcs_web_url=vcs_web_url,
            vcs_web_tree_base_url=vcs_web_tree_base_url,
            vcs_web_file_base_url=vcs_web_file_base_url,
            index_preference=index_preference,
            classic=classic,
            updated=updated or _now(),
        )


class LayerBranch(LayerIndexItemObj):
    """A layer as it is on a branch."""

    layer_id = _field("layer")
    layer = _reference("layer", "layerItems", lambda: LayerItem)
    branch_id = _field("branch")
    branch = _reference("branch", "branches", lambda: Branch)

    def define_data(self, id, collection, version, layer, branch, vcs_subdir="", vcs_last_fetch=None, vcs_last_rev=None,
                    vcs_last_commit=None, actual_branch="", updated=None):
        self._define(id=id, collection=collection, version=version)
        _set_reference(self, "layer", layer)
        _set_reference(self, "branch", branch)
        self._define(
            vcs_subdir=vcs_subdir,
            vcs_last_fetch=vcs_last_fetch,
            vcs_last_rev=vcs_last_rev,
            vcs_last_commit=vcs_last_commit,
            actual_branch=actual_branch,
            updated=updated or _now(),
        )

    @property
    def actual_branch(self):
        return LayerIndexItemObj.__getattr__(self, "actual_branch") or self.branch.name

    @actual_branch.setter
    def actual_branch(self, value):
        self._setattr("actual_branch", "" if value == self.branch.name else value, prop=False)

    @actual_branch.deleter
    def actual_branch(self):
        self._delattr("actual_branch", prop=False)


class LayerIndexItemObj_LayerBranch(LayerIndexItemObj):
    """Something of a layer as it is on a branch."""

    layerbranch_id = _field("layerbranch")
    layerbranch = _reference("layerbranch", "layerBranches", lambda: LayerBranch)

    @property
    def layer_id(self):
        return self.layerbranch.layer_id

    @property
    def layer(self):
        return self.layerbranch.layer


class LayerDependency(LayerIndexItemObj_LayerBranch):
    """A layer that another needs (`required`) or recommends."""

    dependency_id = _field("dependency")
    dependency = _reference("dependency", "layerItems", lambda: LayerItem)

    def define_data(self, id, layerbranch, dependency, required=True):
        self.id = id
        _set_reference(self, "layerbranch", layerbranch)
        _set_reference(self, "dependency", dependency)
        self.required = required

    @property
    def dependency_layerBranch(self):
        """The needed layer as it is on the same branch."""
        key = "%s:%s" % (self.dependency_id, self.layerbranch.branch_id)
        try:
            return self.index.layerBranches_layerId_branchId[key]
        except KeyError:
            raise AttributeError("Unable to find layerId:branchId %s in layerItems and layerBranches" % key) from None


class Recipe(LayerIndexItemObj_LayerBranch):
    def define_data(self, id, filename, filepath, pn, pv, layerbranch, summary="", description="", section="", license="",
                    homepage="", bugtracker="", provides="", bbclassextend="", inherits="", disallowed="", updated=None):
        self._define(
            id=id,
            filename=filename,
            filepath=filepath,
            pn=pn,
            pv=pv,
            summary=summary,
            description=description,
            section=section,
            license=license,
            homepage=homepage,
            bugtracker=bugtracker,
            provides=provides,
            bbclassextend=bbclassextend,
            inherits=inherits,
            updated=updated or _now(),
            disallowed=disallowed,
        )
        _set_reference(self, "layerbranch", layerbranch)

    @property
    def fullpath(self):
        return os.path.join(self.filepath, self.filename)

    @property
    def inherits(self):
        # Old indexes do not say.
        if "inherits" not in self._data and "-image-" in self.pn:
            return "image"
        return LayerIndexItemObj.__getattr__(self, "inherits")

    @inherits.setter
    def inherits(self, value):
        self._setattr("inherits", value, prop=False)

    @inherits.deleter
    def inherits(self):
        self._delattr("inherits", prop=False)


class Machine(LayerIndexItemObj_LayerBranch):
    def define_data(self, id, name, description, layerbranch, updated=None):
        self._define(id=id, name=name, description=description)
        _set_reference(self, "layerbranch", layerbranch)
        self.updated = updated or _now()


class Distro(Machine):
    pass
