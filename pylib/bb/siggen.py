"""Signature generators: the classes that metadata selects with BB_SIGNATURE_HANDLER and derives from.

What is computed often is native (`_hz_siggen`): base hashes, task hashes, checksums of files, and
signature files. The classes keep what is known of tasks, by task id, in plain dictionaries.
"""

import importlib
import json
import logging
import os
import re
import sys
import types
import uuid
from contextlib import contextmanager

import _hz_siggen
import bb
import bb.cache
import bb.checksum
import bb.runqueue
import bb.utils
import hashserv

logger = logging.getLogger("BitBake.SigGen")
hashequiv_logger = logging.getLogger("BitBake.SigGen.HashEquiv")

# Metadata sets `find_siginfo` and `find_siginfo_version`; this is the version asked for.
find_siginfo_minversion = 2

# What a client of the hash server takes from the configuration or the user's environment.
HASHSERV_ENVVARS = ["SSL_CERT_DIR", "SSL_CERT_FILE", "NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY"]

# What talking to the hash server may end with; a build goes on without it.
_CONNECTION_ERRORS = (ConnectionError, FileNotFoundError, EOFError)


# What the base hashes of a recipe are made of, where Python code holds it.
_RECIPE_PARTS = ("siggen_taskdeps", "siggen_gendeps", "siggen_varvals")


def check_siggen_version(siggen):
    """Ends the build if the metadata's find_siginfo is not there or too old."""
    found = getattr(siggen, "find_siginfo_version", None)
    if found is None:
        bb.fatal("Siggen from metadata (OE-Core?) is too old, please update it (no version found)")
    if found < siggen.find_siginfo_minversion:
        bb.fatal("Siggen from metadata (OE-Core?) is too old, please update it (%s vs %s)" % (found, siggen.find_siginfo_minversion))


def check_hashserv_unihash(unihash):
    if not hashserv.is_valid_unihash(unihash):
        bb.fatal("Hash Equivalence Server returned invalid unihash")


def init(d):
    """The generator BB_SIGNATURE_HANDLER names, of the classes that are attributes of this module."""
    known = [item for item in list(globals().values()) if isinstance(item, type) and issubclass(item, SignatureGenerator)]
    desired = d.getVar("BB_SIGNATURE_HANDLER") or "noop"
    for generator in known:
        if generator.name == desired:
            return generator(d)
    logger.error(
        "Invalid signature generator '%s', using default 'noop'\nAvailable generators: %s",
        desired, ", ".join(generator.name for generator in known),
    )
    return SignatureGenerator(d)


def build_pnid(mc, pn, taskname):
    """`[mc:NAME:]pn:task`: how signature files name tasks."""
    return ":".join(["mc", mc, pn, taskname] if mc else [pn, taskname])


def _plain_task(taskname):
    """The task a set-scene task belongs to; any other as it is."""
    return taskname[: -len("_setscene")] if taskname.endswith("_setscene") else taskname


