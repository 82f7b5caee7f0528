# A variant for the build machine, as BBCLASSEXTEND makes it.
PN = "${BPN}-native"
PACKAGES = ""

python () {
    depends = (d.getVar("DEPENDS") or "").split()
    d.setVar("DEPENDS", " ".join(x if x.endswith("-native") else x + "-native" for x in depends))
}
