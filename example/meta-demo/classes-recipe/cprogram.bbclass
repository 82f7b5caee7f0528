# Recipes that compile C: SOURCES into one program or one static library.

SOURCES ?= "${PN}.c"
LIBS ?= ""

python () {
    # A library recipe is told from a program by its name; both follow one pattern.
    library = d.getVar("PN").startswith("lib")
    d.setVar("CPROGRAM_KIND", "library" if library else "program")
    if not d.getVar("SUMMARY"):
        raise bb.parse.SkipRecipe("a recipe without SUMMARY")
}

do_compile() {
	objects=""
	for source in ${SOURCES}; do
		${CC} ${CFLAGS} -I${S} -I${SYSROOT}/include -DGREETING='"${GREETING}"' -c ${S}/$source -o ${source%.c}.o
		objects="$objects ${source%.c}.o"
	done
	if [ "${CPROGRAM_KIND}" = library ]; then
		rm -f ${PN}.a
		${AR} rcsD ${PN}.a $objects
	else
		${CC} $objects -L${SYSROOT}/lib ${LIBS} -o ${PN}
	fi
	demo_note "compiled a ${CPROGRAM_KIND}"
}

do_install() {
	if [ "${CPROGRAM_KIND}" = library ]; then
		install -d ${D}/lib ${D}/include
		install -m 644 ${PN}.a ${D}/lib/
		install -m 644 ${S}/*.h ${D}/include/
	else
		install -d ${D}/bin
		install -m 755 ${PN} ${D}/bin/
	fi
}