class SignatureGenerator:
    """Hashes that say nothing: tasks run whenever their stamps are missing."""

    name = "noop"

    # Unihashes by task id that were asked for since the task got its hash. The run queue keeps them, see _queue_memory.
    _asked_unihashes = {}
    # Answers of rundep_check that hold for more than the dependency they were given for, while a build is prepared:
    # the task names that make a difference, those of dependencies that do, and what was answered. None: ask.
    _rundep_answers = None

    def __init__(self, data):
        self.basehash = {}
        self.taskhash = {}
        self.unihash = {}
        self.runtaskdeps = {}
        self.file_checksum_values = {}
        self.taints = {}
        self.unitaskhashes = {}
        self.tidtopn = {}
        self.setscenetasks = set()

    def reset(self, data):
        self.__init__(data)

    def exit(self):
        return

    # -- Recipes

    def finalise(self, fn, d, varient):
        """Called at the end of a recipe's parsing, where native code does not do it alone."""
        return

    def postparsing_clean_cache(self):
        return

    def setup_datacache(self, datacaches):
        """Takes what is known of recipes, by multiconfig."""
        self.datacaches = datacaches

    def setup_datacache_from_datastore(self, mcfn, d):
        """In a task: what is known of its recipe, from the recipe's own store."""
        facts = types.SimpleNamespace(stamp={mcfn: d.getVar("STAMP")}, stamp_extrainfo={mcfn: {}})
        for task in d.getVar("__BBTASKS", False) or []:
            extra = d.getVarFlag(task, "stamp-extra-info")
            if extra:
                facts.stamp_extrainfo[mcfn][task] = extra
        self.datacaches = {d.getVar("__BBMULTICONFIG", False) or "": facts}

    # -- Hashes

    def prep_taskhash(self, tid, deps, dataCaches):
        return

    def get_taskhash(self, tid, deps, dataCaches):
        self.taskhash[tid] = _hz_siggen.sha256(tid)
        return self.taskhash[tid]

    def get_cached_unihash(self, tid):
        return None

    def get_unihash(self, tid):
        return self.get_cached_unihash(tid) or self.taskhash[tid]

    def get_unihashes(self, tids):
        return {tid: self.get_unihash(tid) for tid in tids}

    def set_setscene_tasks(self, setscene_tasks):
        return

    def writeout_file_checksum_cache(self):
        return

    def save_unitaskhashes(self):
        return

    # -- What processes hand to each other

    def get_taskdata(self):
        return (
            self.runtaskdeps, self.taskhash, self.unihash, self.file_checksum_values, self.taints,
            self.basehash, self.unitaskhashes, self.tidtopn, self.setscenetasks,
        )

    def set_taskdata(self, data):
        (
            self.runtaskdeps, self.taskhash, self.unihash, self.file_checksum_values, self.taints,
            self.basehash, self.unitaskhashes, self.tidtopn, self.setscenetasks,
        ) = data

    def get_taskhashes(self):
        return self.taskhash, self.unihash, self.unitaskhashes, self.tidtopn

    def set_taskhashes(self, hashes):
        self.taskhash, self.unihash, self.unitaskhashes, self.tidtopn = hashes

    # -- Stamps

    def stampfile_base(self, mcfn):
        return self.datacaches[bb.runqueue.mc_from_tid(mcfn)].stamp[mcfn]

    def _extrainfo(self, taskname, mcfn):
        extras = self.datacaches[bb.runqueue.mc_from_tid(mcfn)].stamp_extrainfo[mcfn]
        return extras.get(_plain_task(taskname)) or ""

    def stampfile_mcfn(self, taskname, mcfn, extrainfo=True):
        """Path of a task's stamp; None for a recipe without stamps."""
        stamp = self.stampfile_base(mcfn)
        if not stamp:
            return None
        return self.stampfile(stamp, mcfn, taskname, self._extrainfo(taskname, mcfn) if extrainfo else "")

    def stampcleanmask_mcfn(self, taskname, mcfn):
        """What all stamps of a task match."""
        stamp = self.stampfile_base(mcfn)
        if not stamp:
            return []
        return self.stampcleanmask(stamp, mcfn, taskname, self._extrainfo(taskname, mcfn))

    def stampfile(self, stampbase, file_name, taskname, extrainfo):
        return ("%s.%s.%s" % (stampbase, taskname, extrainfo)).rstrip(".")

    def stampcleanmask(self, stampbase, file_name, taskname, extrainfo):
        return ("%s.%s.%s" % (stampbase, taskname, extrainfo)).rstrip(".")

    def invalidate_task(self, task, mcfn):
        bb.utils.remove(self.stampfile_base(mcfn))

    # -- Signature files

    def dump_sigtask(self, mcfn, task, stampbase, runtime):
        return

    def dump_sigs(self, dataCache, options):
        return


