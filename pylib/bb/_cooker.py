"""What the cooker shows signature generators of the recipes in a build."""

# Tables by recipe (`[mc:NAME:][virtual:CLASS:]FILE`), by PN or by task id; filled natively.
_TABLES = (
    "pkg_fn", "pkg_pn", "pkg_pepvpr", "pkg_dp", "stamp", "stampclean", "stamp_extrainfo", "file_checksums", "fn_provides",
    "deps", "rundeps", "runrecs", "hashfn", "basetaskhash", "inherits", "task_deps", "fakerootenv", "fakerootnoenv",
    "fakerootdirs", "fakerootlogs",
)


class CacheData:
    """The recipes of one multiconfig that take part in a build."""

    def __init__(self):
        for table in _TABLES:
            setattr(self, table, {})
        # What base hashes are made of stays native.
        self.siggen_varvals, self.siggen_taskdeps, self.siggen_gendeps = {}, {}, {}


def extra_depends(name, code, deps, world_target, pkg_pn, self_pn):
    """Runs a recipe's calculate_extra_depends; gives the dependencies it leaves."""
    scope = {"deps": deps, "world_target": set(world_target), "pkg_pn": pkg_pn, "self_pn": self_pn}
    text = "def %s(deps, world_target, pkg_pn, self_pn):\n%s\n%s(deps, world_target, pkg_pn, self_pn)\n" % (name, code, name)
    exec(compile(text, "<%s>" % name, "exec"), scope)
    return deps
