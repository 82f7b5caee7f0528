"""One use of every module of Python's standard library that metadata, OE's library or its scripts import.

    uses.py [NAME...]     runs them; prints a line of JSON for each: {"name": …, "result": …}

The same file runs under CPython and in our runtime; `run`, beside it, compares. A use therefore gives
what does not depend on the release of Python or on the time, and takes all it needs from here.
"""

import json
import os
import sys
import tempfile
import traceback

USES = {}


def use(*names):
    def add(function):
        for name in names:
            USES[name] = function
        return function
    return add


def raised(function, *args, **kwargs):
    """The class of what a call raises."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__


@use("__future__")
def _():
    import __future__
    return __future__.annotations.getOptionalRelease(), raised(compile, "1 +", "f", "eval", __future__.annotations.compiler_flag)


@use("abc")
def _():
    import abc

    class Base(abc.ABC):
        @abc.abstractmethod
        def f(self): pass

        @property
        @abc.abstractmethod
        def p(self): pass

    class Whole(Base):
        p = 2

        def f(self): return 1
    return raised(Base), Whole().f(), Whole().p, isinstance(Whole(), Base)


@use("argparse")
def _():
    import argparse
    parser = argparse.ArgumentParser(prog="p", description="text", add_help=True)
    parser.add_argument("-v", "--verbose", action="count", default=0)
    parser.add_argument("--kind", choices=["a", "b"], type=str)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--one", action="store_true")
    group.add_argument("--two", action="store_const", const=2)
    sub = parser.add_subparsers(dest="command", metavar="<command>")
    add = sub.add_parser("add", help="adds")
    add.add_argument("names", nargs="+")
    args, rest = parser.parse_known_args(["-vv", "--kind", "a", "--two", "add", "x", "y", "--unknown"])
    return vars(args), rest, "<command>" in parser.format_help()


@use("ast")
def _():
    import ast

    class Calls(ast.NodeVisitor):
        def __init__(self): self.names = []

        def visit_Call(self, node):
            self.names.append(ast.unparse(node.func))
            self.generic_visit(node)
    tree = ast.parse("if x:\n  d.getVar('A').split(f(1))\nfor i in range(3): pass")
    calls = Calls()
    calls.visit(tree)
    constants = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    tree = ast.fix_missing_locations(ast.parse("y = 1 + 2"))
    scope = {}
    exec(compile(tree, "f", "exec"), scope)
    return calls.names, constants, scope["y"], ast.literal_eval("{'a': [1, (2, None)], 'b': -3.5}"), [n.lineno for n in ast.parse("a\n\nb").body]


@use("base64")
def _():
    import base64
    return base64.b64encode(b"\0\xffabc").decode(), base64.b64decode("AP9hYmM=").hex(), base64.urlsafe_b64encode(b"\xfb\xff").decode(), base64.b32encode(b"ab").decode(), base64.b16encode(b"ab").decode()


@use("bz2", "lzma", "zlib", "gzip")
def _():
    import bz2, gzip, lzma, zlib
    data = b"text " * 1000
    path = os.path.join(tempfile.mkdtemp(), "f")
    with gzip.open(path + ".gz", "wt") as file:
        file.write("line\n")
    with gzip.open(path + ".gz", "rt") as file:
        text = file.read()
    return (bz2.decompress(bz2.compress(data)) == data, gzip.decompress(gzip.compress(data)) == data, lzma.decompress(lzma.compress(data)) == data,
            zlib.decompress(zlib.compress(data)) == data, zlib.crc32(data), zlib.adler32(data), text)


@use("calendar", "datetime", "time")
def _():
    import calendar, datetime, time
    moment = datetime.datetime(2024, 2, 29, 12, 30, 1, tzinfo=datetime.timezone.utc)
    return (moment.isoformat(), moment.strftime("%Y%m%d%H%M%S %A %j"), int(moment.timestamp()), str(moment + datetime.timedelta(days=366, hours=1)),
            datetime.datetime.strptime("2024-03-01T00:00:00", "%Y-%m-%dT%H:%M:%S").weekday(), str(datetime.date.fromisoformat("2024-01-31")),
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(0)), calendar.timegm((2000, 1, 1, 0, 0, 0)), time.monotonic() > 0, time.perf_counter() > 0,
            datetime.timedelta(seconds=3725).total_seconds())


@use("cProfile", "profile", "pstats")
def _():
    import cProfile, io, pstats

    def inner(n): return sum(range(n))

    def outer(): return [inner(i) for i in range(10)]
    counts = []
    one = cProfile.Profile()
    one.enable()
    outer()
    one.disable()
    two = cProfile.Profile()
    result = two.runcall(outer)
    with cProfile.Profile() as three:
        outer()
    for profile in (one, two, three):
        path = os.path.join(tempfile.mkdtemp(), "p")
        profile.create_stats()
        profile.dump_stats(path)
        out = io.StringIO()
        stats = pstats.Stats(path, stream=out)
        stats.sort_stats("cumulative").print_stats("inner")
        counts.append([v[0] for k, v in sorted(stats.stats.items()) if k[2] in ("inner", "outer")])
        counts.append("(inner)" in out.getvalue())
    return counts, result


@use("code", "codeop")
def _():
    import code, codeop
    shown = []

    class Console(code.InteractiveConsole):
        def write(self, data): shown.append(data)
    console = Console({"x": 2})
    more = [console.push(line) for line in ("def f():", "    return x + 1", "", "y = f()")]
    console.push("1 +")
    return more, console.locals["y"], any("SyntaxError" in text for text in shown), codeop.compile_command("if 1:") is None


@use("codecs")
def _():
    import codecs
    path = os.path.join(tempfile.mkdtemp(), "f")
    with codecs.open(path, "w", "utf-8") as file:
        file.write("\u00fc")
    return open(path, "rb").read().hex(), codecs.encode("abc", "rot13"), codecs.decode(b"\xff", "utf-8", "replace"), codecs.lookup("latin-1").name, "\u00fc".encode("utf-16-le").hex(), b"\xe4".decode("cp1252")


@use("collections", "collections.abc")
def _():
    import collections, collections.abc
    Point = collections.namedtuple("Point", "x y", defaults=[0])
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    chain = collections.ChainMap({"a": 1}, {"a": 2, "b": 3})
    default = collections.defaultdict(list)
    default["k"].append(1)

    class Keys(collections.UserDict):
        pass
    return (repr(Point(1)), Point(1)._replace(y=3), list(ordered), dict(chain), dict(default), collections.Counter("abca").most_common(1),
            list(collections.deque([1, 2, 3], maxlen=2)), Keys(a=1)["a"], isinstance({}, collections.abc.Mapping), isinstance([], collections.abc.Hashable))


@use("colorsys")
def _():
    import colorsys
    return colorsys.rgb_to_hsv(1, 0, 0), colorsys.hsv_to_rgb(0.5, 1, 1)


@use("concurrent", "concurrent.futures", "queue", "threading")
def _():
    import concurrent.futures, queue, threading
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        squares = list(pool.map(lambda n: n * n, range(5)))
        failed = pool.submit(lambda: 1 / 0)
        done = [f.result() for f in concurrent.futures.as_completed([pool.submit(int, "4")])]
    jobs, lock, total, local = queue.Queue(), threading.Lock(), [0], threading.local()

    def work():
        local.mine = 0
        while True:
            item = jobs.get()
            if item is None:
                return
            with lock:
                total[0] += item
            local.mine += item
            jobs.task_done()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    [t.start() for t in threads]
    [jobs.put(i) for i in range(100)]
    jobs.join()
    [jobs.put(None) for _ in threads]
    [t.join() for t in threads]
    event = threading.Event()
    timer = threading.Timer(0.01, event.set)
    timer.start()
    order = queue.PriorityQueue()
    [order.put(n) for n in (3, 1, 2)]
    return squares, raised(failed.result), done, total, hasattr(local, "mine"), event.wait(10), [order.get() for _ in range(3)], raised(queue.Queue().get_nowait)


@use("configparser")
def _():
    import configparser, io
    config = configparser.ConfigParser(interpolation=None)
    config.read_string("[a]\nx = 1\ny: two\n[b]\nlong = 1\n  2\n")
    config["c"] = {"k": "v"}
    out = io.StringIO()
    config.write(out)
    return config.sections(), config.getint("a", "x"), config["b"]["long"], config.get("a", "none", fallback="f"), out.getvalue(), raised(config.get, "a", "q")


@use("contextlib")
def _():
    import contextlib, io
    seen = []

    @contextlib.contextmanager
    def manager():
        seen.append("in")
        try:
            yield 1
        finally:
            seen.append("out")
    with contextlib.suppress(KeyError), manager():
        raise KeyError
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print("x")
    with contextlib.ExitStack() as stack:
        stack.enter_context(manager())
        stack.callback(seen.append, "called")
    with contextlib.nullcontext(3) as three:
        seen.append(three)
    return seen, out.getvalue()


@use("copy")
def _():
    import copy
    inner = [1]
    pair = {"a": inner, "b": inner}
    deep = copy.deepcopy(pair)
    return copy.copy(pair)["a"] is inner, deep["a"] is inner, deep["a"] is deep["b"], deep


@use("crypt")
def _():
    import warnings
    warnings.simplefilter("ignore")
    import crypt
    return (crypt.crypt("pw", "$6$abcdefgh$"), crypt.crypt("pw", "$5$rounds=5000$abcdefgh$"), crypt.crypt("pw", "$1$abcdefgh$"),
            crypt.mksalt(crypt.METHOD_SHA256, rounds=1000)[:15], [repr(m) for m in crypt.methods], raised(crypt.mksalt, crypt.METHOD_MD5, rounds=5))


@use("csv")
def _():
    import csv, io
    out = io.StringIO()
    writer = csv.DictWriter(out, ["a", "b"], delimiter=";")
    writer.writeheader()
    writer.writerow({"a": 'x"y', "b": "1;2"})
    return out.getvalue(), list(csv.reader(['a,"b,c",d', "1,2,3"]))


@use("ctypes")
def _():
    import ctypes
    libc = ctypes.CDLL(None)

    class Pair(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_char * 4)]
    buffer = ctypes.create_string_buffer(b"abc", 8)
    return libc.abs(-3), libc.strlen(buffer), ctypes.sizeof(Pair), Pair(1, b"xy").b.decode()


@use("curses")
def _():
    import curses
    found = raised(curses.setupterm, "vt100", 1)
    return found, curses.tigetnum("cols"), curses.tigetnum("none"), curses.tigetflag("am"), curses.tigetstr("el").decode(), curses.tigetstr("kf63")


@use("dataclasses")
def _():
    import dataclasses
    from typing import List, Optional

    @dataclasses.dataclass(order=True)
    class Item:
        name: str
        size: int = 0
        tags: List[str] = dataclasses.field(default_factory=list, compare=False)
        other: Optional[str] = None

    @dataclasses.dataclass(frozen=True)
    class Fixed:
        a: int

    def change():
        Fixed(1).a = 2
    return repr(Item("a", tags=["t"])), Item("a") < Item("b"), dataclasses.asdict(Item("c")), raised(change), [f.name for f in dataclasses.fields(Item)], repr(dataclasses.replace(Item("x"), size=2))


@use("decimal", "fractions", "numbers")
def _():
    import decimal, fractions, numbers
    return (str(decimal.Decimal("1.10") + decimal.Decimal("2.2")), str(decimal.Decimal("2.675").quantize(decimal.Decimal("0.01"), decimal.ROUND_HALF_UP)),
            str(fractions.Fraction(1, 3) + 1), isinstance(1, numbers.Integral), isinstance(1.5, numbers.Integral))


@use("difflib")
def _():
    import difflib
    a, b = "one\ntwo\nthree\n".splitlines(True), "one\ntoo\nthree\n".splitlines(True)
    return list(difflib.unified_diff(a, b, "a", "b")), difflib.get_close_matches("busybx", ["busybox", "bash"]), difflib.SequenceMatcher(None, "abcd", "bcde").ratio()


@use("email", "email.header", "mailbox", "smtplib")
def _():
    import email, email.header, email.mime.text, email.utils, mailbox, smtplib
    message = email.message_from_string("From: =?utf-8?q?J=C3=BCrgen?= <j@x.org>\nSubject: [PATCH] a\n\nbody\n")
    parts = email.header.decode_header(message["From"])
    path = os.path.join(tempfile.mkdtemp(), "box")
    box = mailbox.mbox(path)
    box.add(message)
    box.flush()
    text = email.mime.text.MIMEText("t", "plain", "utf-8")
    return (message["subject"], message.get_payload(), parts[0][0].decode(parts[0][1]), email.utils.parseaddr("A B <a@b.c>"), [m["Subject"] for m in mailbox.mbox(path)],
            text["Content-Type"], hasattr(smtplib.SMTP, "sendmail"), str(email.header.make_header(parts)))


@use("enum")
def _():
    import enum

    class Kind(enum.Enum):
        A = 1
        B = "b"

    class Bits(enum.IntFlag):
        X = 1
        Y = enum.auto()
    return Kind(1).name, Kind["B"].value, [k.name for k in Kind], int(Bits.X | Bits.Y), Bits.Y in (Bits.X | Bits.Y), raised(Kind, 9), repr(Kind.A)


@use("errno")
def _():
    import errno
    def missing(): open("/none/such")
    try:
        missing()
    except OSError as error:
        return error.errno == errno.ENOENT, type(error).__name__, errno.errorcode[errno.EEXIST], error.filename


@use("fcntl", "select", "termios", "tty", "pty")
def _():
    import fcntl, pty, select, struct, termios, tty
    r, w = os.pipe()
    flags = fcntl.fcntl(r, fcntl.F_GETFL)
    fcntl.fcntl(r, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    empty = raised(os.read, r, 1)
    before = select.select([r], [], [], 0)[0]
    os.write(w, b"x")
    poll = select.poll()
    poll.register(r, select.POLLIN)
    events = poll.poll(1000)
    master, slave = pty.openpty()
    old = termios.tcgetattr(slave)
    tty.setraw(slave)
    raw = termios.tcgetattr(slave)
    termios.tcsetattr(slave, termios.TCSADRAIN, old)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
    size = struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, b"\0" * 8))
    file = tempfile.TemporaryFile()
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(file, fcntl.LOCK_UN)
    return empty, before, [event for _, event in events], bool(old[3] & termios.ICANON), bool(raw[3] & termios.ICANON), size[:2]


@use("filecmp", "shutil")
def _():
    import filecmp, shutil
    base = tempfile.mkdtemp()
    os.makedirs(base + "/a/sub")
    open(base + "/a/sub/f", "w").write("1")
    os.symlink("sub/f", base + "/a/link")
    shutil.copytree(base + "/a", base + "/b", symlinks=True)
    shutil.move(base + "/b/sub/f", base + "/b/g")
    result = filecmp.dircmp(base + "/a", base + "/b")
    archive = shutil.make_archive(base + "/out", "gztar", base + "/a")
    shutil.unpack_archive(archive, base + "/un")
    shutil.copy2(base + "/a/sub/f", base + "/c")
    same = filecmp.cmp(base + "/c", base + "/a/sub/f", shallow=False)
    listed = result.left_only, result.right_only, sorted(result.common)
    shutil.rmtree(base + "/b")
    return (listed, os.path.islink(base + "/un/link"), same, os.path.exists(base + "/b"), os.path.basename(shutil.which("sh")),
            shutil.disk_usage("/").total > 0, shutil.ignore_patterns("*.o")("", ["a.o", "b"]) == {"a.o"})


@use("fileinput")
def _():
    import fileinput
    path = os.path.join(tempfile.mkdtemp(), "f")
    open(path, "w").write("a\nb\n")
    with fileinput.input(path, inplace=True) as file:
        for line in file:
            print(line.upper(), end="")
    return open(path).read()


@use("fnmatch", "glob")
def _():
    import fnmatch, glob
    base = tempfile.mkdtemp()
    os.makedirs(base + "/x/y")
    for name in ("a.bb", "b.inc", "x/c.bb", "x/y/d.bb"):
        open(os.path.join(base, name), "w")
    found = [os.path.relpath(p, base) for p in sorted(glob.glob(base + "/**/*.bb", recursive=True))]
    return fnmatch.fnmatch("linux-yocto_6.bb", "linux-*_[0-9].bb"), fnmatch.filter(["a", "ab"], "?"), found, glob.escape("a[1]"), sorted(os.path.basename(p) for p in glob.iglob(base + "/[ab].*"))


@use("functools")
def _():
    import functools
    calls = []

    @functools.lru_cache(maxsize=None)
    def square(n):
        calls.append(n)
        return n * n
    square(2), square(2)

    @functools.wraps(square)
    def wrapper(): pass

    @functools.total_ordering
    class Version:
        def __init__(self, n): self.n = n
        def __eq__(self, other): return self.n == other.n
        def __lt__(self, other): return self.n < other.n

    class Lazy:
        @functools.cached_property
        def value(self):
            calls.append("v")
            return 1
    lazy = Lazy()
    lazy.value, lazy.value

    @functools.singledispatch
    def kind(x): return "other"
    kind.register(int)(lambda x: "int")
    return (calls, wrapper.__name__, Version(1) >= Version(0), functools.reduce(lambda a, b: a + b, [1, 2, 3]), functools.partial(int, base=2)("101"),
            sorted([3, 1, 2], key=functools.cmp_to_key(lambda a, b: b - a)), kind(1), kind(""), square.cache_info().hits)


@use("getopt", "optparse")
def _():
    import getopt, optparse
    parser = optparse.OptionParser(usage="%prog [options]")
    parser.add_option("-o", "--out", dest="out", default="x", metavar="FILE", help="where")
    parser.add_option("-n", type="int", action="append")
    options, args = parser.parse_args(["-o", "y", "-n", "1", "-n2", "rest"])
    return getopt.gnu_getopt(["a", "-x", "--long=1"], "x", ["long="]), options.out, options.n, args, "--out=FILE" in parser.format_help()


@use("getpass", "grp", "pwd")
def _():
    import getpass, grp, pwd
    root = pwd.getpwnam("root")
    return root.pw_uid, pwd.getpwuid(0).pw_name, root.pw_dir, grp.getgrgid(0).gr_name, grp.getgrnam("root").gr_gid, raised(pwd.getpwnam, "no-such-user"), getpass.getuser(), len(pwd.getpwall()) > 1


@use("hashlib", "hmac", "secrets")
def _():
    import hashlib, hmac, secrets
    out = [hashlib.new(name, b"abc").hexdigest() for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b")]
    running = hashlib.sha256()
    running.update(b"a")
    copy = running.copy()
    copy.update(b"b")
    return out, running.hexdigest(), copy.digest().hex(), hmac.new(b"k", b"m", "sha256").hexdigest(), len(secrets.token_hex(4)), running.block_size, running.name


@use("html", "xml", "xml.dom", "xml.etree")
def _():
    import html, io, xml.dom.minidom, xml.etree.ElementTree as tree, xml.sax.saxutils
    root = tree.fromstring("<a x='1'><b>t</b><b/></a>")
    root.append(tree.Element("c", {"k": "<"}))
    out = io.BytesIO()
    tree.ElementTree(root).write(out, encoding="utf-8", xml_declaration=True)
    document = xml.dom.minidom.parseString("<r><i n='2'/></r>")
    return (root.attrib, [b.text for b in root.iter("b")], out.getvalue().decode(), document.getElementsByTagName("i")[0].getAttribute("n"), document.documentElement.toprettyxml(),
            html.escape("<&\">"), html.unescape("&lt;&#228;"), xml.sax.saxutils.escape("<"), raised(tree.fromstring, "<a></b>"))


@use("http", "http.server", "http.client", "socketserver", "urllib", "urllib.error", "urllib.request")
def _():
    import http.client, http.server, threading, urllib.error, urllib.request

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/a" else 404)
            self.end_headers()
            self.wfile.write(b"body")

        def log_message(self, *args): pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = "http://127.0.0.1:%d" % server.server_port
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(base + "/a") as answer:
        body = answer.read(), answer.status
    missing = raised(opener.open, base + "/b")
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", "/a", headers={"X": "y"})
    status = connection.getresponse().status
    server.shutdown()
    server.server_close()
    return body[0].decode(), body[1], missing, status, raised(opener.open, base + "/a"), issubclass(urllib.error.HTTPError, urllib.error.URLError)


@use("importlib", "pkgutil", "types")
def _():
    import importlib, importlib.machinery, importlib.util, pkgutil, types
    base = tempfile.mkdtemp()
    os.makedirs(base + "/pack")
    open(base + "/pack/__init__.py", "w").write("from . import inner\n")
    open(base + "/pack/inner.py", "w").write("x = 1\n")
    sys.path.insert(0, base)
    pack = importlib.import_module("pack")
    first = pack.inner.x
    open(base + "/pack/inner.py", "w").write("x = 22\n")
    importlib.invalidate_caches()
    os.utime(base + "/pack/inner.py", (1, 1))
    importlib.reload(pack.inner)
    spec = importlib.util.spec_from_file_location("alone", base + "/pack/inner.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = types.ModuleType("made")
    names = [m.name for m in pkgutil.iter_modules(pack.__path__)]
    sys.path.remove(base)
    return first, pack.inner.x, module.x, made.__name__, names, importlib.util.find_spec("no_such_module"), raised(importlib.import_module, "no_such_module"), types.SimpleNamespace(a=1).a, pack.__file__ == base + "/pack/__init__.py"


@use("inspect")
def _():
    import inspect

    def f(a, b: int = 2, *args, c, **kwargs) -> str:
        "doc"
    signature = inspect.signature(f)
    source = inspect.getsource(USES["inspect"])
    frame = inspect.currentframe()

    class A:
        def m(self): pass
    return (str(signature), list(signature.parameters), inspect.getdoc(f), source.splitlines()[0], frame.f_code.co_name, inspect.isfunction(f), inspect.ismodule(os),
            [n for n, v in inspect.getmembers(A, inspect.isfunction)], inspect.getfullargspec(f).kwonlyargs, inspect.stack()[0].function)


@use("io")
def _():
    import io
    path = os.path.join(tempfile.mkdtemp(), "f")
    with io.open(path, "w", encoding="latin-1", newline="\r\n") as file:
        file.write("\u00e4\n")
    raw = open(path, "rb").read()
    buffered = io.BufferedReader(io.BytesIO(b"a\nb"))
    text = io.TextIOWrapper(io.BytesIO(b"\xff\n"), errors="surrogateescape")
    return raw.hex(), buffered.readline().decode(), buffered.peek(1).decode(), ascii(text.read()), io.StringIO("x\ny").readlines(), raised(io.StringIO().fileno)


@use("itertools", "operator")
def _():
    import itertools, operator
    return (list(itertools.chain([1], [2])), list(itertools.islice(itertools.count(5), 2)), [(k, list(g)) for k, g in itertools.groupby("aab")], list(itertools.product("ab", repeat=2))[1],
            list(itertools.combinations("abc", 2)), list(itertools.zip_longest("ab", "c")), list(itertools.accumulate([1, 2, 3])), operator.itemgetter(1, 0)("ab"), operator.attrgetter("real")(3), operator.methodcaller("upper")("x"),
            list(itertools.permutations([1, 2])), list(itertools.takewhile(lambda x: x < 2, [1, 2, 1])))


@use("json")
def _():
    import json
    value = {"a": [1, 2.5, None, True, "\u00e4\n"], "b": {}}

    class Encoder(json.JSONEncoder):
        def default(self, o): return sorted(o)
    return json.dumps(value, indent=2, sort_keys=True), json.loads(json.dumps(value)) == value, json.dumps({1, 2}, cls=Encoder), raised(json.loads, "{"), json.loads('{"a":1}', object_pairs_hook=list), json.dumps("\u00e4", ensure_ascii=False)


@use("locale")
def _():
    import locale
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    return isinstance(before, str), locale.setlocale(locale.LC_COLLATE), locale.strcoll("a", "b") < 0, raised(locale.setlocale, locale.LC_ALL, "xx_YY")


@use("logging", "logging.handlers", "logging.config")
def _():
    import io, logging, logging.config, logging.handlers
    out = io.StringIO()
    logger = logging.getLogger("uses.child")
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(15)
    logging.addLevelName(21, "PLAIN")

    class Filter(logging.Filter):
        def filter(self, record): return "no" not in record.getMessage()
    handler.addFilter(Filter())
    logger.log(21, "a %s", "b")
    logger.debug("low")
    logger.warning("no")
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("failed")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "loggers": {"uses.other": {"level": "ERROR"}}})
    memory = logging.handlers.MemoryHandler(10)
    return out.getvalue().splitlines()[:3], "ZeroDivisionError" in out.getvalue(), logging.getLogger("uses.other").level, logger.getEffectiveLevel(), logger.parent.name, memory.capacity, logging.getLevelName(21)


@use("math", "cmath", "statistics", "random")
def _():
    import cmath, math, random, statistics
    generator = random.Random(4)
    return (math.ceil(1.2), math.gcd(12, 18), math.isclose(math.sqrt(2) ** 2, 2), math.log2(8), abs(cmath.exp(1j * math.pi) + 1) < 1e-9, statistics.mean([1, 2, 6]), statistics.median([3, 1, 2]), round(statistics.stdev([1, 2, 3, 4]), 6),
            [generator.randint(0, 100) for _ in range(5)], generator.random(), generator.sample(range(10), 3), generator.choice("abc"), statistics.pstdev([1, 1]))


@use("mimetypes")
def _():
    import mimetypes
    return mimetypes.guess_type("a.tar.gz"), mimetypes.guess_type("a.html"), mimetypes.guess_extension("text/plain")


@use("mmap")
def _():
    import mmap
    file = tempfile.TemporaryFile()
    file.write(b"\x7fELF" + b"." * 100)
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return view[:4].hex(), view.find(b"F."), len(view), view.size()


@use("multiprocessing", "multiprocessing.connection", "multiprocessing.pool")
def _():
    import multiprocessing
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work(n):
        theirs.send({"pid": os.getpid() != parent, "n": n * 2, "error": ValueError("x")})
        theirs.close()
    parent = os.getpid()
    process = context.Process(target=work, args=(21,))
    process.start()
    answer = ours.recv()
    process.join()

    class Own(context.Process):
        def run(self):
            sys.exit(3)
    own = Own()
    own.start()
    own.join()
    jobs = context.Queue()
    child = context.Process(target=lambda: jobs.put("q"))
    child.start()
    got = jobs.get(timeout=20)
    child.join()
    counter = context.Value("i", 0)

    def count():
        with counter.get_lock():
            counter.value += 1
    counters = [context.Process(target=count) for _ in range(3)]
    [c.start() for c in counters]
    [c.join() for c in counters]
    return answer["pid"], answer["n"], repr(answer["error"]), process.exitcode, own.exitcode, got, counter.value, multiprocessing.cpu_count() > 0


@use("netrc")
def _():
    import netrc
    path = os.path.join(tempfile.mkdtemp(), "netrc")
    open(path, "w").write("machine h login l password p\n")
    os.chmod(path, 0o600)
    return netrc.netrc(path).authenticators("h"), netrc.netrc(path).authenticators("x")


@use("os", "os.path", "posixpath", "stat")
def _():
    import posixpath, stat
    base = tempfile.mkdtemp()
    path = base + "/f"
    open(path, "w").write("x")
    os.chmod(path, 0o640)
    os.symlink("f", base + "/l")
    os.link(path, base + "/h")
    os.mkfifo(base + "/p")
    os.mkdir(base + "/d")
    state = os.lstat(path)
    kinds = [stat.filemode(os.lstat(base + "/" + n).st_mode) for n in "flpd"]
    walked = [(os.path.relpath(r, base), sorted(d), sorted(f)) for r, d, f in os.walk(base)]
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.lseek(fd, 0, os.SEEK_END)
    os.write(fd, b"yz")
    os.ftruncate(fd, 2)
    os.close(fd)
    child = os.fork()
    if not child:
        os._exit(7)
    status = os.waitpid(child, 0)[1]
    os.utime(path, (100, 200))
    os.replace(path, base + "/g")
    environ = dict(os.environ)
    os.environ["USES_X"] = "1"
    out = os.popen("echo $USES_X").read()
    return (kinds, state.st_nlink, stat.S_ISREG(state.st_mode), walked, os.readlink(base + "/l"), os.waitstatus_to_exitcode(status), os.WEXITSTATUS(status), os.stat(base + "/g").st_mtime, os.stat(base + "/g").st_size, out,
            os.path.normpath("/a/../b//c/."), os.path.relpath("/a/b", "/a/c"), os.path.commonpath(["/a/b", "/a/c"]), posixpath.splitext("a.tar.gz"), os.path.expanduser("~root")[:1], os.path.realpath(base + "/l") == os.path.realpath(base) + "/f",
            sorted(e.name for e in os.scandir(base) if e.is_file(follow_symlinks=False)), os.access(base, os.W_OK), os.sep, raised(os.remove, "/no/such"), os.strerror(2), os.cpu_count() > 0, os.uname().sysname,
            len(os.sched_getaffinity(0)) > 0, os.umask(os.umask(0o22)) >= 0, os.stat("/dev/null").st_rdev == os.makedev(1, 3), os.getpgid(0) == os.getpgrp(), os.nice(0) >= -20, os.getloadavg()[0] >= 0, set(environ) <= set(os.environ))


@use("os.listxattr")
def _():
    path = os.path.join(os.getcwd(), "uses-xattr")
    open(path, "w").close()
    try:
        os.setxattr(path, "user.uses", b"v")
    except OSError:
        # A file system without attributes: nothing to compare but the names.
        return os.listxattr(path), raised(os.getxattr, path, "user.none")
    found = os.listxattr(path), os.getxattr(path, "user.uses").decode()
    os.removexattr(path, "user.uses")
    return found, os.listxattr(path), raised(os.getxattr, path, "user.uses")


@use("pathlib")
def _():
    import pathlib
    base = pathlib.Path(tempfile.mkdtemp())
    (base / "a" / "b").mkdir(parents=True)
    (base / "a" / "x.txt").write_text("t")
    (base / "a" / "b" / "y.txt").touch()
    path = base / "a" / "x.txt"
    return (path.read_text(), path.suffix, path.stem, path.parent.name, sorted(str(p.relative_to(base)) for p in base.rglob("*.txt")), path.exists(), (base / "none").is_dir(), str(pathlib.PurePosixPath("/a") / "../b"), path.with_suffix(".c").name,
            sorted(p.name for p in (base / "a").iterdir()), pathlib.Path("/a/b").parts, pathlib.Path("a.tar.gz").suffixes, path.stat().st_size)


@use("pickle", "copyreg", "shelve")
def _():
    import copyreg, pickle
    error = pickle.loads(pickle.dumps(OSError(2, "text", "file")))
    cycle = []
    cycle.append(cycle)
    back = pickle.loads(pickle.dumps(cycle, 4))
    sizes = [pickle.loads(pickle.dumps({"a": (1, 2.5, "x", b"y", None, {3})}, protocol)) for protocol in range(6)]
    return type(error).__name__, error.filename, back[0] is back, all(size == sizes[0] for size in sizes), raised(pickle.dumps, lambda: 0) is not None, callable(copyreg.pickle)


@use("platform", "resource", "signal", "sys")
def _():
    import platform, resource, signal
    seen = []
    old = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, old)
    signal.signal(signal.SIGALRM, lambda *a: seen.append("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while "alarm" not in seen:
        signal.pause()
    term = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ignored = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, term)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (seen == [signal.SIGUSR1, "alarm"], old == signal.SIG_DFL, ignored == signal.SIG_IGN, signal.getsignal(signal.SIGTERM) == term, signal.Signals(15).name, soft <= hard or hard == -1, usage.ru_maxrss > 0, platform.system(), platform.machine() == os.uname().machine,
            sys.byteorder, sys.maxsize, sys.getrecursionlimit() > 100, sys.platform, sys.version_info >= (3, 9), sys.getdefaultencoding(), sys.getfilesystemencoding())


@use("pprint", "textwrap", "string")
def _():
    import pprint, string, textwrap
    return (pprint.pformat({"b": [1] * 30, "a": "x"}), textwrap.dedent("  a\n   b\n"), textwrap.fill("some words to wrap here", 10), textwrap.indent("a\nb", "> "), textwrap.shorten("some long text", 10),
            string.Template("$a ${b} $$").safe_substitute(a=1), string.ascii_lowercase[:3], string.Formatter().format("{0!r:>5}", "x"), string.capwords("a b"))


@use("re")
def _():
    import re
    pattern = re.compile(r"(?P<name>[\w-]+)_(?P<version>[^_]+?)(\.(bb|inc))?$", re.M)
    try:
        broken = re.compile("(")
    except re.error as error:
        broken = error.pos
    match = pattern.search("x/busybox_1.36.1.bb")
    return (match.groupdict(), match.span("version"), pattern.sub(r"\g<version>-\1", "a_1.bb"), re.findall(r"(\d)(\w)", "1a2b"), re.split(r"[,;]\s*", "a, b;c"), re.escape("a.b*"), re.fullmatch(r"a+?", "aaa").group(), [m.start() for m in re.finditer("a", "banana")],
            re.sub("(?i)X", lambda m: m.group().lower() + "!", "xX"), re.match(r"(?=.*b)a(?!c)", "ab").end(), re.sub(r"\bfoo\b", "bar", "foo food"), broken, re.compile(r"""a  # comment
            b""", re.X).match("ab") is not None, re.match(r"(a)?(?(1)b|c)", "c").group(), bool(re.search(rb"\xff", b"\xff")))


@use("readline")
def _():
    import readline
    base = tempfile.mkdtemp()
    readline.clear_history()
    readline.parse_and_bind("tab: complete")
    readline.set_completer_delims(" ")
    completer = lambda text, state: None
    readline.set_completer(completer)
    [readline.add_history(line) for line in ("one", "two", "three")]
    readline.set_history_length(2)
    readline.write_history_file(base + "/h")
    text = [line for line in open(base + "/h").read().splitlines() if not line.startswith("#")]
    readline.remove_history_item(0)
    items = [readline.get_history_item(i) for i in range(1, 4)]
    readline.clear_history()
    readline.read_history_file(base + "/h")
    return text, items, readline.get_current_history_length(), readline.get_history_item(1), readline.get_completer() is completer, readline.get_completer_delims(), raised(readline.read_history_file, base + "/none"), raised(readline.remove_history_item, 99)


@use("shlex", "subprocess")
def _():
    import shlex, subprocess
    done = subprocess.run(["sh", "-c", "cat; echo err >&2; exit 3"], input="in", capture_output=True, text=True)
    process = subprocess.Popen("read x; echo got $x; echo $VAR; pwd", shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"VAR": "v", "PATH": os.environ["PATH"]}, cwd="/", start_new_session=True, preexec_fn=lambda: os.umask(0))
    out, _ = process.communicate(b"line\n", timeout=20)
    merged = subprocess.check_output("echo a; echo b >&2", shell=True, stderr=subprocess.STDOUT, universal_newlines=True)
    try:
        subprocess.run(["sleep", "20"], timeout=0.05)
        timed = False
    except subprocess.TimeoutExpired:
        timed = True
    killed = subprocess.Popen(["sleep", "20"])
    killed.terminate()
    return (done.stdout, done.stderr, done.returncode, out.decode(), merged, timed, killed.wait(), raised(subprocess.check_call, ["false"]), raised(subprocess.run, ["/no/such"]), shlex.split("a 'b c' \"d\\\"\" e\\ f # g", comments=True), shlex.quote("a b'c"),
            shlex.join(["a b", "c"]), list(shlex.shlex("a=b;c", punctuation_chars=True)), subprocess.getstatusoutput("exit 2")[0])


@use("socket")
def _():
    import socket
    a, b = socket.socketpair()
    a.sendall(b"hello")
    first = b.recv(5)
    path = os.path.join(tempfile.mkdtemp(), "s")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    peer, _ = server.accept()
    r, w = os.pipe()
    socket.send_fds(peer, [b"f"], [w])
    data, fds, _, _ = socket.recv_fds(client, 10, 4)
    os.write(fds[0], b"through")
    tcp = socket.create_server(("127.0.0.1", 0))
    connected = socket.create_connection(tcp.getsockname(), timeout=5)
    connected.settimeout(0.01)
    return first.decode(), data.decode(), os.read(r, 10).decode(), raised(connected.recv, 1), isinstance(socket.gethostname(), str), socket.inet_ntoa(b"\x7f\0\0\1"), tcp.family.name


@use("sqlite3")
def _():
    import sqlite3
    path = os.path.join(tempfile.mkdtemp(), "db")
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE)")
        db.executemany("INSERT INTO t (b) VALUES (?)", [("x",), ("y",)])
        rows = [dict(row) for row in db.execute("SELECT * FROM t ORDER BY a DESC")]
        return rows, raised(db.execute, "INSERT INTO t (b) VALUES ('x')"), db.execute("SELECT count(*) FROM t").fetchone()[0]


@use("struct", "array", "binascii")
def _():
    import array, binascii, struct
    return struct.pack("<IHb4s", 1, 2, -3, b"ab").hex(), struct.unpack(">Q", b"\0" * 7 + b"\x05"), struct.calcsize("@ci"), struct.unpack_from("<H", b"\0\1\2", 1), array.array("i", [1, 2]).tobytes().hex(), binascii.hexlify(b"\xff").decode(), raised(struct.unpack, "I", b"")


@use("tarfile", "zipfile")
def _():
    import io, tarfile, zipfile
    base = tempfile.mkdtemp()
    open(base + "/f", "w").write("data")
    os.symlink("f", base + "/l")
    out = {}
    for mode in ("", "gz", "bz2", "xz"):
        path = base + "/t." + mode
        with tarfile.open(path, "w:" + mode) as tar:
            tar.add(base + "/f", "d/f")
            tar.add(base + "/l", "l")
            info = tarfile.TarInfo("made")
            info.size, info.mtime = 3, 5
            tar.addfile(info, io.BytesIO(b"abc"))
        with tarfile.open(path) as tar:
            out[mode] = [(m.name, m.size, m.issym(), m.linkname) for m in tar], tar.extractfile("made").read().decode()
            tar.extractall(base + "/x" + mode)
    with zipfile.ZipFile(base + "/z", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(base + "/f", "f")
        archive.writestr("g", "text")
    with zipfile.ZipFile(base + "/z") as archive:
        names, text = archive.namelist(), archive.read("g").decode()
    return out, os.readlink(base + "/xgz/l"), open(base + "/xxz/d/f").read(), names, text


@use("tempfile")
def _():
    with tempfile.TemporaryDirectory(prefix="p-", suffix="-s") as folder:
        name = os.path.basename(folder)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
            file.write("x")
        fd, path = tempfile.mkstemp(dir=folder)
        os.close(fd)
        kept = len(os.listdir(folder))
    spooled = tempfile.SpooledTemporaryFile(10)
    spooled.write(b"abc")
    spooled.seek(0)
    return name[:2], name[-2:], kept, os.path.exists(folder), spooled.read().decode(), tempfile.gettempdir() == tempfile.gettempdir()


@use("tomllib")
def _():
    import tomllib
    value = tomllib.loads('a = 1\n[b]\nc = ["x", 2.5]\nd = 2024-01-01\n[[e]]\nf = true\n')
    value["b"]["d"] = str(value["b"]["d"])
    return value, raised(tomllib.loads, "a =")


@use("traceback")
def _():
    import traceback

    def inner(): raise KeyError("k")
    code = compile("def made():\n    raise ValueError('v')\n", "made.bb", "exec")
    scope = {}
    exec(code, scope)
    try:
        try:
            inner()
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        text = traceback.format_exc()
    try:
        scope["made"]()
    except ValueError as error:
        frames = [(os.path.basename(f.filename), f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)][-1]
        last = traceback.format_exception_only(type(error), error)
    return "direct cause" in text, "KeyError: 'k'" in text, frames, last, [f.name for f in traceback.extract_stack()][-1]


@use("typing")
def _():
    import typing
    T = typing.TypeVar("T")

    class Box(typing.Generic[T]):
        pass

    class Row(typing.NamedTuple):
        a: int
        b: str = "x"

    def f(a: "int", b: typing.Optional[str] = None) -> typing.List[int]: pass
    return repr(Row(1)), typing.get_type_hints(f)["a"].__name__, typing.cast(int, "x"), typing.get_args(typing.Dict[str, int])[0].__name__, Box[int].__origin__ is Box, typing.TYPE_CHECKING


@use("unittest", "unittest.mock")
def _():
    import io, unittest, unittest.mock

    class Case(unittest.TestCase):
        @classmethod
        def setUpClass(cls): cls.made = 1

        def test_a(self): self.assertEqual(self.made, 1)

        def test_b(self): self.assertEqual([1], [2])

        @unittest.skip("why")
        def test_c(self): pass

        def test_d(self):
            with self.assertRaisesRegex(KeyError, "k"), self.subTest(i=1):
                raise KeyError("k")

        def test_e(self):
            with self.assertLogs("x") as logs:
                import logging
                logging.getLogger("x").warning("said")
            self.assertEqual(logs.output, ["WARNING:x:said"])
    result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromTestCase(Case))
    mock = unittest.mock.Mock(return_value=3)
    with unittest.mock.patch("os.getcwd", mock):
        value = os.getcwd()
    mock.assert_called_once_with()
    return result.testsRun, [t.id().rpartition(".")[2] for t, _ in result.failures], len(result.errors), [why for _, why in result.skipped], value, unittest.mock.MagicMock().__len__()


@use("urllib.parse")
def _():
    import urllib.parse as parse
    return (tuple(parse.urlparse("https://u:p@h.org:8/p;x?q=1#f")), parse.urljoin("http://a/b/c", "../d"), parse.quote("a b/\u00e4"), parse.unquote("a%20b"), parse.parse_qs("a=1&a=2"), parse.urlencode({"a": "b c"}), parse.urlsplit("git://h/p").netloc,
            parse.urlunparse(("http", "h", "/p", "", "q", "")), parse.urldefrag("a#b").fragment, parse.urlparse("http://h:8/").port)


@use("uuid")
def _():
    import uuid
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "x")), len(str(uuid.uuid4())), uuid.UUID("12345678123456781234567812345678").hex, str(uuid.uuid3(uuid.NAMESPACE_DNS, "y"))


@use("warnings")
def _():
    import warnings
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning)
        warnings.warn("u")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failed = raised(warnings.warn, "x")
    return [(w.category.__name__, str(w.message)) for w in seen], failed


@use("weakref", "gc", "atexit")
def _():
    import atexit, gc, weakref

    class A: pass
    a = A()
    ref = weakref.ref(a)
    there = ref() is a
    mapping = weakref.WeakValueDictionary(k=a)
    del a
    gc.collect()
    return there, ref(), dict(mapping), callable(atexit.register)


@use("asyncio")
def _():
    import asyncio

    async def handle(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def talk():
        path = os.path.join(tempfile.mkdtemp(), "s")
        server = await asyncio.start_unix_server(handle, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        answer = await reader.readline()
        both = await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))
        server.close()
        return answer.decode(), both
    return asyncio.run(talk())


def main():
    out = os.fdopen(os.dup(1), "w")
    done = {}
    for name, function in USES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        if function not in done:
            try:
                done[function] = {"result": json.loads(json.dumps(function(), default=str))}
            except ImportError as error:
                done[function] = {"missing": str(error)}
            except BaseException:
                done[function] = {"error": traceback.format_exc()}
        out.write(json.dumps(dict(done[function], name=name)) + "\n")
        out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