class SignatureGeneratorBasic(SignatureGenerator):
    """Hashes of all that goes into a task; stamps do not name them."""

    name = "basic"

    def __init__(self, data):
        super().__init__(data)
        self.basehash_ignore_vars = set((data.getVar("BB_BASEHASH_IGNORE_VARS") or "").split())
        self.taskhash_ignore_tasks = None
        self.init_rundepcheck(data)
        # Not asked here: checksums are native. Metadata empties its list of times seen.
        self.checksum_cache = bb.checksum.FileChecksumCache() if data.getVar("BB_HASH_CHECKSUM_CACHE_FILE") else None
        self.localdirsexclude = (data.getVar("BB_SIGNATURE_LOCAL_DIRS_EXCLUDE") or "CVS .bzr .git .hg .osc .p4 .repo .svn").split()
        _hz_siggen.open_checksums(data.getVar("BB_CACHEDIR") or data.getVar("CACHE") or "")
        # Shared with the reference, which reads and writes the same file.
        self.unihash_cache = bb.cache.SimpleCache("3")
        self.unihash_cache._open(data, "bb_unihashes.dat")
        self._unitaskhashes = None

    @property
    def unitaskhashes(self):
        """Unihashes by task, from the builds before. Read when they are used: a build's are many, and every command
        makes several generators."""
        if self._unitaskhashes is None:
            self._unitaskhashes = self.unihash_cache._load({})
        return self._unitaskhashes

    @unitaskhashes.setter
    def unitaskhashes(self, value):
        self._unitaskhashes = value

    # -- Recipes

    def finalise(self, fn, d, variant):
        mc = d.getVar("__BBMULTICONFIG", False) or ""
        mcfn = bb.cache.realfn2virtual(fn, variant, mc) if variant or mc else fn
        try:
            taskdeps, gendeps, varvals = self._build_data(mcfn, d)
        except bb.parse.SkipRecipe:
            raise
        except Exception:
            bb.warn("Error during finalise of %s" % mcfn)
            raise
        d.setVar("__siggen_basehashes", {task: self.basehash[mcfn + ":" + task] for task in taskdeps})
        d.setVar("__siggen_gendeps", gendeps)
        d.setVar("__siggen_varvals", varvals)
        d.setVar("__siggen_taskdeps", taskdeps)

    def _build_data(self, mcfn, d):
        basehashes, taskdeps, gendeps, varvals = _hz_siggen.base_signatures(d, mcfn, self.basehash_ignore_vars)
        ignore_mismatch = d.getVar("BB_HASH_IGNORE_MISMATCH") == "1"
        for task, basehash in basehashes.items():
            tid = mcfn + ":" + task
            if not ignore_mismatch and self.basehash.get(tid, basehash) != basehash:
                self._tell_mismatch(tid, task, basehash, d)
            self.basehash[tid] = basehash
        return taskdeps, gendeps, varvals

    def _tell_mismatch(self, tid, task, basehash, d):
        bb.error(
            "When reparsing %s, the basehash value changed from %s to %s. The metadata is not deterministic "
            "and this needs to be fixed." % (tid, self.basehash[tid], basehash)
        )
        command = "$ bitbake %s -c%s" % (d.getVar("PN"), task)
        bb.error("The following commands may help:")
        bb.error("%s -Snone" % command)
        bb.error("Then:")
        bb.error("%s -Sprintdiff\n" % command)

    def setup_datacache_from_datastore(self, mcfn, d):
        super().setup_datacache_from_datastore(mcfn, d)
        facts = self.datacaches[bb.runqueue.mc_from_tid(mcfn)]
        for name in _RECIPE_PARTS:
            value = d.getVar("__" + name, False)
            setattr(facts, name, {} if value is None else {mcfn: value})

    # -- Hashes

    def init_rundepcheck(self, data):
        """Reads what rundep_check goes by."""
        self.taskhash_ignore_tasks = data.getVar("BB_TASKHASH_IGNORE_TASKS") or None
        self.twl = re.compile(self.taskhash_ignore_tasks) if self.taskhash_ignore_tasks else None

    def rundep_check(self, fn, recipename, task, dep, depname, dataCaches):
        """Whether the hash of a dependency enters a task's hash."""
        ignored = self.twl and not self.twl.search(recipename) and self.twl.search(depname)
        return not ignored

    def read_taint(self, fn, task, stampbase):
        """The text of a task's taint file, or None."""
        return _hz_siggen.read_taint("%s.%s.taint" % (stampbase, task))

    def _unihash(self, tid):
        return self._asked_unihashes.get(tid) or self.get_unihash(tid)

    def _with_unihashes(self, dependencies):
        """(name, id, unihash) for each (name, id)."""
        return _hz_siggen.with_unihashes(dependencies, self._asked_unihashes, self.get_unihash)

    def prep_taskhash(self, tid, deps, dataCaches):
        """Collects what enters a task's hash, dependencies before dependents; gives the ids of the
        dependencies that do."""
        mc, _, task, mcfn = bb.runqueue.split_tid_mcfn(tid)
        facts = dataCaches[mc]
        recipename = facts.pkg_fn[mcfn]
        self.basehash[tid] = facts.basetaskhash[tid]
        self.tidtopn[tid] = recipename

        rundeps = self.runtaskdeps[tid] = []
        names, depnames, answers = self._rundep_answers or (None, None, None)
        known = None if names is None else answers.setdefault((mcfn, task if task in names else None), {})
        for dep in deps:
            depmc, _, deptask, depmcfn = bb.runqueue.split_tid_mcfn(dep)
            dep_pn = dataCaches[depmc].pkg_fn[depmcfn]
            if known is None:
                keep = self.rundep_check(mcfn, recipename, task, dep, dep_pn, dataCaches)
            else:
                key = depmcfn, deptask if deptask in depnames else None
                keep = known.get(key)
                if keep is None:
                    keep = known[key] = bool(self.rundep_check(mcfn, recipename, task, dep, dep_pn, dataCaches))
            if not keep:
                continue
            if dep not in self.taskhash:
                bb.fatal("%s is not in taskhash, caller isn't calling in dependency order?" % dep)
            rundeps.append((build_pnid(depmc, dep_pn, deptask), dep))

        files = facts.file_checksums[mcfn].get(task)
        self.file_checksum_values[tid] = _hz_siggen.file_checksums(files, recipename, self.localdirsexclude) if files else []

        if task in facts.task_deps[mcfn].get("nostamp", ()) and not self.taints.get(tid, "").startswith("nostamp:"):
            # Whatever depends on a task that always runs has to run after it: no hash of it lasts.
            self.taints[tid] = "nostamp:" + str(uuid.uuid4())
        taint = self.read_taint(mcfn, task, facts.stamp[mcfn])
        if taint:
            self.taints[tid] = taint
            logger.warning("%s is tainted from a forced run" % tid)
        return {dep for _, dep in rundeps}

    def get_taskhash(self, tid, deps, dataCaches):
        dependencies = self._with_unihashes(self.runtaskdeps[tid])
        files = self.file_checksum_values[tid]
        self.taskhash[tid] = _hz_siggen.task_hash(self.basehash[tid], dependencies, files, self.taints.get(tid))
        return self.taskhash[tid]

    def set_setscene_tasks(self, setscene_tasks):
        self.setscenetasks = set(setscene_tasks)

    def writeout_file_checksum_cache(self):
        _hz_siggen.save_checksums()

    def save_unitaskhashes(self):
        self.unihash_cache.save(self.unitaskhashes)

    # -- Signature files

    def dump_sigtask(self, mcfn, task, stampbase, runtime):
        """Writes a task's signature file: with its task hash if `runtime`, else what parsing knows.
        With `customfile:STAMPBASE` for `runtime`, `stampbase` is the file's name."""
        tid = mcfn + ":" + task
        hashed = bool(runtime) and tid in self.taskhash
        referencestamp = stampbase
        if isinstance(runtime, str) and runtime.startswith("customfile"):
            sigfile = stampbase
            referencestamp = runtime[len("customfile:"):]
        elif hashed:
            sigfile = "%s.%s.sigdata.%s" % (stampbase, task, self._unihash(tid))
        else:
            sigfile = "%s.%s.sigbasedata.%s" % (stampbase, task, self.basehash[tid])

        taint = self.read_taint(mcfn, task, referencestamp)
        if runtime and "nostamp:" in self.taints.get(tid, ""):
            taint = self.taints[tid]
        run = None
        if hashed:
            run = {
                "dependencies": self._with_unihashes(self.runtaskdeps[tid]),
                "files": self.file_checksum_values[tid],
                "taskhash": self.taskhash[tid],
                "unihash": self._unihash(tid),
            }
        facts = self.datacaches[bb.runqueue.mc_from_tid(mcfn)]
        given = None
        if not _hz_siggen.has_signatures(mcfn):
            given = tuple(getattr(facts, name)[mcfn] for name in _RECIPE_PARTS)
        content = _hz_siggen.signature_file(
            mcfn, task, self.basehash[tid], self.basehash_ignore_vars, self.taskhash_ignore_tasks or None, run, taint or None, given
        )
        if content.basehash != self.basehash[tid]:
            bb.error("Basehash mismatch %s versus %s for %s" % (content.basehash, self.basehash[tid], tid))
        if hashed and content.taskhash != self.taskhash[tid]:
            bb.error("Taskhash mismatch %s versus %s for %s" % (content.taskhash, self.taskhash[tid], tid))
            sigfile = sigfile.replace(self.taskhash[tid], content.taskhash)
        content.write(sigfile)


