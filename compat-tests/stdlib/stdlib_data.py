"""Uses of modules that work on values: text, numbers, containers, formats (see uses.py)."""

import os
import tempfile

from uses import raised, use


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


@use("time.tzset")
def _():
    import time
    before = os.environ.get("TZ")
    found = []
    for zone in ("XYZ-3", "EST5EDT,M3.2.0,M11.1.0", "UTC"):
        os.environ["TZ"] = zone
        time.tzset()
        found.append((time.tzname, time.timezone, time.altzone, time.daylight, time.localtime(0)[:6], time.mktime((2020, 7, 1, 0, 0, 0, 0, 0, -1))))
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()
    return found


@use("calendar", "datetime", "time")
def _():
    import calendar, datetime, time
    moment = datetime.datetime(2024, 2, 29, 12, 30, 1, tzinfo=datetime.timezone.utc)
    return (moment.isoformat(), moment.strftime("%Y%m%d%H%M%S %A %j"), int(moment.timestamp()), str(moment + datetime.timedelta(days=366, hours=1)),
            datetime.datetime.strptime("2024-03-01T00:00:00", "%Y-%m-%dT%H:%M:%S").weekday(), str(datetime.date.fromisoformat("2024-01-31")),
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(0)), calendar.timegm((2000, 1, 1, 0, 0, 0)), time.monotonic() > 0, time.perf_counter() > 0,
            datetime.timedelta(seconds=3725).total_seconds())


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


@use("csv")
def _():
    import csv, io
    out = io.StringIO()
    writer = csv.DictWriter(out, ["a", "b"], delimiter=";")
    writer.writeheader()
    writer.writerow({"a": 'x"y', "b": "1;2"})
    return out.getvalue(), list(csv.reader(['a,"b,c",d', "1,2,3"]))


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
            html.escape("<&\">"), html.unescape("&lt;&#228;"), xml.sax.saxutils.escape("<"))


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


@use("pickle", "copyreg", "shelve")
def _():
    import copyreg, pickle
    error = pickle.loads(pickle.dumps(OSError(2, "text", "file")))
    cycle = []
    cycle.append(cycle)
    back = pickle.loads(pickle.dumps(cycle, 4))
    sizes = [pickle.loads(pickle.dumps({"a": (1, 2.5, "x", b"y", None, {3})}, protocol)) for protocol in range(6)]
    return type(error).__name__, error.filename, back[0] is back, all(size == sizes[0] for size in sizes), raised(pickle.dumps, lambda: 0) is not None, callable(copyreg.pickle)


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


@use("struct", "array", "binascii")
def _():
    import array, binascii, struct
    return struct.pack("<IHb4s", 1, 2, -3, b"ab").hex(), struct.unpack(">Q", b"\0" * 7 + b"\x05"), struct.calcsize("@ci"), struct.unpack_from("<H", b"\0\1\2", 1), array.array("i", [1, 2]).tobytes().hex(), binascii.hexlify(b"\xff").decode(), raised(struct.unpack, "I", b"")


@use("tomllib")
def _():
    import tomllib
    value = tomllib.loads('a = 1\n[b]\nc = ["x", 2.5]\nd = 2024-01-01\n[[e]]\nf = true\n')
    value["b"]["d"] = str(value["b"]["d"])
    return value, raised(tomllib.loads, "a =")


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


@use("urllib.parse")
def _():
    import urllib.parse as parse
    return (tuple(parse.urlparse("https://u:p@h.org:8/p;x?q=1#f")), parse.urljoin("http://a/b/c", "../d"), parse.quote("a b/\u00e4"), parse.unquote("a%20b"), parse.parse_qs("a=1&a=2"), parse.urlencode({"a": "b c"}), parse.urlsplit("git://h/p").netloc,
            parse.urlunparse(("http", "h", "/p", "", "q", "")), parse.urldefrag("a#b").fragment, parse.urlparse("http://h:8/").port)


@use("uuid")
def _():
    import uuid
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "x")), len(str(uuid.uuid4())), uuid.UUID("12345678123456781234567812345678").hex, str(uuid.uuid3(uuid.NAMESPACE_DNS, "y"))
