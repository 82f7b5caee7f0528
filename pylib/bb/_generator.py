"""What native code does in the signature generator's stead, and whether it may: the generator of a build can be the
metadata's own (`bb.siggen` has ours, and says what a generator is). All of it is called natively.
"""

import sys

import _hz_siggen
import bb
import bb.siggen as siggen


def queue_memory():
    """A dict in which the run queue notes, by task id, the unihashes it was given, for as long as they hold: task
    hashes are made of them, and each would be asked for again by every dependent. A generator with a
    `get_unihash` of its own is asked each time: the dict is then nobody's."""
    generator = bb.parse.siggen
    memory = {}
    check = getattr(type(generator), "rundep_check", None)
    if isinstance(generator, siggen.SignatureGeneratorBasic) and check is not siggen.SignatureGeneratorBasic.rundep_check:
        from bb._depfilter import names_told_apart

        told = names_told_apart(check)
        generator._rundep_answers = (*told, {}) if told is not None else None
    if getattr(type(generator), "get_unihash", None) in (siggen.SignatureGenerator.get_unihash, siggen.SignatureGeneratorUniHashMixIn.get_unihash):
        generator._asked_unihashes = memory
    return memory


# All that a generator's `dump_sigtask` may name to be one that leaves out some tasks and else writes our file.
_PLAIN_NAMES = {
    "super", "bb", "siggen", "lockedhashes", "dump_sigtask",
    "SignatureGenerator", "SignatureGeneratorBasic", "SignatureGeneratorBasicHash", "SignatureGeneratorUniHashMixIn",
}


def _is_ours(cls):
    return cls.__module__ == siggen.__name__ and vars(siggen).get(cls.__name__) is cls and cls.__qualname__ == cls.__name__


def _has_hooks(cls):
    """Is there more to attributes than what the class and its objects hold?"""
    return any(name in vars(cls) for name in ("__getattribute__", "__getattr__", "__setattr__"))


def leavings_known():
    """Can it be told before a task runs what it leaves? Not where a generator has its own way to write signature
    files, or to set hashes, of which nobody would know in time."""
    kind = type(bb.parse.siggen)
    if not issubclass(kind, siggen.SignatureGenerator):
        return False
    for cls in kind.__mro__:
        if _is_ours(cls):
            continue
        if "set_unihash" in vars(cls) or "report_unihash" in vars(cls):
            return False
        dump = vars(cls).get("dump_sigtask")
        if dump is not None and not (set(dump.__code__.co_names) <= _PLAIN_NAMES):
            return False
    return True


# What of a generator native code does for many tasks at once, and what it may have of its own besides, if that comes
# to little (bb._plainly).
_DONE_NATIVELY = (
    "prep_taskhash", "read_taint", "set_setscene_tasks", "get_unihash", "get_unihashes", "_get_unihash", "_cache_key", "_unihash", "_with_unihashes",
)
_WITH_NOTES = ("get_taskhash", "get_cached_unihash")
_OF_STAMPS = ("get_stampfile_hash",)
_TABLES = ("basehash", "taskhash", "unihash", "runtaskdeps", "file_checksum_values", "taints", "tidtopn")


def _method_of_ours(kind, name):
    found = next((cls for cls in kind.__mro__ if name in vars(cls)), None)
    return found is not None and _is_ours(found)


def _is_plain(generator):
    kind = type(generator)
    if not isinstance(generator, siggen.SignatureGeneratorBasic) or any(_has_hooks(cls) for cls in kind.__mro__[:-1]):
        return False
    mixin = isinstance(generator, siggen.SignatureGeneratorUniHashMixIn)
    names = _DONE_NATIVELY if mixin else [name for name in _DONE_NATIVELY if name not in ("_get_unihash", "_cache_key")]
    return vars(generator).keys().isdisjoint(names) and all(_method_of_ours(kind, name) for name in names)


def native_hashing():
    """What native code needs to hash the tasks of a graph as the generator would, each once: is a server asked,
    what rundep_check tells apart, the tables of tasks, what the generator notes besides, folders left out of checksums,
    what rundep_check comes to (see _depfilter.function_for), and whether stamps are named by the unihash as ours are.
    None: the generator has to be asked."""
    generator = bb.parse.siggen
    if not _is_plain(generator) or any(type(vars(generator).get(name)) is not dict for name in _TABLES):
        return None
    from bb._depfilter import function_for
    from bb._plainly import together

    notes = together(generator, _WITH_NOTES, _is_ours)
    if notes is None:
        return None
    kind = type(generator)
    told = generator._rundep_answers[:2] if generator._rundep_answers else None
    if _method_of_ours(kind, "rundep_check") and "rundep_check" not in vars(generator):
        told = (), ()
    told = told and ([*told[0]], [*told[1]])
    tables = [vars(generator)[name] for name in _TABLES]
    asks = isinstance(generator, siggen.SignatureGeneratorUniHashMixIn)
    check = None if "rundep_check" in vars(generator) else function_for(kind.rundep_check)
    stamps = asks and together(generator, _WITH_NOTES + _OF_STAMPS, _is_ours) is not None
    return asks, told, tables, notes, " ".join(generator.localdirsexclude), check, stamps