class SignatureGeneratorBasicHash(SignatureGeneratorBasic):
    """Stamps name the hash: a task runs when its hash has no stamp."""

    name = "basichash"

    def get_stampfile_hash(self, tid):
        found = self.taskhash.get(tid)
        return self.basehash[tid] if found is None else found

    def stampfile(self, stampbase, mcfn, taskname, extrainfo, clean=False):
        h = "*" if clean else self.get_stampfile_hash(mcfn + ":" + _plain_task(taskname))
        return ("%s.%s.%s.%s" % (stampbase, taskname, h, extrainfo)).rstrip(".")

    def stampcleanmask(self, stampbase, mcfn, taskname, extrainfo):
        return self.stampfile(stampbase, mcfn, taskname, extrainfo, clean=True)

    def invalidate_task(self, task, mcfn):
        bb.note("Tainting hash to force rebuild of task %s, %s" % (mcfn, task))
        taintfile = "%s.%s.taint" % (self.stampfile_base(mcfn), task)
        bb.utils.mkdirhier(os.path.dirname(taintfile))
        # Any text will do that nobody had before.
        with open(taintfile, "w") as taint:
            taint.write(str(uuid.uuid4()))


class SignatureGeneratorUniHashMixIn:
    """Tasks whose outputs are known to be the same share a hash, which the hash server knows.

    Deriving classes set `server` and `method`.
    """

    def __init__(self, data):
        self.extramethod = {}
        # Only what exists: what does not today may tomorrow.
        self.unihash_exists_cache = set()
        self.username = None
        self.password = None
        self.env = {}
        origenv = data.getVar("BB_ORIGENV")
        for name in HASHSERV_ENVVARS:
            value = data.getVar(name) or (origenv.getVar(name) if origenv else None)
            if value:
                self.env[name] = value
        super().__init__(data)

    def reset(self, data):
        self._close_client()
        return super().reset(data)

    def exit(self):
        self._close_client()
        return super().exit()

    def get_taskdata(self):
        return (self.server, self.method, self.extramethod, self.username, self.password, self.env) + super().get_taskdata()

    def set_taskdata(self, data):
        self.server, self.method, self.extramethod, self.username, self.password, self.env = data[:6]
        super().set_taskdata(data[6:])

    # -- The hash server

    def get_hashserv_creds(self):
        if self.username and self.password:
            return {"username": self.username, "password": self.password}
        return {}

    def _client_env(self):
        """The environment in which the server is talked to: the user's proxies and certificates."""
        return bb.utils.environment(**self.env)

    @contextmanager
    def client(self):
        """The connection to the server, made when first needed."""
        with self._client_env():
            if getattr(self, "_client", None) is None:
                self._client = hashserv.create_client(self.server, **self.get_hashserv_creds())
            yield self._client

    def _close_client(self):
        if getattr(self, "_client", None) is not None:
            with self._client_env():
                self._client.close()
            self._client = None

    def _tell_unreachable(self, error):
        bb.warn("Error contacting Hash Equivalence Server %s: %s" % (self.server, str(error)))

    def _get_method(self, tid):
        return self.method + self.extramethod.get(tid, "")

    def unihashes_exist(self, query):
        """Which of the unihashes (values of `query`) the server knows, by the same keys."""
        result = {key: True for key, unihash in query.items() if unihash in self.unihash_exists_cache}
        asked = [key for key in query if key not in result]
        if asked:
            with self.client() as client:
                answers = client.unihash_exists_batch([query[key] for key in asked])
            for key, exists in zip(asked, answers):
                if exists:
                    self.unihash_exists_cache.add(query[key])
                result[key] = exists
        return result

    # -- Hashes

    def get_stampfile_hash(self, tid):
        if tid in self.taskhash:
            unihash = self._get_unihash(tid)
            if unihash is not None:
                return unihash
        return super().get_stampfile_hash(tid)

    def _cache_key(self, tid):
        mc, _, taskname, _ = bb.runqueue.split_tid_mcfn(tid)
        return "%s:%s:%s" % (mc, self.tidtopn[tid], taskname)

    def set_unihash(self, tid, unihash):
        _hz_siggen.note_change()
        if self._asked_unihashes:
            self._asked_unihashes.pop(tid, None)
        self.unitaskhashes[self._cache_key(tid)] = (self.taskhash[tid], unihash)
        self.unihash[tid] = unihash

    def _get_unihash(self, tid, checkkey=None):
        """The unihash remembered for a task with its current hash (or `checkkey`)."""
        if tid not in self.tidtopn:
            return None
        taskhash, unihash = self.unitaskhashes.get(self._cache_key(tid), (None, None))
        return unihash if taskhash is not None and taskhash == (checkkey or self.taskhash[tid]) else None

    def get_cached_unihash(self, tid):
        taskhash = self.taskhash[tid]
        if self.setscenetasks and tid not in self.setscenetasks:
            # Nothing is kept of its output, so no other task's can stand for it.
            self.unihash[tid] = None
            return taskhash
        unihash = self._get_unihash(tid)
        if unihash is not None:
            self.unihash[tid] = unihash
        return unihash

    def get_unihash(self, tid):
        return self.get_unihashes([tid])[tid]

    def get_unihashes(self, tids):
        """The unihash of each task; what is not remembered is asked of the server in one go."""
        result = {}
        asked = []
        for tid in tids:
            unihash = self.get_cached_unihash(tid)
            if unihash:
                result[tid] = unihash
            else:
                asked.append(tid)
        if asked:
            result.update(self._ask_unihashes(asked))
        return result

    def _ask_unihashes(self, asked):
        """The unihashes of tasks for which none is remembered."""
        result = {}
        answers = []
        if asked:
            try:
                with self.client() as client:
                    answers = client.get_unihash_batch([(self._get_method(tid), self.taskhash[tid]) for tid in asked])
            except _CONNECTION_ERRORS as exc:
                self._tell_unreachable(exc)
        told = hashequiv_logger.wants_debug(2)
        for tid, unihash in zip(asked, answers or [None] * len(asked)):
            taskhash = self.taskhash[tid]
            if unihash:
                check_hashserv_unihash(unihash)
                # Only one that differs is worth telling early.
                level = 2 if unihash == taskhash else 1
                hashequiv_logger.bbdebug(level, "Found unihash %s in place of %s for %s from %s" % (unihash, taskhash, tid, self.server))
            elif told:
                hashequiv_logger.debug2("No reported unihash for %s:%s from %s" % (tid, taskhash, self.server))
            unihash = unihash or taskhash
            self.set_unihash(tid, unihash)
            result[tid] = unihash
        return result

    # -- Reports

    def _outhash(self, path, sigfile, task, d):
        """Calls the function SSTATE_HASHEQUIV_METHOD names."""
        names = {"path": path, "sigfile": sigfile, "task": task, "d": d}
        function = self.method
        if "." in function:
            module, _, attribute = function.rpartition(".")
            names["method"] = getattr(importlib.import_module(module), attribute)
            function = "method"
        return bb.utils.better_eval(function + "(path, sigfile, task, d)", names)

    def report_unihash(self, path, task, d):
        """Reports the output of a task that has run (`task` without do_): it may get another's unihash."""
        taskhash = d.getVar("BB_TASKHASH")
        unihash = d.getVar("BB_UNIHASH", False)
        mcfn = d.getVar("BB_FILENAME")
        tid = mcfn + ":do_" + task
        if self.setscenetasks and tid not in self.setscenetasks:
            return
        if taskhash != self.taskhash[tid]:
            # Locked to another hash.
            return
        cached = self._get_unihash(tid, checkkey=taskhash)
        if cached is None:
            bb.fatal("%s:%s not in unihash cache. Please report this error" % (tid, taskhash))
        if cached != unihash:
            bb.fatal("Cache unihash %s doesn't match BB_UNIHASH %s" % (cached, unihash))

        tempdir = d.getVar("T")
        name = "depsig.do_%s.%d" % (task, os.getpid())
        link = os.path.join(tempdir, "depsig.do_%s" % task)
        sigfile = open(os.path.join(tempdir, name), "w+b")
        try:
            outhash = self._outhash(path, sigfile, task, d)
            try:
                self._report(tid, task, taskhash, outhash, unihash, sigfile, d)
            except _CONNECTION_ERRORS as exc:
                self._tell_unreachable(exc)
        finally:
            sigfile.close()
            bb.utils.remove(link)
            try:
                os.symlink(name, link)
            except OSError:
                pass

    def _report(self, tid, task, taskhash, outhash, unihash, sigfile, d):
        extra = {}
        owner = d.getVar("SSTATE_HASHEQUIV_OWNER")
        if owner:
            extra["owner"] = owner
        if d.getVar("SSTATE_HASHEQUIV_REPORT_TASKDATA") == "1":
            sigfile.seek(0)
            extra.update({name: d.getVar(name) for name in ("PN", "PV", "PR")})
            extra["task"] = task
            extra["outhash_siginfo"] = sigfile.read().decode("utf-8")
        with self.client() as client:
            answer = client.report_unihash(taskhash, self._get_method(tid), outhash, unihash, extra)
        new = answer["unihash"]
        check_hashserv_unihash(new)
        if new == unihash:
            hashequiv_logger.debug("Reported task %s as unihash %s to %s" % (taskhash, unihash, self.server))
            return
        hashequiv_logger.debug("Task %s unihash changed %s -> %s by server %s" % (taskhash, unihash, new, self.server))
        bb.event.fire(bb.runqueue.taskUniHashUpdate(tid, new), d)
        self.set_unihash(tid, new)
        d.setVar("BB_UNIHASH", new)

    def report_unihash_equiv(self, tid, taskhash, wanted_unihash, current_unihash, datacaches):
        """Asks the server to give a task hash the unihash its outputs already have; True if it now does."""
        try:
            with self.client() as client:
                answer = client.report_unihash_equiv(taskhash, self._get_method(tid), wanted_unihash, {})
            hashequiv_logger.verbose("Reported task %s as unihash %s to %s (%s)" % (tid, wanted_unihash, self.server, str(answer)))
            if answer is None:
                bb.warn("Server unable to handle unihash report")
                return False
            final = answer["unihash"]
            check_hashserv_unihash(final)
            if final == current_unihash:
                hashequiv_logger.verbose("Task %s unihash %s unchanged by server" % (tid, final))
            elif final == wanted_unihash:
                hashequiv_logger.verbose("Task %s unihash changed %s -> %s as wanted" % (tid, current_unihash, final))
                self.set_unihash(tid, final)
                return True
            else:
                hashequiv_logger.verbose("Task %s unihash reported as unwanted hash %s" % (tid, final))
        except _CONNECTION_ERRORS as exc:
            self._tell_unreachable(exc)
        return False


