SUMMARY = "Everything together, ready to run"
DEPENDS = "hello census"
IMAGE_DIR = "${DEPLOY_DIR}/demo-image"

do_install() {
	cp -R ${SYSROOT}/. ${D}/
	rm -rf ${D}/include ${D}/lib
	cat > ${D}/run <<EOF
#!/bin/sh
here=\$(dirname "\$0")
"\$here/bin/hello" "\$@"
cat "\$here/share/advice.txt"
EOF
	chmod 755 ${D}/run
}

addtask image after do_stage before do_build
do_image[cleandirs] = "${IMAGE_DIR}"
python do_image() {
    demo.trees.copy_tree(d.getVar("STAGED"), d.getVar("IMAGE_DIR"))
    bb.plain("The image is %s; start it with its script run." % d.getVar("IMAGE_DIR"))
}
