"""Checks of bb.tinfoil, the layer plug-ins and layerindexlib, run by tinfoil.rs in our VM.

argv[1] is the example's folder.
"""

import argparse
import io
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile

import bb
import bb.providers
import bb.tinfoil
from bb import _getvar

example = os.path.realpath(sys.argv[1])
work = os.path.realpath(tempfile.mkdtemp())
build = os.path.join(work, "build")
layers = os.path.join(work, "layers")
os.makedirs(os.path.join(build, "conf"))
shutil.copytree(example, layers)
with open(os.path.join(build, "conf", "bblayers.conf"), "w") as f:
    f.write('BBPATH = "${TOPDIR}"\nBBFILES ?= ""\nBBLAYERS = " \\\n  %s/meta-demo \\\n  %s/meta-demo-extra \\\n  "\n' % (layers, layers))
with open(os.path.join(build, "conf", "local.conf"), "w") as f:
    f.write('BB_HASHSERVE = ""\nBB_NUMBER_PARSE_THREADS = "1"\n')
os.makedirs(os.path.join(layers, "meta-demo-extra/recipes-apps/skipme"))
with open(os.path.join(layers, "meta-demo-extra/recipes-apps/skipme/skipme_2.0.bb"), "w") as f:
    f.write('PROVIDES += "gone"\npython () {\n    raise bb.parse.SkipRecipe("not today")\n}\n')
os.environ["BBPATH"] = build
os.environ["NOT_FOR_THE_COOKER"] = "1"
hello = os.path.join(layers, "meta-demo/recipes-apps/hello/hello_1.0.bb")


class Lines(logging.Handler):
    """Keeps what a logger says."""

    def __init__(self, name):
        super().__init__()
        self.lines = []
        self.logger = logging.getLogger(name)
        self.logger.handlers = [self]
        self.logger.setLevel(logging.INFO)

    def emit(self, record):
        self.lines += record.getMessage().split("\n")

    def take(self):
        lines, self.lines = self.lines, []
        return lines


def the_cooker():
    directory = os.getcwd()
    out = io.StringIO()
    with bb.tinfoil.Tinfoil(output=out, tracking=True) as tinfoil:
        tinfoil.prepare(config_only=True)
        assert out.getvalue() == "NOTE: Starting bitbake server...\n", out.getvalue()
        # The program's surroundings are its own again.
        assert os.getcwd() == directory and os.environ["NOT_FOR_THE_COOKER"] == "1"
        assert tinfoil.config_data.getVar("NOT_FOR_THE_COOKER") is None
        assert tinfoil.config_data.getVar("TOPDIR") == build
        assert tinfoil.config_data.varhistory.variable("BBLAYERS")[0]["file"].endswith("bblayers.conf")
        try:
            tinfoil.find_best_provider("hello")
            assert False, "recipes are not parsed yet"
        except bb.tinfoil.TinfoilCommandFailed:
            pass
        tinfoil.parse_recipes()
        recipes(tinfoil)
        stores(tinfoil)
        events(tinfoil)
        plugins(tinfoil)
    try:
        tinfoil.run_command("ping")
        assert False, "it is closed"
    except Exception as exc:
        assert str(exc) == "Not connected to server (did you call .prepare()?)", exc
    assert not os.path.exists(os.path.join(build, "bitbake.lock"))


def recipes(tinfoil):
    cache = tinfoil.cooker.recipecaches[""]
    assert cache.pkg_fn[hello] == "hello" and cache.pkg_pn["hello"] == [hello]
    assert "libgreet" in cache.deps[hello] and cache.deps["nothing"] == []
    assert cache.pkg_pepvpr[hello] == ("", "1.0", "r0")
    assert tinfoil.find_best_provider("hello") == (None, None, None, hello)
    assert tinfoil.find_best_provider("nothing") == (None, None, None, None)
    latest, preferred, required = tinfoil.find_providers()
    assert latest["hello"] == preferred["hello"] == (("", "1.0", "r0"), hello) and required["hello"] is False
    assert tinfoil.get_all_providers()["hello"] == [(("", "1.0", "r0"), hello)]
    info = tinfoil.get_recipe_info("hello")
    assert (info.pn, info.pv, info.fns, info.alternates) == ("hello", "1.0", [hello], [])
    assert "cprogram" in info.inherits() and "base" not in info.inherits(only_recipe=True)
    assert [r.pn for r in tinfoil.all_recipes()] == sorted(cache.pkg_pn)
    assert hello in tinfoil.all_recipe_files(variants=False, preferred_only=True)
    (append,) = tinfoil.get_file_appends(hello)
    assert append.endswith("hello_1.%.bbappend")
    ((fn, skipped),) = tinfoil.get_skipped_recipes().items()
    assert fn.endswith("skipme_2.0.bb") and (skipped.pn, skipped.skipreason) == ("skipme", "not today")
    for name, text in (
        ("gone", "gone is unavailable:\n  skipme PROVIDES gone but was skipped: not today"),
        ("skipme", "skipme is unavailable:\n  skipme was skipped: not today"),
        ("hallo", 'Unable to find any recipe file matching "hallo". Close matches:\n  hello'),
    ):
        try:
            tinfoil.get_recipe_file(name)
            assert False, name
        except bb.providers.NoProvider as exc:
            assert str(exc) == text, exc
    assert tinfoil.run_command("matchFile", "hello_1") == hello
    assert [row[0] for row in tinfoil.cooker.bbfile_config_priorities] == ["demo", "demo-extra"]


