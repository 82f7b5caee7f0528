"""LayerIndex.list_obj: what an index holds, as a table."""

# Kind -> headings with their widths, and the cells of a row.
_TABLES = {
    "branches": (
        (("branch", 26), ("description", 34), ("bitbake branch", 22)),
        lambda row: ((row.name, 26), (row.short_description, 34), (row.bitbake_branch, 22)),
    ),
    "layerItems": (
        (("layer", 26), ("description", 34)),
        lambda row: ((row.name, 26), (row.summary, 34)),
    ),
    "layerBranches": (
        (("layer", 26), ("description", 34), ("collection:version", 19)),
        lambda row: ((row.layer.name, 26), (row.layer.summary, 34), ("%s:%s" % (row.collection, row.version), 19)),
    ),
    "layerDependencies": (
        (("branch", 19), ("layer", 26), ("dependency", 11), ("layer", 26)),
        lambda row: (
            (row.layerbranch.branch.name, 19),
            (row.layerbranch.layer.name, 26),
            ("requires" if row.required else "recommends", 11),
            (row.dependency_layerBranch.layer.name, 26),
        ),
    ),
    "recipes": (
        (("recipe", 20), ("version", 10), ("layer", 0)),
        lambda row: ((row.pn, 30), (row.pv, 30), (row.layer.name, 0)),
    ),
    "machines": (
        (("machine", 24), ("description", 34), ("layer", 19)),
        lambda row: ((row.name, 24), (row.description[:34], 34), (row.layerbranch.layer.name, 19)),
    ),
    "distros": (
        (("distro", 24), ("description", 34), ("layer", 19)),
        lambda row: ((row.name, 24), (row.description[:34], 34), (row.layerbranch.layer.name, 19)),
    ),
}


def _line(cells):
    return " ".join(text.ljust(width) for text, width in cells)


def print_table(logger, index, kind):
    """Prints a kind of thing of an index, if it is one that has a table."""
    if kind not in _TABLES:
        return
    headings, cells = _TABLES[kind]
    logger.plain(_line(headings))
    logger.plain("-" * 80)
    for line in sorted(_line(cells(row)) for row in getattr(index, kind).values()):
        logger.plain(line)