def native_dumps():
    """What native code needs to write the signature files of tasks it hashed: names left out of base hashes, and
    BB_TASKHASH_IGNORE_TASKS. None: the generator has its own way."""
    generator = bb.parse.siggen
    if not _is_plain(generator):
        return None
    from bb._plainly import method

    found = method(generator, "dump_sigtask", _is_ours)
    if found is None or found.notes:
        return None
    return [*generator.basehash_ignore_vars], generator.taskhash_ignore_tasks or None


# All that is called of a generator to hash the tasks of a graph.
_HASHING = (
    "setup_datacache", "tasks_resolved", "set_setscene_tasks", "prep_taskhash", "rundep_check", "read_taint", "get_taskhash",
    "get_cached_unihash", "get_unihash", "get_unihashes", "writeout_file_checksum_cache",
)


def code_of_hashing():
    """[(file, class)] of the code that hashes besides ours, and whether a server is asked; None where that cannot be
    told."""
    generator = bb.parse.siggen
    if not isinstance(generator, siggen.SignatureGeneratorBasic) or not vars(generator).keys().isdisjoint(_HASHING):
        return None
    found = []
    for cls in type(generator).__mro__[:-1]:
        if _has_hooks(cls):
            return None
        if _is_ours(cls):
            if any(vars(cls)[name].__module__ != siggen.__name__ for name in _HASHING if name in vars(cls)):
                return None
            continue
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        if file is None or cls.__qualname__ != cls.__name__:
            return None
        # Whoever puts a method of his own into a class of another file is not found there.
        for name in _HASHING:
            if name in vars(cls) and getattr(getattr(vars(cls)[name], "__code__", None), "co_filename", None) != file:
                return None
        found.append((file, cls.__name__))
    return found, _HASHING, isinstance(generator, siggen.SignatureGeneratorUniHashMixIn)


_STAMP_NAMES = ("stampfile_base", "_extrainfo", "stampfile_mcfn", "stampfile", "stampcleanmask_mcfn", "stampcleanmask")


def stamp_hash():
    """Where the run queue can name stamps itself: True and what gives the hash in the names (None: a task's own, as
    `SignatureGeneratorBasicHash` has it). Else False: the generator has names of its own."""
    generator = bb.parse.siggen
    kind = type(generator)
    ours = siggen.SignatureGeneratorBasicHash
    if any(name in vars(generator) or getattr(kind, name, None) is not getattr(ours, name) for name in _STAMP_NAMES):
        return False, None
    if "get_stampfile_hash" in vars(generator) or kind.get_stampfile_hash is not ours.get_stampfile_hash:
        return True, generator.get_stampfile_hash
    return True, None


def leavings(mcfn, task, stampbase, dump, named):
    """What bb.build.make_stamp would write: the stamp and what older ones match (unless the caller has `named` them).
    With `dump` the signature file is written, which the caller catches; None if it cannot be."""
    if dump and not _hz_siggen.has_signatures(mcfn):
        return None
    stamp, masks = None, []
    if not named:
        stamp = bb.parse.siggen.stampfile_mcfn(task, mcfn)
        masks = bb.build._get_cleanmask(task, mcfn)
    if dump:
        bb.parse.siggen.dump_sigtask(mcfn, task, stampbase, True)
    return stamp or "", masks


def take_base_hashes(d):
    """What a generator's finalise left in a recipe's store, which loses it (it is large): base
    hashes, names by task, names by name, values by name; names sorted."""
    parts = [d.getVar("__siggen_" + name, False) or {} for name in ("basehashes", "taskdeps", "gendeps", "varvals")]
    for name in ("basehashes", "taskdeps", "gendeps", "varvals"):
        d.delVar("__siggen_" + name)
    hashes, taskdeps, gendeps, varvals = parts
    return dict(hashes), {key: sorted(names) for key, names in taskdeps.items()}, {key: sorted(names) for key, names in gendeps.items()}, dict(varvals)


def check_reparsed(mcfn, basehashes, d):
    """A recipe was parsed again, for its tasks: its base hashes must be those it had before. The
    new ones count from here on."""
    generator = bb.parse.siggen
    tell = d.getVar("BB_HASH_IGNORE_MISMATCH") != "1"
    for task, basehash in basehashes.items():
        tid = mcfn + ":" + task
        if generator.basehash.get(tid, basehash) != basehash:
            if tell:
                generator._tell_mismatch(tid, task, basehash, d)
            generator.basehash[tid] = basehash


def base_hash_maker():
    """Who makes base hashes when recipes are parsed (nobody, native code, or the generator if its
    class does it in its own way), the variables left out of them, and whether the class cleans up
    after each recipe. None without a generator."""
    generator = getattr(bb.parse, "siggen", None)
    if generator is None:
        return None
    kind = type(generator)
    ignored = list(getattr(generator, "basehash_ignore_vars", ()))
    cleans = kind.postparsing_clean_cache is not siggen.SignatureGenerator.postparsing_clean_cache
    if kind.finalise is siggen.SignatureGenerator.finalise:
        return "nobody", ignored, cleans
    ours = kind.finalise is siggen.SignatureGeneratorBasic.finalise and kind._build_data is siggen.SignatureGeneratorBasic._build_data
    return "native" if ours else "generator", ignored, cleans