class SignatureGeneratorTestEquivHash(SignatureGeneratorUniHashMixIn, SignatureGeneratorBasicHash):
    """For tests: the unihash mix-in with nothing else."""

    name = "TestEquivHash"

    def init_rundepcheck(self, data):
        super().init_rundepcheck(data)
        self.server = data.getVar("BB_HASHSERVE")
        self.method = "sstate_output_hash"


def _prepare_for_task(mcfn, d):
    """In a task's process: the generator knows the task's recipe. One forked from the build knows it already."""
    generator = bb.parse.siggen
    ours = (SignatureGenerator.setup_datacache_from_datastore, SignatureGeneratorBasic.setup_datacache_from_datastore)
    facts = getattr(generator, "datacaches", {}).get(bb.runqueue.mc_from_tid(mcfn))
    if facts is None or mcfn not in facts.stamp or type(generator).setup_datacache_from_datastore not in ours:
        generator.setup_datacache_from_datastore(mcfn, d)


# -- Signature files


def clean_checksum_file_path(file_checksum_tuple):
    """How signature files name a local file: below the directory it belongs to, or its base name."""
    path, _ = file_checksum_tuple
    _, marker, relative = path.partition("/./")
    return "./" + relative.split("/./")[0] if marker else os.path.basename(path)


