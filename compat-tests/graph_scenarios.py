"""The scenarios of compat-tests/graphs: what is laid on top of graph-layers/, and the commands given then.
`unordered` marks those in which the reference walks a Python set, so that its own order changes between runs
(`graphs REFERENCE REFERENCE` shows it; task-depends.dot and pn-buildlist are sorted and never change).

Not in here, because the reference ends in a traceback of its own code where ours says what is wrong: -k with an
[mcdepends] on what nothing provides, a set-scene task as the target of a build, PACKAGES_DYNAMIC and ASSUME_PROVIDED
that are no regular expressions."""

import os
from dataclasses import dataclass, field


@dataclass
class Scenario:
    name: str
    commands: list
    # conf/scenario.conf, read by bitbake.conf.
    conf: str = ""
    # Name -> conf/multiconfig/NAME.conf.
    multiconfig: dict = field(default_factory=dict)
    # Path below the layers -> text; None removes the file.
    files: dict = field(default_factory=dict)
    layers: tuple = ("base",)
    unordered: bool = False


SCENARIOS = []


def scenario(name, *commands, **more):
    SCENARIOS.append(Scenario(name, list(commands), **more))


def recipes(layer="base", **texts):
    """Recipes by file name; the double underscore of a keyword stands for the dot of its version."""
    return {"%s/recipes/%s.bb" % (layer, name.replace("__", ".").replace("_X_", "-")): text for name, text in texts.items()}


TWO = 'BBMULTICONFIG = "two"\n'

# -- Graphs

scenario("graph of one recipe", "-g lib", "-g lib")
scenario("graph of a program", "-g app")
scenario("graph for a task", "-g app -c compile", "-g app -c do_fetch", "-g app:do_image")
scenario("graph of several targets", "-g runner lib:do_compile kit-b docs")
scenario("graph of what comes before a task", "-g app:do_install- lib:do_compile-")
scenario("graph with runall", "-g app --runall fetch", "-g app --runall fetch --runall do_image", "-g app:do_fetch --runall package")
scenario("graph with runonly", "-g app --runonly install", "-g app --runonly fetch --runonly do_compile")
scenario("graph with runall and runonly", "-g app --runall package --runonly fetch")
scenario("runall of an unknown task", "-g app --runall nosuch")
scenario("runonly of an unknown task", "-g app --runonly nosuch")
scenario("graph that ignores dependencies", "-g app -I virtual/toolkit -I lib", "-g app -I ^kit.* -I data-files", "-g app -I runner -I virtual/toolkit$")
scenario("graph of world", "-g world", "-g world -c image", unordered=True)
# With one parser: what is said of providers depends on the order in which recipes came.
scenario("graph of universe", "-g universe", "-k -g universe", conf='BB_NUMBER_PARSE_THREADS = "1"', unordered=True)
scenario("graph of an unknown task", "-g app -c compil", "-g app:do_nothing_like_it")
scenario("graph without a target", "-g")
scenario("targets from the configuration", "-g", conf='BBTARGETS = "lib docs"')
scenario("default task from the configuration", "-g lib", conf='BB_DEFAULT_TASK = "compile"')
scenario("a target that is assumed to be there", "-g lib", "-g lib docs", conf='ASSUME_PROVIDED = "lib"')
scenario("assumed dependencies by expression", "-g app", conf='ASSUME_PROVIDED = "^virtual/.* -files$ ^l.b$"')
scenario("graph with a task that is forced", "-g lib -f -c compile", "-g lib -C compile", "-g lib -C checkuri")
scenario("graph without set-scene", "-g app --no-setscene", "-g app --skip-setscene")
scenario("graph at a higher log level", "-g -v lib", "-q -g app", "-qq -g app", unordered=True)
scenario("graph of a variant", "-g lib-native", "-g virtual/toolkit")
scenario("a recipe that asks for the world", "-g metaworld", "-g world", unordered=True, files=recipes(
    metaworld_1__0='EXCLUDE_FROM_WORLD = "1"\ndo_build[depends] = ""\ncalculate_extra_depends() {\n'
    "    exclude = [self_pn]\n    for p in sorted(world_target):\n        if p not in exclude:\n            deps.append(p)\n}\n"
    'do_all[deptask] = "do_fetch"\naddtask all before do_build\npython do_all() {\n}'))

