# Adds a word of advice beside the program of the other layer.
FILESEXTRAPATHS = "${THISDIR}/files"
THISDIR := "${@os.path.dirname(d.getVar('FILE'))}"
SRC_URI += "file://advice.txt"

do_install:append() {
	install -d ${D}/share
	install -m 644 ${S}/advice.txt ${D}/share/
}