def dump_this_task(outfile, d):
    """Writes the signature of the running task to a file."""
    mcfn = d.getVar("BB_FILENAME")
    task = "do_" + d.getVar("BB_CURRENTTASK")
    generator = bb.parse.siggen
    generator.dump_sigtask(mcfn, task, outfile, "customfile:" + generator.stampfile_base(mcfn))


def init_colors(enable_color):
    """The colours of compare_sigfiles; all empty without colour."""
    codes = {"color_title": "1", "color_default": "0", "color_add": "0;32", "color_remove": "0;31"}
    return {name: "\033[%sm" % code if enable_color else "" for name, code in codes.items()}


def worddiff_str(oldstr, newstr, colors=None):
    """Two texts as one: words that came as `{+…+}`, words that went as `[-…-]`, in double quotes."""
    colors = colors or init_colors(False)
    shown = {"+": colors["color_add"] + "{+%s+}" + colors["color_default"], "-": colors["color_remove"] + "[-%s-]" + colors["color_default"]}
    parts = [shown.get(change, "%s") % " ".join(words) for change, words in _hz_siggen.runs(oldstr.split(" "), newstr.split(" "))]
    only_blanks = oldstr != newstr and oldstr.split() == newstr.split()
    return '"%s"%s' % (" ".join(parts), " (whitespace changed)" if only_blanks else "")