scenario("targets given twice", "-g lib lib", "-g lib lib:do_fetch lib-native", "-g world lib", unordered=True)
scenario("world of a task nobody has", "-g world -c nosuch", "-n world -c nosuch", "-g universe -c nosuch")
scenario("a set-scene task as the target", "-g lib:do_package_setscene", "-g lib --setscene-only")
scenario("what comes before a task that is not there", "-g lib:do_nothing-", "-g lib:do_nothing_else-", "-g lib:do_fetch-", "-n lib:do_fetch-")
scenario("a task whose name is asked for without its prefix", "-g lib:compile", "-g lib:do_", "-g lib:")
scenario("a dependency of a task that is assumed to be there", "-g a", conf='ASSUME_PROVIDED = "lib kit-a"', files=recipes(
    a_1__0='DEPENDS = "lib"\ndo_compile[depends] = "kit-a:do_nothing lib:do_install"\ndo_fetch[rdepends] = "kit-a:do_x"'))
scenario("a recipe that does not provide its name", "-g a", "-g other", files=recipes(a_1__0='PROVIDES:remove = "a"\nPROVIDES += "other"'))
scenario("a recipe whose name is not that of its file", "-g lib", "-s", "-g a", files=recipes(a_5__0='PN = "lib"'))

# -- Versions

scenario("versions", "-s", "-s lib", "-s nosuch", "-s -g app", "-q -s", "-s -p world")
scenario("versions with a preferred one", "-s", conf='PREFERRED_VERSION_lib = "1.0"\nPREFERRED_VERSION_lib-native = "2.1%"')
scenario("versions with one that is not there", "-s", conf='PREFERRED_VERSION_lib = "7.%"')
scenario("versions with a required one", "-s", conf='REQUIRED_VERSION_lib = "1.0"\nREQUIRED_VERSION_lib-native = "2.0"')
scenario("versions with a required one that is not there", "-s", conf='REQUIRED_VERSION_lib = "9"')
scenario("versions of several configurations", "-s", conf=TWO + 'PREFERRED_VERSION_docs = "1.0"', multiconfig={"two": 'PREFERRED_VERSION_lib = "1.0"'})
scenario("versions over two layers", "-s", layers=("base", "over"), files=recipes("over", lib_0__5="", docs_3__0='PE = "2"\nPR = "r7"'))

# -- Choice of a version

for text in ("PREFERRED_VERSION_lib = '1.0'", "PREFERRED_VERSION_lib = '2.%'", "PREFERRED_VERSION_lib = '%'", "PREFERRED_VERSION_lib = '2.1+git'",
             "PREFERRED_VERSION:pn-lib = '1.0'", "PREFERRED_VERSION = '1.0'", "PREFERRED_VERSION_lib:machineover = '1.0'",
             "V = '1.0'\nPREFERRED_VERSION_lib = '${V}'", "N = 'lib'\nPREFERRED_VERSION_${N} = '1.0'", "PREFERRED_VERSION_lib = '0:1.0'",
             "PREFERRED_VERSION_lib = '3.0'", "PREFERRED_VERSION_lib = ''", "PREFERRED_VERSION_lib = '1.0-r0'"):
    scenario("preferred version: " + text.replace("\n", "; "), "-g lib", conf=text)
scenario("preferred version with an epoch", "-g plugins", "-g plugin-x lib", conf='PREFERRED_VERSION_plugins = "1:1.%"')
scenario("preferred version of another epoch", "-g plugins", conf='PREFERRED_VERSION_plugins = "2:1.0"')
scenario("required version", "-g app", conf='REQUIRED_VERSION_lib = "1.0"\nPREFERRED_VERSION_lib = "2.0"\nREQUIRED_VERSION_lib-native = "2.%"', unordered=True)
scenario("required version that is not there", "-g lib", "-g a", "-k -g a docs", "-n a", conf='REQUIRED_VERSION_lib = "4.0"',
         files=recipes(a_1__0='DEPENDS = "lib"'))
