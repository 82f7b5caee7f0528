# The tasks every recipe of the demo has.

inherit staging

demo_note() {
	bbnote "$PN: $*"
}

# Where shell functions leave messages for the log; the engine reads it while a task runs.
LOGFIFO = "${T}/fifo.${@os.getpid()}"

bbnote() {
	printf 'bbnote %s\0' "$*" > ${LOGFIFO}
}

bbfatal() {
	printf 'bbfatal %s\0' "$*" > ${LOGFIFO}
	exit 1
}

export PN

addtask fetch
do_fetch[dirs] = "${DL_DIR}"
do_fetch[file-checksums] = "${@bb.fetch.get_checksum_file_list(d)}"
do_fetch[network] = "1"
python do_fetch() {
    urls = (d.getVar("SRC_URI") or "").split()
    if urls:
        bb.fetch2.Fetch(urls, d).download()
}

addtask unpack after do_fetch
do_unpack[cleandirs] = "${S}"
python do_unpack() {
    urls = (d.getVar("SRC_URI") or "").split()
    if urls:
        bb.fetch2.Fetch(urls, d).unpack(d.getVar("S"))
}

addtask configure after do_unpack do_sysroot
do_configure[dirs] = "${B}"
do_configure() {
	:
}

addtask compile after do_configure
do_compile[dirs] = "${B}"
do_compile() {
	:
}

addtask install after do_compile
do_install[cleandirs] = "${D}"
do_install[dirs] = "${B}"
do_install() {
	:
}

addtask build after do_stage
do_build[noexec] = "1"
do_build[recrdeptask] = "do_build"
do_build() {
	:
}

addtask listtasks
do_listtasks[nostamp] = "1"
python do_listtasks() {
    for task in sorted(bb.build.listtasks(d)):
        bb.plain(task)
}

addtask clean
do_clean[nostamp] = "1"
python do_clean() {
    import glob
    bb.utils.remove(d.getVar("WORKDIR"), recurse=True)
    bb.utils.remove(d.getVar("STAGED"), recurse=True)
    for stamp in glob.glob(d.getVar("STAMPCLEAN")):
        bb.utils.remove(stamp)
}

addhandler demo_banner
demo_banner[eventmask] = "bb.event.BuildStarted"
python demo_banner() {
    bb.plain("Demo build: greeting is \"%s\"" % e.data.getVar("GREETING"))
}