def stores(tinfoil):
    d = tinfoil.parse_recipe("hello")
    assert d.getVar("PV") == "1.0"
    plain = tinfoil.parse_recipe_file(hello, appends=False)
    assert plain.getVar("SRC_URI") != d.getVar("SRC_URI")
    config = tinfoil.config_data.createCopy()
    config.setVar("MARK", "yes")
    assert tinfoil.parse_recipe_file(hello, config_data=config).getVar("MARK") == "yes"
    assert tinfoil.config_data.getVar("MARK") is None
    tinfoil.run_command("setVariable", "MARK", "yes")
    assert tinfoil.run_command("getVariable", "MARK") == tinfoil.config_data.getVar("MARK") == "yes"
    number = tinfoil._commands.keep(d)
    connector = bb.tinfoil.TinfoilDataStoreConnector(tinfoil, number)
    assert connector.getVar("PN") == "hello" and "PN" in list(connector)
    assert connector.varhistory.variable("PV") == d.varhistory.variable("PV")


def events(tinfoil):
    tinfoil.set_event_mask(["bb.event.FilesMatchingFound", "bb.command.CommandCompleted"])
    assert tinfoil.run_command("testCookerCommandEvent", "x") is True
    found = tinfoil.wait_event(1)
    assert (found._pattern, found._matches) == ("x", ["A", "B"])
    assert isinstance(tinfoil.wait_event(1), bb.command.CommandCompleted) and tinfoil.wait_event(1) is None

    seen = []

    def callback(event):
        seen.append(event)
        return True

    assert tinfoil.build_targets(["libgreet"], "fetch", event_callback=callback) is True
    started, done = [[e for e in seen if type(e).__name__ == name] for name in ("TaskStarted", "TaskSucceeded")]
    assert [e.taskname for e in started] == [e.taskname for e in done] == ["do_fetch"], seen
    assert started[0]._package == "libgreet-1.0-r0" and isinstance(started[0], bb.build.TaskStarted)
    assert isinstance(seen[-1], bb.command.CommandCompleted)
    assert tinfoil.build_targets("nothing", "fetch", event_callback=callback) is False
    assert isinstance(seen[-1], bb.command.CommandFailed)

    tinfoil.set_event_mask(["bb.event.DepTreeGenerated"])
    tinfoil.run_command("generateDepTreeEvent", ["hello"], "build")
    # Log records pass every mask.
    while isinstance(event := tinfoil.wait_event(), logging.LogRecord):
        print(event.getMessage())
    tree = event._depgraph
    assert "libgreet" in tree["depends"]["hello"] and "hello.do_build" in tree["tdepends"]
    try:
        tinfoil.run_command("nonsense")
        assert False
    except bb.tinfoil.TinfoilCommandFailed as exc:
        assert str(exc) == "No such command"