scenario("required version of one that provides too", "-g virtual/toolkit", conf='REQUIRED_VERSION_kit-a = "4.0"')
scenario("default preference", "-g lib", files=recipes(lib_3__0='DEFAULT_PREFERENCE = "-2"', lib_0__1='DEFAULT_PREFERENCE = "1"'))
scenario("priority of layers goes before versions", "-g lib app", layers=("base", "over"), files=recipes("over", lib_0__5=""))
scenario("lower priority of a layer", "-g lib app", conf='BBFILE_PRIORITY_over = "4"', layers=("base", "over"), files=recipes("over", lib_9__0=""))
scenario("preferred version in a layer of lower priority", "-g lib", conf='PREFERRED_VERSION_lib = "1.0"', layers=("base", "over"), files=recipes("over", lib_0__5=""))
scenario("one name and version in two layers", "-g docs", "-s", layers=("base", "over"), files=recipes("over", docs_1__0='DEPENDS = "lib"'))
scenario("version order", "-s", "-g v", files=recipes(**{"v_1__0~rc1": "", "v_1__0": "", "v_1__0+git1": "", "v_1__0a": "", "v_0__9": 'PR = "r3"'}))

scenario("preferred version of a name with an underscore", "-g x_64", "-s", conf='PREFERRED_VERSION_x_64 = "1.0"',
         files=recipes(x_1__0='PN = "x_64"', x_2__0='PN = "x_64"'))
scenario("layers of one priority", "-g lib", "-s", conf='BBFILE_PRIORITY_over = "5"', layers=("base", "over"), files=recipes("over", lib_2__0='PR = "r1"', lib_0__5=""))
scenario("priority by what a layer depends on", "-g lib", "-s", conf='BBFILE_PRIORITY_over = ""\nLAYERDEPENDS_over = "base"', layers=("base", "over"), files=recipes("over", lib_0__5=""))
scenario("preferred version without an epoch", "-g x", conf='PREFERRED_VERSION_x = "1.0"', files=recipes(x_1__0='PE = "3"', x_2__0=""))
scenario("equal versions in two files", "-g x", "-s", files=recipes(x_1__0="", y_1__0='PN = "x"'))

# -- Choice of a provider

scenario("several providers", "-g virtual/toolkit", "-g app", "-n virtual/toolkit", unordered=True)
scenario("preferred provider", "-g app", conf='PREFERRED_PROVIDER_virtual/toolkit = "kit-b"')
scenario("preferred provider that is none", "-g app", conf='PREFERRED_PROVIDER_virtual/toolkit = "docs"')
scenario("preferred provider with an override", "-g app", conf='PREFERRED_PROVIDER_virtual/toolkit:machineover = "kit-b"')
scenario("preferred providers in a list", "-g app", conf='PREFERRED_PROVIDERS = "virtual/toolkit:kit-b lib:lib"')
scenario("preferred providers that contradict", "-g app", conf='PREFERRED_PROVIDERS = "virtual/toolkit:kit-b virtual/toolkit:kit-a malformed a:b:c"')
scenario("preferred provider against the list", "-g app", conf='PREFERRED_PROVIDERS = "virtual/toolkit:kit-b"\nPREFERRED_PROVIDER_virtual/toolkit = "kit-a"')
scenario("several runtime providers", "-g needs", files=recipes(needs_1__0='RDEPENDS:${PN} = "virtual-toolkit-runtime"'), unordered=True)
scenario("preferred runtime provider", "-g needs", conf='PREFERRED_RPROVIDER_virtual-toolkit-runtime = "kit-b"',
         files=recipes(needs_1__0='RDEPENDS:${PN} = "virtual-toolkit-runtime"'))
scenario("runtime provider by the build time preference", "-g needs", conf='PREFERRED_PROVIDER_virtual/toolkit = "kit-b"',
         files=recipes(needs_1__0='RDEPENDS:${PN} = "virtual-toolkit-runtime"'))
