SUMMARY = "Counts what the other recipes staged, in Python"
DEPENDS = "hello libgreet"

# The sizes of machine code differ between compilers; names and numbers of files do not.
python do_compile() {
    import json
    import os

    names = demo.trees.listing(d.getVar("SYSROOT"))
    by_folder = {}
    for name in names:
        folder = os.path.dirname(name)
        by_folder[folder] = by_folder.get(folder, 0) + 1
    with open(os.path.join(d.getVar("B"), "census.json"), "w") as out:
        json.dump({"files": names, "folders": by_folder}, out, indent=2, sort_keys=True)
    bb.note("counted %d files" % len(names))
}

do_install() {
	install -d ${D}/share
	install -m 644 census.json ${D}/share/
}
