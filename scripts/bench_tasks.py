"""Layers of trivial recipes for scripts/bench, and how long tasks take to start.

The recipes of `write_layer` do nothing of note, so what is measured over them is BitBake alone: the
task graph, the run queue and the processes of tasks. `write_probe` adds two tasks to the recipes of
other layers that say when their first line ran.
"""

import glob
import json
import os
import re

BITBAKE_CONF = """\
TMPDIR = "${TOPDIR}/tmp"
CACHE = "${TMPDIR}/cache"
PERSISTENT_DIR = "${TMPDIR}/cache"
STAMP = "${TMPDIR}/stamps/${PN}"
T = "${TMPDIR}/work/${PN}"
B = "${TMPDIR}/work/${PN}"
PN = "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0]}"
PV = "1.0"
PF = "${PN}-${PV}"
export PATH
BB_SIGNATURE_HANDLER = "basichash"
BB_NUMBER_THREADS = "2"
BB_NUMBER_PARSE_THREADS = "2"
"""

BASE_CLASS = """\
# What every recipe of the layer does.
WORK ?= "${T}/made"

python do_prepare() {
    bb.utils.mkdirhier(os.path.dirname(d.getVar("WORK")))
}
addtask prepare

do_make() {
	echo ${PN} > ${WORK}
}
addtask make after do_prepare
do_make[dirs] = "${B}"

python do_build() {
    bb.debug(1, "built %s" % d.getVar("PN"))
}
addtask build after do_make
do_build[deptask] = "do_build"
"""

# The same with a set-scene variant of the last task, which never has anything to restore.
SCENE_CLASS = """\
python do_build_setscene() {
    pass
}
addtask do_build_setscene
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def write_layer(layer, recipes, tasks=3, depends=2, scene=False):
    """A layer with a configuration of its own and `recipes` recipes of `tasks` tasks each (at least the three of
    the class), of which each depends on up to `depends` of those before it."""
    write(os.path.join(layer, "conf/layer.conf"), (
        'BBPATH .= ":${LAYERDIR}"\n'
        'BBFILES += "${LAYERDIR}/recipes/*.bb"\n'
        'BBFILE_COLLECTIONS += "trivial"\n'
        'BBFILE_PATTERN_trivial := "^${LAYERDIR}/"\n'
        'LAYERSERIES_CORENAMES = "none"\nLAYERSERIES_COMPAT_trivial = "none"\n'
    ))
    write(os.path.join(layer, "conf/bitbake.conf"), BITBAKE_CONF)
    more = "".join(
        "\npython do_more_%d() {\n    pass\n}\naddtask more_%d after do_prepare before do_build\n" % (n, n) for n in range(tasks - 3)
    )
    write(os.path.join(layer, "classes/base.bbclass"), BASE_CLASS + more + (SCENE_CLASS if scene else ""))
    for n in range(recipes):
        # One that is near and one that is far, so that the graph is neither a list nor flat.
        before = sorted({n - 1 - n % 7, n // 2} & set(range(n)))[:depends]
        text = 'SUMMARY = "Recipe %d"\n' % n
        if before:
            text += 'DEPENDS = "%s"\n' % " ".join("r%d" % m for m in before)
        write(os.path.join(layer, "recipes/r%d.bb" % n), text)


def write_conf(conf, layer):
    write(os.path.join(conf, "local.conf"), "")
    write(os.path.join(conf, "bblayers.conf"), 'BBPATH = "${TOPDIR}"\nBBFILES ?= ""\nBBLAYERS = "%s"\n' % layer)


# -- How long a task takes to start

PROBE_CLASS = """\
do_hz_bench_shell() {
	date +%s%N > ${T}/hz-bench-shell
}
addtask hz_bench_shell
do_hz_bench_shell[nostamp] = "1"

python do_hz_bench_python() {
    import time
    began = time.time_ns()
    with open(d.expand("${T}/hz-bench-python"), "w") as f:
        f.write(str(began))
}
addtask hz_bench_python
do_hz_bench_python[nostamp] = "1"
"""

# For the reference: says when a task's description is written to a worker. Found through PYTHONPATH.
WATCH = '''\
"""Notes in HZ_BENCH_WATCH when the reference hands a task to its worker."""
import importlib.abc
import importlib.machinery
import os
import sys
import time


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "bb.runqueue" or not os.environ.get("HZ_BENCH_WATCH"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            watch(module, os.environ["HZ_BENCH_WATCH"])

        spec.loader.exec_module = exec_module
        return spec


def watch(module, log):
    send = module.RunQueue.send_pickled_data

    def watched(worker, data, name):
        began = time.time_ns()
        send(worker, data, name)
        if name == "runtask":
            with open(log, "a") as f:
                f.write("%d %s:%s\\n" % (began, data["fn"], data["task"]))

    module.RunQueue.send_pickled_data = staticmethod(watched)


sys.meta_path.insert(0, Finder())
'''


def write_probe(layers, work):
    """Adds the two tasks to all recipes through a class; gives the configuration that does so."""
    write(os.path.join(work, "watch/sitecustomize.py"), WATCH)
    write(os.path.join(layers, "openembedded-core/meta/classes/hz-bench-probe.bbclass"), PROBE_CLASS)
    return '\nINHERIT += "hz-bench-probe"\n'


def handed(side, log):
    """{(recipe file, task): nanoseconds} of what a run handed to workers, from what either side leaves."""
    found = {}
    if side.name == "ours":
        with open(log) as f:
            trace = json.load(f)
        for event in trace["traceEvents"]:
            if event["name"].startswith("start "):
                found[event["name"][len("start "):]] = trace["otherData"]["epoch_ns"] + event["ts"] * 1000
        return found
    with open(log) as f:
        for line in f:
            began, _, tid = line.rstrip("\n").partition(" ")
            found[tid] = int(began)
    return found


def began(build, kind, recipes):
    """{recipe: nanoseconds} at which the first line of the probe's task ran."""
    found = {}
    for path in glob.glob(os.path.join(build, "tmp/work/*/*/*/temp/hz-bench-" + kind)):
        recipe = path.split(os.sep)[-4]
        if recipe in recipes:
            with open(path) as f:
                found[recipe] = int(f.read())
    return found


def recipe_of(tid):
    """PN of a task's id, as far as the file's name tells it."""
    file, task = tid.rsplit(":", 1)
    prefix = re.match(r"virtual:native:", file)
    return os.path.basename(file).removesuffix(".bb").partition("_")[0] + ("-native" if prefix else ""), task