CONFLICT = dict(
    needs_1__0='RDEPENDS:${PN} = "many"', m1_1__0='RPROVIDES:${PN} = "many"\nPROVIDES = "virtual/a"', m2_1__0='RPROVIDES:${PN} = "many"\nPROVIDES = "virtual/b"',
    m3_1__0='RPROVIDES:${PN} = "many"\nPROVIDES = "virtual/c"')
scenario("preferences for runtime that contradict", "-g needs", "-k -g needs lib", files=recipes(**CONFLICT),
         conf='PREFERRED_PROVIDER_virtual/a = "m1"\nPREFERRED_PROVIDER_virtual/b = "m2"\nPREFERRED_PROVIDER_virtual/c = "m3"')
scenario("preferences for runtime, two of three", "-g needs", files=recipes(**CONFLICT),
         conf='PREFERRED_PROVIDER_virtual/a = "m1"\nPREFERRED_PROVIDER_virtual/b = "m2"')
scenario("two providers in one build", "-g app kit-b", unordered=True)
scenario("two providers in one build, allowed", "-g app kit-b", conf='BB_MULTI_PROVIDER_ALLOWED = "virtual/toolkit"')
scenario("two versions in one build", "-g both", files=recipes(
    both_1__0='DEPENDS = "old-lib lib"', lib_1__0='PROVIDES = "old-lib"'), unordered=True)
scenario("virtual runtime name", "-g user", files=recipes(user_1__0='VIRTUAL-RUNTIME_editor ?= "runner"\nRDEPENDS:${PN} = "${VIRTUAL-RUNTIME_editor}"'))
scenario("dynamic packages", "-g a b c", "-k -g a b c d", files=recipes(
    a_1__0='RDEPENDS:${PN} = "plugin-one"', b_1__0='RDEPENDS:${PN} = "plug+in-two"', c_1__0='RRECOMMENDS:${PN} = "plugin-"', d_1__0='RDEPENDS:${PN} = "xplugin-one"'))
scenario("runtime versions in dependencies", "-g a", files=recipes(a_1__0='RDEPENDS:${PN} = "runner (>= 1.0) data-files (= 2)"\nDEPENDS = "lib (> 0)"'))

scenario("a runtime preference for none of the candidates", "-g needs", conf='PREFERRED_RPROVIDER_virtual-toolkit-runtime = "docs"',
         files=recipes(needs_1__0='RDEPENDS:${PN} = "virtual-toolkit-runtime"'))
scenario("a package of two recipes", "-g needs", "-n needs", files=recipes(
    needs_1__0='RDEPENDS:${PN} = "shared"', p1_1__0='PACKAGES += "shared"', p2_1__0='PACKAGES += "shared"'))
scenario("a name that is a package and provided at run time", "-g needs", files=recipes(
    needs_1__0='RDEPENDS:${PN} = "shared (= 1)"', p1_1__0='PACKAGES += "shared"', p2_1__0='RPROVIDES:${PN} = "shared (= 1.0)"\nRPROVIDES = "shared-too"'))
scenario("the old version is provided under a new name", "-g a", files=recipes(a_1__0='DEPENDS = "new-lib"', lib_1__0='PROVIDES += "new-lib"', lib_2__0='PROVIDES += "new-lib"'))

# -- What is missing

scenario("nothing provides a target", "-g nosuch", "nosuch", "-k nosuch lib -n", "-n nosuch", "-k -g nosuch")
scenario("close matches", "-g runer", "-g lbi", "-g app-natve", "-g virtual/toolki", "-g data-fil")
scenario("a package that is no recipe", "-g data-files", "-n lib-dev")
scenario("a skipped target", "-g gone", "-g virtual/gone", "-g gon", "-n gone")
scenario("a skipped dependency", "-g a", "-n a", "-k -n a lib", files=recipes(a_1__0='DEPENDS = "gone"'), unordered=True)
scenario("a skipped runtime dependency", "-g a", "-n a", "-k -n a lib", files=recipes(a_1__0='RDEPENDS:${PN} = "gone-runtime"'))
scenario("nothing provides a dependency", "-g a", "-n a", "-k -n a lib", "-k -g a", files=recipes(a_1__0='DEPENDS = "b"', b_1__0='DEPENDS = "missing-thing"'))
scenario("nothing provides a runtime dependency", "-g a", "-n a", "-k -n a lib", files=recipes(a_1__0='RDEPENDS:${PN} = "b"', b_1__0='RDEPENDS:${PN} = "missing-thing"'))
scenario("nothing provides a task's dependency", "-g a", "-n a", "-k -n a lib",
         files=recipes(a_1__0='do_compile[depends] = "missing:do_install"'))
