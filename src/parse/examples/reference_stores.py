"""What `dump_stores.rs` prints, from the reference: run in a build directory with the reference's
lib directory in PYTHONPATH."""
import hashlib
import os
import sys

import bb
import bb.cache
import bb.cooker
import bb.cookerdata
import bb.data_smart
import bb.event
import bb.fetch2
import bb.methodpool
import bb.parse
import bb.siggen
import bb.tinfoil
from bb.parse import ast


def nothing(*args, **kwargs):
    return None


bb.data_smart.VariableParse.python_sub = lambda self, match: ""
bb.methodpool.insert_method = nothing
ast.bb.methodpool.insert_method = nothing
ast.runAnonFuncs = nothing
ast.PyLibNode.eval = nothing
bb.event.fire = nothing
bb.event.register = nothing
bb.fetch.fetcher_init = nothing
bb.codeparser.parser_cache_init = nothing
bb.codeparser.update_module_dependencies = nothing


class Siggen:
    def finalise(self, *args):
        pass

    def exit(self):
        pass


bb.parse.init_parser = nothing
bb.parse.siggen = Siggen()


def shown(name, value):
    if name.startswith("__") and name.endswith("depends"):
        return " ".join(str(p[0]) for p in value)
    if isinstance(value, bb.data_smart.DataSmart):
        return "object"
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list):
        value = [list(v) if isinstance(v, tuple) else v for v in value]
    if isinstance(value, set):
        return "{" + ", ".join(repr(v) for v in sorted(value)) + "}" if value else "set()"
    return repr(value)


def dump(d):
    out = []
    # Shared between stores: shows what others exported, too.
    for key in sorted(set(d.keys()) - {"__exportlist"}):
        try:
            v = d.getVar(key, False)
        except Exception:
            v = "error"
        if v is not None:
            out.append("%s\t%s\n" % (key, shown(key, v)))
        flags = d.getVarFlags(key, False, True) or {}
        for flag in sorted(flags):
            if not flag.startswith(":") and flag != "_content":
                out.append("%s[%s]\t%s\n" % (key, flag, shown(flag, flags[flag])))
    return "".join(out)


def show(name, d, full):
    text = dump(d)
    if full:
        print("== %s\n%s" % (name, text))
    else:
        print(name, hashlib.sha256(text.encode()).hexdigest())


args = sys.argv[1:]


def wanted(f):
    return any(a in f for a in args)


cfg = bb.cookerdata.CookerConfiguration()
cfg.env = os.environ.copy()
builder = bb.cookerdata.CookerDataBuilder(cfg, False)
builder.parseBaseConfiguration()
d = builder.data
show("configuration", d, wanted("configuration"))


class Cooker:
    data = d
    handleCollections = bb.cooker.BBCooker.handleCollections


cooker = Cooker()
cooker.handleCollections(d.getVar("BBFILE_COLLECTIONS"))
collector = bb.cooker.CookerCollectFiles(cooker.bbfile_config_priorities)
files, masked, _ = collector.collect_bbfiles(d, d)
for f in files:
    if args and not wanted(f):
        continue
    appends = collector.get_file_appends(f)
    try:
        stores = builder.parseRecipeVariants(f, appends, mc="", layername=collector.calc_bbfile_priority(f)[2])
    except Exception as exc:
        print(f, "error", exc)
        continue
    for variant in stores:
        if variant:
            show(bb.cache.variant2virtual(f, variant), stores[variant], bool(args))
    show(f, stores[""], bool(args))
