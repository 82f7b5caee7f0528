# Sharing results between recipes (sysroots) and between builds (shared state).
#
# do_stage publishes ${D} under ${STAGED} and keeps an archive named after the task's hash;
# do_stage_setscene unpacks such an archive instead of building. do_sysroot collects what the
# recipes in DEPENDS have staged.

SSTATE_NAME = "${SSTATE_DIR}/demo-${PN}-${PV}-${BB_UNIHASH}.tar"

addtask sysroot after do_fetch
do_sysroot[deptask] = "do_stage"
do_sysroot[cleandirs] = "${SYSROOT}"
python do_sysroot() {
    import os
    for dep in sorted((d.getVar("DEPENDS") or "").split()):
        staged = os.path.join(d.getVar("TMPDIR"), "staged", dep)
        if os.path.isdir(staged):
            demo.trees.copy_tree(staged, d.getVar("SYSROOT"))
}

addtask stage after do_install
do_stage[vardeps] += "DEMO_ABI"
do_stage[cleandirs] = "${STAGED}"
do_stage[dirs] = "${SSTATE_DIR}"
python do_stage() {
    import os
    import tarfile

    demo.trees.copy_tree(d.getVar("D"), d.getVar("STAGED"))
    archive = d.getVar("SSTATE_NAME")
    with tarfile.open(archive + ".new", "w") as tar:
        for name in demo.trees.listing(d.getVar("D")):
            tar.add(os.path.join(d.getVar("D"), name), name)
    os.rename(archive + ".new", archive)
    bb.siggen.dump_this_task(archive + ".siginfo", d)
}

addtask stage_setscene
do_stage_setscene[cleandirs] = "${STAGED}"
python do_stage_setscene() {
    import tarfile

    with tarfile.open(d.getVar("SSTATE_NAME")) as tar:
        tar.extractall(d.getVar("STAGED"))
}

def demo_hashcheck(sq_data, d, siginfo=False, currentcount=0, summary=True, **kwargs):
    import glob
    import os

    found = set()
    for tid in sq_data["hash"]:
        pattern = os.path.join(d.getVar("SSTATE_DIR"), "demo-*-%s.tar" % sq_data["unihash"][tid])
        if glob.glob(pattern + (".siginfo" if siginfo else "")):
            found.add(tid)
    if summary:
        bb.plain("Shared state: wanted %d, found %d" % (len(sq_data["hash"]), len(found)))
    return found

def demo_depvalid(task, taskdependees, notneeded, d, log=None):
    # What was staged is a copy: once a recipe's own result is there, nothing below it is needed.
    return True