scenario("nothing provides a task's runtime dependency", "-g a", "-n a", files=recipes(a_1__0='do_compile[rdepends] = "missing:do_install"'))
scenario("a chain of what is missing", "-n a", "-k -n a docs", files=recipes(
    a_1__0='DEPENDS = "b"', b_1__0='RDEPENDS:${PN} = "c"', c_1__0='DEPENDS = "d"', d_1__0='DEPENDS = "missing"\nPROVIDES = "virtual/d"'))
scenario("one of two providers cannot be built", "-n a", "-g a", files=recipes(
    a_1__0='DEPENDS = "virtual/x"', x1_1__0='PROVIDES = "virtual/x"\nDEPENDS = "missing"', x2_1__0='PROVIDES = "virtual/x"'), unordered=True)
# Without kit-b: what is said of two providers in one build hangs on their order, which is that of a set.
scenario("universe with something missing", "-n universe", "-k -n universe", conf='BBMASK = "kit-b"', files=recipes(a_1__0='DEPENDS = "missing"'), unordered=True)
scenario("masked recipes", "-g app", "-g lib", "-s", conf='BBMASK = "recipes/lib_2 /kit-b recipes/docs"')
scenario("a mask that is no expression", "-g lib", conf='BBMASK = "lib_2 *x"')
scenario("a mask with an alternation", "-s", conf='BBMASK += "kit-(a|b)"\nBBMASK += "docs_1.0.bb$"')
scenario("an append without a recipe", "-g lib", files={"base/recipes/none_1.0.bbappend": "", "base/recipes/none_%.bbappend": ""})
scenario("an append to a skipped recipe", "-g lib", files={"base/recipes/gone_%.bbappend": 'X = "1"'})
scenario("an append to a masked recipe", "-g lib", conf='BBMASK = "docs_1"', files={"base/recipes/docs_1.0.bbappend": 'X = "1"'})
scenario("appends change dependencies", "-g lib app", layers=("base", "over"), files={
    "over/recipes/lib_%.bbappend": 'DEPENDS += "docs"', "over/recipes/lib_1.0.bbappend": 'DEPENDS += "kit-b"'}, unordered=True)
scenario("an extension by a class that is not there", "-g lib", files=recipes(ext_1__0='BBCLASSEXTEND = "nosuchclass"'))
scenario("extensions", "-g ext-native", "-s", "-g ext", files=recipes(ext_1__0='BBCLASSEXTEND = "native"\nDEPENDS = "lib"'))
scenario("a layer whose pattern matches nothing", "-g lib", conf='BBFILE_COLLECTIONS += "empty"\nBBFILE_PATTERN_empty = "^/no/such/"\nBBFILE_PRIORITY_empty = "1"')

scenario("several things missing with -k", "-k -n a b c docs", files=recipes(
    a_1__0='DEPENDS = "missing-a"', b_1__0='DEPENDS = "a"', c_1__0='RDEPENDS:${PN} = "b"'))
scenario("a layer that is not there", "-g lib", conf='LAYERDEPENDS_base = "nosuchlayer"')
scenario("world in another configuration as a name", "-g mc:two:world", conf='BBMULTICONFIG = "two"', multiconfig={"two": ""})
scenario("skipped in one configuration only", "-g mc:two:a", "-g a", conf='BBMULTICONFIG = "two"', multiconfig={"two": ""}, files=recipes(
    a_1__0='python () {\n    if d.getVar("BB_CURRENT_MC") == "two":\n        raise bb.parse.SkipRecipe("not in two")\n}'))

# -- Wrong dependencies