def list_inline_diff(oldlist, newlist, colors=None):
    """Two lists as one: what came behind `+`, what went behind `-`, what stayed in quotes."""
    colors = colors or init_colors(False)
    shown = {"+": colors["color_add"] + "+%s" + colors["color_default"], "-": colors["color_remove"] + "-%s" + colors["color_default"]}
    parts = [shown.get(change, "'%s'") % " ".join(items) for change, items in _hz_siggen.runs(list(oldlist), list(newlist))]
    return "[%s]" % ", ".join(parts)


def handle_renames(data):
    """Gives the fields of an old signature file the names they have now."""
    for old, new in (("basewhitelist", "basehash_ignore_vars"), ("taskwhitelist", "taskhash_ignore_tasks")):
        if old in data:
            data[new] = data.pop(old)


def __getattr__(name):
    # Made when somebody uses it: few commands write signature files, and `json` takes its time.
    if name != "SetEncoder":
        raise AttributeError("module %r has no attribute %r" % (__name__, name))

    class SetEncoder(json.JSONEncoder):
        """JSON with sets, as signature files hold it."""

        def default(self, obj):
            if isinstance(obj, (set, frozenset)):
                return {"_set_object": sorted(obj)}
            return super().default(obj)

    SetEncoder.__qualname__ = "SetEncoder"
    globals()["SetEncoder"] = SetEncoder
    return SetEncoder


