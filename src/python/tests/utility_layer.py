"""Checks of the utility layer, run by utility_layer.rs in our VM."""

import io
import logging
import os
import pickle
import stat
import tempfile
import time

import bb
import bb.acl
import bb.compress.zstd
import bb.event
import bb.filter
import bb.msg
import bb.process
import bb.utils


class Store:
    """As much of a data store as these functions ask for."""

    def __init__(self, **values):
        self.values = values

    def getVar(self, name, expand=True):
        return self.values.get(name)

    def setVar(self, name, value):
        self.values[name] = value


def raises(kind, text, function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except kind as exc:
        assert text in str(exc), str(exc)
    else:
        raise AssertionError("%s was not raised" % kind)


def words():
    d = Store(F="a b c", E="")
    assert bb.utils.contains("F", "a c", 1, 2, d) == 1
    assert bb.utils.contains("F", ["a b"], 1, 2, d) == 2
    assert bb.utils.contains("F", "", 1, 2, d) == 1
    assert bb.utils.contains("E", "", 1, 2, d) == 2
    assert bb.utils.contains(variable="NONE", checkvalues="a", truevalue=1, falsevalue=2, d=d) == 2
    assert bb.utils.contains_any("F", "x c", True, False, d) is True
    assert bb.utils.contains_any("F", {"x"}, True, False, d) is False
    assert bb.utils.filter("F", "c x a", d) == "a c"
    assert bb.utils.filter_string(None, "a") == ""
    assert bb.utils.to_boolean("Yes") is True and bb.utils.to_boolean("0") is False
    assert bb.utils.to_boolean("", "other") == "other" and bb.utils.to_boolean(5) is True
    raises(ValueError, "Invalid value for to_boolean: maybe", bb.utils.to_boolean, "maybe")
    assert bb.filter.apply_filters("b a (>= 1)", ["' '.join(bb.utils.explode_deps(val))", "suffix(sort(val), '-native')"]) == "a-native b-native"


def versions():
    assert bb.utils.split_version(">= 2:1.0-r3") == (2, "1.0", "r3")
    assert bb.utils.vercmp(("1", "1.0", ""), (None, "2.0", "")) == 1
    assert bb.utils.vercmp_string("1.0~rc1", "1.0") < 0
    assert bb.utils.vercmp_string_op("1.10", "1.9", ">>")
    raises(bb.utils.VersionStringException, 'Unsupported comparison operator "~"', bb.utils.vercmp_string_op, "1", "1", "~")
    raises(ValueError, "invalid literal for int() with base 10: 'x'", bb.utils.split_version, "x:1")
    assert bb.utils.explode_deps("a (>= 1) b") == ["a", "b"]
    deps = bb.utils.explode_dep_versions2("b (>= 1.0) a")
    assert list(deps.items()) == [("a", []), ("b", [">= 1.0"])]
    assert list(bb.utils.explode_dep_versions2("b a", sort=False)) == ["b", "a"]
    assert bb.utils.explode_dep_versions("b (>= 1) a") == {"a": None, "b": ">= 1"}
    assert bb.utils.join_deps(deps) == "a, b (>= 1.0)" and bb.utils.join_deps({"a": "= 1"}, False) == "a (= 1)"
    raises(bb.utils.VersionStringException, 'Invalid version specification in "(1)"', bb.utils.explode_dep_versions2, "a (1)")
    assert bb.utils.is_semver("1.2.3-rc.1+x") and not bb.utils.is_semver("1.2")


def files(top):
    name = os.path.join(top, "one", "two", "file")
    bb.utils.mkdirhier(os.path.dirname(name))
    bb.utils.mkdirhier(os.path.dirname(name))
    with open(name, "w") as f:
        f.write("abc")
    os.chmod(name, 0o640)
    os.utime(name, (1000, 2000))
    raises(FileExistsError, name, bb.utils.mkdirhier, name)
    raises(FileNotFoundError, "''", bb.utils.mkdirhier, "")
    assert bb.utils.md5_file(name) == "900150983cd24fb0d6963f7d28e17f72"
    assert bb.utils.goh1_file(name) == "8ea75592134ddc450680d5d304303165c52b0f04d94eb6a04d2083a90e75310e"
    raises(FileNotFoundError, "[Errno 2] No such file or directory: '%s'" % (name + "x"), bb.utils.sha256_file, name + "x")

    copy = os.path.join(top, "copy")
    assert bb.utils.copyfile(name, copy) == 2000
    state = os.lstat(copy)
    assert stat.S_IMODE(state.st_mode) == 0o640 and state.st_mtime == 2000
    assert bb.utils.copyfile(name, copy, newmtime=5) == 5
    assert bb.utils.copyfile(os.path.join(top, "none"), copy) is False
    os.link(copy, copy + "2")
    bb.utils.break_hardlinks(copy)
    assert os.lstat(copy).st_nlink == 1 and os.lstat(copy).st_mtime == 5
    assert bb.utils.movefile(copy, os.path.join(top, "one")) == 5
    assert not os.path.exists(copy) and os.path.exists(os.path.join(top, "one", "copy"))
    os.symlink("copy", os.path.join(top, "link"))
    bb.utils.movefile(os.path.join(top, "link"), os.path.join(top, "moved"))
    assert os.readlink(os.path.join(top, "moved")) == "copy"

    assert bb.utils.which("%s/x:%s" % (top, top), "copy2") == os.path.join(top, "copy2")
    assert bb.utils.which(top, "none", history=True) == ("", [os.path.join(top, "none")])
    assert bb.utils.which("/bin", "sh", executable=True) == "/bin/sh"
    bb.utils.remove(os.path.join(top, "co*"))
    assert not os.path.exists(copy + "2")
    bb.utils.remove(os.path.join(top, "one"), recurse=True)
    assert not os.path.exists(os.path.join(top, "one"))
    raises(Exception, 'called with dangerous path "/home"', bb.utils.remove, "/home", recurse=True)
    raises(Exception, 'called with dangerous path "/"', bb.utils.prunedir, "/")
    with bb.utils.umask(0o77):
        bb.utils.mkdirhier(os.path.join(top, "private"))
    assert stat.S_IMODE(os.stat(os.path.join(top, "private")).st_mode) == 0o700
    assert [str(e) for e in bb.acl.ACL.from_path(os.path.join(top, "private"), bb.acl.ACL_TYPE_ACCESS).entries()] == [
        "user::rwx",
        "group::---",
        "other::---",
    ]
    assert bb.utils.path_is_descendant(os.path.join(top, "private"), top)


def locks(top):
    name = os.path.join(top, "locks", "a.lock")
    held = bb.utils.lockfile(name)
    assert bb.utils.lockfile(name, retry=False) is None
    assert bb.utils.lockfile(name, shared=True, retry=False) is None
    child = os.fork()
    if child == 0:
        # Waits for the parent, then leaves its mark.
        lock = bb.utils.lockfile(name)
        open(os.path.join(top, "mark"), "w").close()
        bb.utils.unlockfile(lock)
        os._exit(0)
    time.sleep(0.2)
    assert not os.path.exists(os.path.join(top, "mark"))
    bb.utils.unlockfile(held)
    assert os.waitpid(child, 0)[1] == 0
    assert os.path.exists(os.path.join(top, "mark")) and not os.path.exists(name)
    one, two = (bb.utils.lockfile(name, shared=True) for _ in range(2))
    bb.utils.unlockfile(one)
    assert os.path.exists(name)
    bb.utils.unlockfile(two)
    assert not os.path.exists(name)
    with bb.utils.fileslocked([name, name + "2"]):
        assert sorted(os.listdir(os.path.dirname(name))) == ["a.lock", "a.lock2"]
    assert os.listdir(os.path.dirname(name)) == []


def editing(top):
    lines = ['A = "1"\n', "\n", 'B += "x \\\n', '  y"\n', "\n", "func() {\n", "    a\n", "}\n"]

    def change(name, value, operator, newlines):
        if name == "A":
            return None, None, 0, True
        if name == "B":
            return value.split() + ["z"], None, 2, True
        return value, None, 0, True

    updated, edited = bb.utils.edit_metadata(lines, ["A", "B", "func()"], change)
    assert updated and edited == ["\n", 'B += "x \\\n', "  y \\\n", "  z \\\n", '  "\n', "\n"] + lines[5:]
    conf = os.path.join(top, "bblayers.conf")
    with open(conf, "w") as f:
        f.write('BBLAYERS ?= " \\\n  /a/meta \\\n  /b \\\n  "\n')
    assert bb.utils.edit_bblayers_conf(conf, ["/c/", "/b"], "/a/*") == (["/b"], [])
    with open(conf) as f:
        assert f.read() == 'BBLAYERS ?= " \\\n  /b \\\n  /c \\\n  "\n'
    assert bb.utils.edit_bblayers_conf(conf, None, "/zz") == ([], ["/zz"])
    with open(conf, "w") as f:
        f.write("X = 1\n")
    raises(Exception, "Unable to find BBLAYERS in", bb.utils.edit_bblayers_conf, conf, "/c", None)


class Messages(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def code():
    messages = Messages()
    logger = logging.getLogger("BitBake.Util")
    logger.addHandler(messages)
    try:
        text = "def hz_outer(d):\n    hz_inner(d)\n\ndef hz_inner(d):\n    raise KeyError('boo')\n"
        bb.utils.better_exec(bb.utils.better_compile(text, "x", "/recipe.bb", lineno=10), None, text, "/recipe.bb")
        assert "hz_outer" in bb.utils.get_context()
        assert bb.utils.better_eval("a + b", {"a": 1}, {"b": 2}) == 3
        call = "hz_outer(1)"
        raises(bb.BBHandledException, "boo", bb.utils.better_exec, bb.utils.better_compile(call, "x", "/recipe.bb"), {}, call, "/recipe.bb")
        report = messages.texts[-1]
        assert report.startswith("Error executing a python function in /recipe.bb:\n\nThe stack trace of python calls"), report
        assert " *** 0001:hz_outer(1)" in report and "File: '/recipe.bb', lineno: 15, function: hz_inner" in report
        assert "Exception: KeyError: 'boo'" in report
        raises(bb.BBHandledException, "", bb.utils.better_compile, "def f(:\n", "x", "/recipe.bb", lineno=3)
        assert messages.texts[-1].startswith("Error in compiling python function in /recipe.bb, line 4:\n\nThe code lines")
    finally:
        logger.removeHandler(messages)


def commands():
    assert bb.process.run("echo out; echo err >&2") == ("out\n", "err\n")
    assert bb.process.run(["cat"], input=b"abc") == ("abc", "")
    raises(bb.process.ExecutionError, "Execution of 'echo o; exit 3' failed with exit code 3:\no\n", bb.process.run, "echo o; exit 3")
    raises(bb.process.NotFoundError, "Execution of 'no-such-program x' failed: command not found", bb.process.run, ["no-such-program", "x"])
    log = io.StringIO()
    started = time.time()
    assert bb.process.run("(sleep 5) & echo é", log=log) == ("é\n", "")
    assert log.getvalue() == "é\n" and time.time() - started < 4
    log = io.StringIO()
    raises(bb.process.ExecutionError, "failed with exit code 2", bb.process.run, "echo x; exit 2", log=log)
    assert log.getvalue() == "x\n"


def system(top):
    fifo = os.path.join(top, "fifo")
    os.mkfifo(fifo)
    assert stat.S_ISFIFO(os.stat(fifo).st_mode)
    assert bb.utils.cpu_count() == len(os.sched_getaffinity(0)) >= 1
    device = os.stat("/dev/null").st_rdev
    assert (os.major(device), os.minor(device)) == (1, 3) and os.makedev(1, 3) == device
    assert os.makedev(os.major(0x123456789ABCDEF0), os.minor(0x123456789ABCDEF0)) == 0x123456789ABCDEF0
    bb.utils.set_process_name("hz-test")
    with open("/proc/thread-self/comm") as f:
        assert f.read() == "hz-test\n"
    raises(ValueError, "Unable to set ioprio", bb.utils.ioprio_set, 0, 6, 0)
    assert bb.utils.is_local_uid(0) and not bb.utils.is_local_uid(4294967294)
    os.environ["HZ_TEST"] = "1"
    with bb.utils.environment(HZ_TEST="2", HZ_OTHER="3"):
        assert (os.environ["HZ_TEST"], os.environ["HZ_OTHER"]) == ("2", "3")
    assert os.environ["HZ_TEST"] == "1" and "HZ_OTHER" not in os.environ
    packed = os.path.join(top, "packed")
    with bb.compress.zstd.open(packed, "wt", encoding="utf-8") as f:
        f.write("é\n")
    with bb.compress.zstd.open(packed, "rt", encoding="utf-8") as f:
        assert f.read() == "é\n"


def messages():
    formatter = bb.msg.BBLogFormatter("%(levelname)s: %(message)s")

    def shown(level):
        return formatter.format(logging.LogRecord("BitBake", level, "f", 1, "m", (), None))

    assert [shown(level) for level in (8, 19, 20, 21, 22, 29, 39, 50, 33)] == [
        "DEBUG: m", "NOTE: m", "NOTE: m", "m", "NOTE: m", "WARNING: m", "ERROR: m", "ERROR: m", "Level 33: m",
    ]  # fmt: skip
    assert bb.msg.stringToLevel("VERBNOTE") == 22 and bb.msg.stringToLevel("NOTSET") == 0


def events():
    d, other = Store(), Store()
    seen = []
    bb.utils.get_context()["hz_seen"] = seen
    body = "    hz_seen.append((bb.event.getName(e), e.data is d))\n"
    assert bb.event.register("hz_h1", body, ["bb.event.RecipeParsed"], "/x.bbclass", 7, d) == bb.event.Registered
    assert bb.event.register("hz_h1", body, ["bb.event.RecipeParsed"], "/x.bbclass", 7, d) == bb.event.AlreadyRegistered
    bb.event.fire_class_handlers(bb.event.RecipeParsed("fn"), d)
    bb.event.fire_class_handlers(bb.event.RecipeParsed("fn"), other)
    bb.event.fire_class_handlers(bb.event.ConfigParsed(), d)
    assert seen == [("RecipeParsed", True)], seen
    bb.event.remove("hz_h1", None, d)
    assert "hz_h1" not in bb.event.get_class_handlers() and d.getVar("__BBHANDLERS_MC") == set()
    event = bb.event.NoProvider("x", True, ["a"], None, ["c"])
    assert str(event) == "Nothing RPROVIDES 'x' (but a RDEPENDS on or otherwise requires it). Close matches:\n  c"
    assert str(pickle.loads(pickle.dumps(event))) == str(event) and type(event).__module__ == "bb.event"


def real_paths(top):
    """The native os.path.realpath says what Python's own says."""
    from _hz_stdlib import _os as _os_gaps

    base = os.path.join(top, "real")
    os.makedirs(os.path.join(base, "a/b"))
    for name, target in (("to_b", "a/b"), ("up", "../real/a"), ("abs", os.path.join(base, "a")), ("loop", "loop"), ("one", "two"), ("two", "one"), ("gone", "nowhere/x"), ("chain", "to_b")):
        os.symlink(target, os.path.join(base, name))
    open(os.path.join(base, "file"), "w").close()
    tails = ("", "/", "to_b", "to_b/", "to_b/..", "to_b/../..", "up/b/.", "abs//b", "loop", "loop/x", "one/y/..", "gone", "gone/../z", "chain/c/d", "file/x", "..", "././/a", "none/../a", "a/../../..")
    here = os.getcwd()
    os.chdir(base)
    try:
        for tail in tails:
            for path in (tail, base + "/" + tail, "//" + tail, "../real/" + tail):
                assert os.path.realpath(path) == _os_gaps._realpath(path), (path, os.path.realpath(path), _os_gaps._realpath(path))
        assert os.path.realpath(b"to_b") == _os_gaps._realpath(b"to_b")
        raises(OSError, "", os.path.realpath, "gone", strict=True)
    finally:
        os.chdir(here)


with tempfile.TemporaryDirectory() as top:
    real_paths(top)
    words()
    versions()
    files(top)
    locks(top)
    editing(top)
    code()
    commands()
    system(top)
    messages()
    events()