scenario("a task that does not exist", "-g a", "-n a", files=recipes(a_1__0='do_compile[depends] = "lib:do_nothing"'))
scenario("a runtime task that does not exist", "-g a", "-n a", files=recipes(a_1__0='do_compile[rdepends] = "runner:do_nothing"'))
scenario("a dependency without a task", "-g a", files=recipes(a_1__0='do_compile[depends] = "lib"'))
scenario("a dependency with two colons", "-g a", files=recipes(a_1__0='do_compile[rdepends] = "lib:do_x:do_y"'))
scenario("a loop of two", "-g a", "-n a", files=recipes(a_1__0='DEPENDS = "b"', b_1__0='DEPENDS = "a"'), unordered=True)
scenario("a loop of two tasks", "-g a", files=recipes(a_1__0='do_fetch[depends] = "b:do_fetch"', b_1__0='do_fetch[depends] = "a:do_fetch"'), unordered=True)
scenario("a task that needs itself", "-g a", files=recipes(a_1__0='do_compile[depends] = "a:do_compile"'))
scenario("a task that comes after one that is not there", "-g a", files=recipes(a_1__0="addtask extra after do_nowhere before do_build\ndo_extra() {\n\t:\n}"))
scenario("a task taken out", "-g a", "-g a:do_install", files=recipes(a_1__0="deltask do_install", b_1__0='DEPENDS = "a"'))
scenario("recursive tasks of several names", "-g a -c deep", files=recipes(
    a_1__0='DEPENDS = "lib app"\naddtask deep\ndo_deep[recrdeptask] = "do_deep do_fetch do_image"\ndo_deep[recideptask] = "do_${BB_DEFAULT_TASK}"\npython do_deep() {\n}'),
    conf='BB_DEFAULT_TASK ?= "build"')

# -- Several configurations

scenario("a target in another configuration", "-g mc:two:lib", "-g lib mc:two:lib:do_compile", conf=TWO, multiconfig={"two": 'PREFERRED_VERSION_lib = "1.0"'})
scenario("a target in all configurations", "-g mc:*:lib", "-g mc:*:lib docs", "-g mc:*:lib:do_fetch", conf=TWO, multiconfig={"two": ""})
scenario("the old spelling", "-g multiconfig:two:lib docs", conf=TWO, multiconfig={"two": ""})
scenario("two wildcards", "-g mc:*:lib mc:two:docs", conf=TWO, multiconfig={"two": ""})
scenario("a configuration that does not exist", "-g mc:three:lib", "-n mc:three:lib", conf=TWO, multiconfig={"two": ""})
scenario("a configuration whose file does not exist", "-g lib", conf='BBMULTICONFIG = "two three"', multiconfig={"two": ""})
scenario("dependencies between configurations", "-g a", "-n a", conf=TWO, multiconfig={"two": 'PREFERRED_VERSION_lib = "1.0"'},
         files=recipes(a_1__0='do_compile[mcdepends] = "mc::two:lib:do_install"'), unordered=True)
scenario("a dependency on a configuration that does not exist", "-g a", conf=TWO, multiconfig={"two": ""},
         files=recipes(a_1__0='do_compile[mcdepends] = "mc::three:lib:do_install"'))
scenario("a dependency between configurations on a task that is not there", "-g a", conf=TWO, multiconfig={"two": ""},
         files=recipes(a_1__0='do_compile[mcdepends] = "mc::two:lib:do_nothing"'))
scenario("a dependency between configurations on nothing", "-g a", conf=TWO, multiconfig={"two": ""},
         files=recipes(a_1__0='do_compile[mcdepends] = "mc::two:missing:do_install"'))
scenario("a malformed dependency between configurations", "-g a", conf=TWO, multiconfig={"two": ""}, files=recipes(a_1__0='do_compile[mcdepends] = "mc::two:lib"'))
scenario("world of several configurations", "-g world", conf=TWO, multiconfig={"two": 'BBMASK = "kit-b"'}, unordered=True)
scenario("preferences of another configuration", "-g mc:two:app app", conf=TWO, multiconfig={"two": 'PREFERRED_PROVIDER_virtual/toolkit = "kit-b"'}, unordered=True)
scenario("something missing in another configuration", "-g mc:two:lib", "-k -g mc:two:lib docs", conf=TWO, multiconfig={"two": 'BBMASK = "/lib_"'})

