"""Uses of modules that talk to the system, or to the interpreter (see uses.py)."""

import os
import sys
import tempfile

from uses import USES, raised, use


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


@use("crypt")
def _():
    import warnings
    warnings.simplefilter("ignore")
    import crypt
    return (crypt.crypt("pw", "$6$abcdefgh$"), crypt.crypt("pw", "$5$rounds=5000$abcdefgh$"), crypt.crypt("pw", "$1$abcdefgh$"),
            crypt.mksalt(crypt.METHOD_SHA256, rounds=1000)[:15], [repr(m) for m in crypt.methods], raised(crypt.mksalt, crypt.METHOD_MD5, rounds=5))


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


@use("getpass", "grp", "pwd")
def _():
    import getpass, grp, pwd
    root = pwd.getpwnam("root")
    return root.pw_uid, pwd.getpwuid(0).pw_name, root.pw_dir, grp.getgrgid(0).gr_name, grp.getgrnam("root").gr_gid, raised(pwd.getpwnam, "no-such-user"), getpass.getuser(), len(pwd.getpwall()) > 1


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