def plugins(tinfoil):
    from bblayers import action, query

    said = Lines("bitbake-layers")
    q = query.QueryPlugin()
    q.tinfoil_init(tinfoil)
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    q.register_commands(commands)

    def run(*words):
        args = parser.parse_args(words)
        args.force = 0
        return args.func(args), said.take()

    _, lines = run("show-recipes", "hello", "skip*")
    assert lines == [
        "=== Matching recipes: ===",
        "hello:",
        "  %s 1.0" % "meta-demo".ljust(20),
        "skipme:",
        "  %s 2.0 (skipped: not today)" % "meta-demo-extra".ljust(20),
    ], lines
    _, lines = run("show-recipes", "-f", "-i", "cprogram", "hello")
    assert lines == ["=== Matching recipes: ===", hello], lines
    _, lines = run("show-appends")
    assert lines[:2] == ["=== Appended recipes ===", "hello_1.0.bb:"] and len(lines) == 3, lines
    _, lines = run("show-layers")
    assert lines[2].split() == ["demo", os.path.join(layers, "meta-demo"), "5"], lines

    a = action.ActionPlugin()
    a.tinfoil_init(tinfoil)
    a.register_commands(commands)
    directory = os.getcwd()
    os.chdir(build)
    status, _ = run("remove-layer", "meta-demo-extra")
    assert status is None
    with open("conf/bblayers.conf") as f:
        text = f.read()
    assert "meta-demo-extra" not in text and "meta-demo" in text
    status, _ = run("add-layer", os.path.join(layers, "meta-demo-extra"))
    assert status is None and "meta-demo-extra" in tinfoil.config_data.getVar("BBLAYERS")
    # A layer that does not parse is taken out again.
    os.makedirs(os.path.join(layers, "meta-bad/conf"))
    with open(os.path.join(layers, "meta-bad/conf/layer.conf"), "w") as f:
        f.write("nonsense\n")
    with open("conf/bblayers.conf") as f:
        before = f.read()
    try:
        run("add-layer", os.path.join(layers, "meta-bad"))
        assert False
    except bb.BBHandledException:
        pass
    with open("conf/bblayers.conf") as f:
        assert f.read() == before
    os.chdir(directory)


def indexes():
    import layerindexlib

    d = bb.data.init()
    # An empty store is as good as none to it, as on the reference.
    d.setVar("A", "1")
    rows = {
        "branches": [{"id": 1, "name": "master", "bitbake_branch": "1.0"}],
        "layerItems": [{"id": n, "name": name, "vcs_url": "u%d" % n, "summary": ""} for n, name in enumerate("abc", 1)],
        "layerBranches": [
            {"id": n, "collection": name, "version": "1", "layer": n, "branch": 1, "vcs_subdir": "", "actual_branch": ""}
            for n, name in enumerate("abc", 1)
        ],
        # a needs b, b recommends c, c needs a again.
        "layerDependencies": [
            {"id": 1, "layerbranch": 1, "dependency": 2, "required": True},
            {"id": 2, "layerbranch": 2, "dependency": 3, "required": False},
            {"id": 3, "layerbranch": 3, "dependency": 1, "required": True},
        ],
    }
    path = os.path.join(work, "index.json")
    with open(path, "w") as f:
        json.dump(rows, f)
    index = layerindexlib.LayerIndex(d)
    index.load_layerindex("file://" + path, load=["layerDependencies"])
    assert not index.is_empty() and index.indexes[0].config["DESCRIPTION"] == path
    found, unknown = index.find_dependencies(names=["b", "x"])
    assert list(found) == ["a", "c", "b"] or list(found) == ["b", "a", "c"], list(found)
    assert unknown == ["x"] and [need.required for need in found["c"][1:]] == [False]
    b = index.find_collection("b")
    assert (b.layer.name, b.branch.name, b.actual_branch) == ("b", "master", "master")
    assert index.find_vcs_url("u3").layer.name == "c" and index.find_layerbranch("nope") is None
    try:
        index.indexes[0].more = {}
        assert False, "it is locked"
    except TypeError:
        pass
    copy = os.path.join(work, "copy.json")
    index.store_layerindex("file://" + copy, index.indexes[0])
    with open(copy) as f:
        assert json.load(f) == rows
    try:
        index.load_layerindex("ftp://x")
        assert False
    except layerindexlib.LayerIndexException as exc:
        assert str(exc) == "No plugins support ftp://x"


def plain_arguments():
    """What bitbake-getvar understands by itself argparse understands the same way."""
    words = (
        "-r", "--recipe", "-f", "-u", "--unexpand", "--value", "-q", "--ignore-undefined", "NAME", "name", "--val", "-", "-rname", "--",
        "-h", "",
    )
    understood = 0
    for length in range(4):
        for given in itertools.product(words, repeat=length):
            plain = _getvar._plain_arguments(given)
            if plain is None:
                continue
            understood += 1
            sys.argv = ["bitbake-getvar", *given]
            parsed = _getvar._parsed_arguments()
            for name in ("variable", "recipe", "flag", "unexpand", "value", "quiet", "ignore_undefined"):
                assert getattr(plain, name) == getattr(parsed, name), (given, name)
    assert understood > 50, understood


try:
    plain_arguments()
    indexes()
    the_cooker()
finally:
    shutil.rmtree(work)