# -- Builds without doing them

scenario("dry run", "-n lib", "-n app:do_fetch lib")
scenario("dry run with runall", "-n lib-native --runall fetch", unordered=True)
scenario("dry run with runonly", "-n lib --runonly install", unordered=True)
scenario("dry run without set-scene", "-n lib --no-setscene", "-n lib --skip-setscene", "-n lib --setscene-only")
scenario("dry run of what comes before a task", "-n lib:do_install-")
scenario("nothing to do", "-n lib", conf='ASSUME_PROVIDED = "lib"')

# -- Events

WATCH = r'''
addhandler watch_graph
watch_graph[eventmask] = "bb.event.NoProvider bb.event.MultipleProviders bb.event.TreeDataPreparationStarted \
    bb.event.TreeDataPreparationProgress bb.event.TreeDataPreparationCompleted bb.event.DepTreeGenerated bb.event.ReachableStamps"
python watch_graph() {
    def show(value):
        if isinstance(value, dict):
            return "{%s}" % ", ".join("%s: %s" % (k, show(v)) for k, v in sorted(value.items()))
        if isinstance(value, (list, set)):
            return "[%s]" % ", ".join(sorted(show(v) for v in value))
        if isinstance(value, tuple):
            return "(%s)" % ", ".join(show(v) for v in value if isinstance(v, (str, int)))
        return repr(value)
    facts = {k: v for k, v in vars(e).items() if k not in ("data", "pid")}
    bb.plain("%s in %s: %s" % (bb.event.getName(e), d.getVar("MC"), show(facts)))
    if isinstance(e, (bb.event.NoProvider, bb.event.MultipleProviders)):
        bb.plain("as text: %s; runtime: %s" % (e, e.isRuntime()))
}
'''
EVENTS = {"base/classes/watch.bbclass": WATCH}

# What is hashed for a graph shows nowhere, unless the generator speaks or a task is tainted.
GENERATOR = '''
import bb.siggen

class SignatureGeneratorOwn(bb.siggen.SignatureGeneratorBasicHash):
    name = "own"

    def get_taskhash(self, tid, deps, dataCaches):
        (mc, _, task, fn) = bb.runqueue.split_tid_mcfn(tid)
        %s
        return super().get_taskhash(tid, deps, dataCaches)

bb.siggen.SignatureGeneratorOwn = SignatureGeneratorOwn
'''


def generator(statement):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "graph-layers/base/conf/layer.conf")) as f:
        layer = f.read() + "addpylib ${LAYERDIR}/lib own\n"
    return {
        "base/conf/layer.conf": layer,
        "base/lib/own/__init__.py": 'BBIMPORTS = ["generator"]\n',
        "base/lib/own/generator.py": GENERATOR % statement,
    }


OWN = 'BB_SIGNATURE_HANDLER = "own"\n'
scenario("graph with a generator of its own", "-g lib", conf=OWN, files=generator("self.seen = task"))
scenario("graph with a generator that speaks", "-g lib", conf=OWN, files=generator('bb.plain("hashing %s" % task)'), unordered=True)
scenario("graph with a generator that fails", "-g lib", conf=OWN, files=generator('bb.fatal("not today")'))
scenario("graph after a task was forced", "-n -C compile lib", "-g lib")
scenario("events of a graph", "-g app", "-g lib:do_fetch docs", conf='INHERIT += "watch"', files=EVENTS, unordered=True)
scenario("events of a build", "-n app", conf='INHERIT += "watch"\nBBMASK = "kit-b"', files=EVENTS, unordered=True)
scenario("events of what is missing", "-g nosuch", "-n a", conf='INHERIT += "watch"', files={**EVENTS, **recipes(a_1__0='RDEPENDS:${PN} = "missing"')})
scenario("events of several configurations", "-g mc:two:lib mc:two:nosuch", conf=TWO + 'INHERIT += "watch"', multiconfig={"two": ""}, files=EVENTS, unordered=True)
