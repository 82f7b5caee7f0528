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
        f.write("%d" % began)
}
addtask hz_bench_python
do_hz_bench_python[nostamp] = "1"
"""

# For the reference, which finds it through PYTHONPATH: notes when a task's description goes to a worker.
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

# Recipes without a variant's name in theirs: what their tasks leave is found by the recipe's name.
PROBED = 50


def install_probe(sides, work):
    """Adds the two tasks to the recipes of both sides, through a class in their build directories."""
    write(os.path.join(work, "watch/sitecustomize.py"), WATCH)
    for side in sides:
        write(os.path.join(side.build, "classes/hz-bench-probe.bbclass"), PROBE_CLASS)
        side.environment = {
            "PYTHONPATH": os.path.join(work, "watch"),
            "HZ_BENCH_WATCH": os.path.join(work, "watch/log"),
            # The reference's server is another process, which has only what is let through.
            "BB_ENV_PASSTHROUGH_ADDITIONS": "PYTHONPATH HZ_BENCH_WATCH",
        }
        with open(os.path.join(side.build, "conf/local.conf"), "a") as f:
            f.write('\nINHERIT += "hz-bench-probe"\n')


def probed_recipes(listing):
    """Recipes to run the probe on, of what `bitbake -s` printed: every so many, so that all kinds are among them."""
    names = [line.split()[0] for line in listing.split("\n") if re.match(r"[a-z0-9][a-z0-9+.-]+ +[:0-9]", line)]
    plain = [name for name in names if not re.match(r"nativesdk-|packagegroup-|gcc|core-image|.*-(native|cross|crosssdk|initial|image|canadian)", name)]
    return plain[:: max(1, len(plain) // PROBED)][:PROBED]


def handed(side, log):
    """{(recipe, task): nanoseconds} of what a run handed to workers, from what either side leaves."""
    found = {}
    if side.name == "ours":
        with open(log) as f:
            trace = json.load(f)
        for event in trace["traceEvents"]:
            if event["name"].startswith("start "):
                found[named(event["name"][len("start "):])] = trace["otherData"]["epoch_ns"] + event["ts"] * 1000
        return found
    with open(log) as f:
        for line in f:
            at, _, tid = line.rstrip("\n").partition(" ")
            found[named(tid)] = int(at)
    return found


def named(tid):
    """(recipe, task) of a task's id, as far as file names tell."""
    file, _, task = tid.rpartition(":")
    return os.path.basename(file).removesuffix(".bb").partition("_")[0], task


def latencies(side, kind, recipes):
    """Milliseconds from the handing over of each recipe's probe to its first line, in one run."""
    log = side.environment["HZ_BENCH_WATCH"]
    for old in [log] + glob.glob(os.path.join(side.build, "tmp*/work/*/*/*/temp/hz-bench-" + kind)):
        if os.path.exists(old):
            os.remove(old)
    more = "HITZELEITER_PROFILE=%s " % log if side.name == "ours" else ""
    side.run("env %sbitbake -c hz_bench_%s %s" % (more, kind, " ".join(recipes)))
    at = handed(side, log + ".trace.json" if side.name == "ours" else log)
    found = []
    for path in glob.glob(os.path.join(side.build, "tmp*/work/*/*/*/temp/hz-bench-" + kind)):
        recipe = path.split(os.sep)[-4]
        started = at.get((recipe, "do_hz_bench_" + kind))
        if started:
            with open(path) as f:
                found.append((int(f.read()) - started) / 1e6)
    return found