def _set_encoder():
    return sys.modules[__name__].SetEncoder


def SetDecoder(dct):
    """The `object_hook` that reads what SetEncoder wrote."""
    return frozenset(dct["_set_object"]) if "_set_object" in dct else dct


def _json_of(value):
    """A value that code keeps in a variable or flag, as signature files hold it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), cls=_set_encoder())


def _opened(function, paths, *args):
    """Calls a function that reads signature files; tells what cannot be read."""
    for path in paths:
        try:
            # Native errors do not name the file the way Python's do.
            open(path, "rb").close()
        except OSError as exc:
            bb.error("Failed to open sigdata file '%s': %s" % (path, exc))
            raise
    try:
        return function(*paths, *args)
    except OSError as exc:
        bb.error(str(exc))
        raise


def compare_sigfiles(a, b, recursecb=None, color=False, collapsed=False):
    """What differs between two signature files, as lines. `recursecb(dep, a, b)` explains a
    dependency whose hash differs."""
    return _opened(_hz_siggen.compare_sigfiles, (a, b), recursecb, bool(color), bool(collapsed))


def dump_sigfile(a):
    """The content of a signature file, as lines."""
    return _opened(_hz_siggen.dump_sigfile, (a,))


def _as_json(sigdata):
    return json.dumps(sigdata, cls=_set_encoder())


def calc_basehash(sigdata):
    """The base hash that the content of a signature file gives."""
    return _hz_siggen.calc_basehash(_as_json(sigdata))


def calc_taskhash(sigdata):
    """The task hash that the content of a signature file gives."""
    return _hz_siggen.calc_taskhash(_as_json(sigdata))
