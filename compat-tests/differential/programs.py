"""Random programs of metadata.

A program is a list of statements, each a text (of one line or several) with the file it stands in:
a configuration, classes, includes, an append and a recipe. The same seed gives the same program on
every Python. Names, overrides and words come from small pools, so that statements meet.
"""

import os
import re
import zlib

RECIPE = "recipes/thing_1.2.bb"
APPEND = "recipes/thing_%.bbappend"
CONFIGURATION = "conf/bitbake.conf"
CLASSES = ["classes-global/base.bbclass", "classes-recipe/one.bbclass", "classes/two.bbclass", "classes/three.bbclass", "classes/ext.bbclass"]
INCLUDES = ["inc/first.inc", "inc/second.inc"]
DISTRO = "conf/distro.conf"
FILES = [CONFIGURATION, DISTRO] + CLASSES + INCLUDES + [RECIPE, APPEND]

# What every program starts with; the shrinker leaves it alone.
HEAD = """\
PN = "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0] or 'none'}"
PV = "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[1] or '0'}"
OVERRIDES = "arch:${DIST}:pn-${PN}:o1:${EXTRAO}"
BB_SIGNATURE_HANDLER = "basic"
export BASEENV = "e ${PV}"
BB_BASEHASH_IGNORE_VARS = "TOPDIR BBPATH FILE IGNORED"
"""

NAMES = ["A", "B", "C", "D", "E", "FOO", "BAR", "LIST", "lower", "X-y", "DIST", "EXTRAO", "DEPENDS", "RDEPENDS", "IGNORED"]
OVERRIDES = ["arch", "dist", "o1", "o2", "pn-thing", "thing", "task-do_one", "Cap", "${PN}", "class-x"]
WORDS = ["x", "y", "z", "o2", "dist", "one two", "", " ", "a  b", "-q", "é", "1", "0", "/p/q", "x.y", "%", "$", "$A", "${", "}", "@", "\\t"]
FLAGS = ["doc", "vardeps", "vardepsexclude", "vardepvalue", "vardepvalueexclude", "export", "unexport", "flag", "a-b", "dirs", "depends", "deptask",
         "rdeptask", "recrdeptask", "nostamp", "noexec", "prefuncs", "postfuncs", "func", "python", "type"]
OPERATORS = ["=", "=", "=", ":=", "?=", "??=", "+=", "=+", ".=", "=."]
TASKS = ["do_one", "do_two", "do_three", "do_four"]
SHELL = ["sh_a", "sh_b", "sh_c", "one_do_one", "two_do_two"]
PYTHON = ["py_a", "py_b", "py_c"]
DEFS = ["helper", "other"]


class Dice:
    """A generator of numbers that no version of Python changes (xorshift)."""

    def __init__(self, seed):
        self.state = (zlib.crc32(b"%d" % seed) << 32 | seed * 2654435761 & 0xFFFFFFFF) or 1

    def number(self, below):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 7
        x ^= x << 17 & 0xFFFFFFFFFFFFFFFF
        self.state = x
        return (x >> 11) % below

    def chance(self, percent):
        return self.number(100) < percent

    def pick(self, items):
        return items[self.number(len(items))]

    def some(self, items, most):
        return [self.pick(items) for _ in range(self.number(most + 1))]


class Program:
    def __init__(self, seed, wild):
        self.dice = Dice(seed)
        self.statements = []
        # Most programs hold no error, or nothing after it would be looked at.
        self.wild = self.dice.chance(wild)
        self.tracking = self.dice.chance(15)
        # The names a value may read: outside wild programs no circle comes about.
        self.readable = NAMES

    # -- Values

    def name(self):
        d = self.dice
        name = d.pick(NAMES)
        if d.chance(4):
            name += "_" + d.pick(["${A}", "${PN}", "${DIST}", "x"])
        if self.wild and d.chance(3):
            name = d.pick(["${E}", "A_append", "B_remove", "BB_STAMP_POLICY", "K.${B}", "_under", "a/b", "OVERRIDES", "FILE", "PN"])
        return name

    def target(self):
        """A name as the left side of an assignment has it."""
        d = self.dice
        name = self.name()
        roll = d.number(100)
        if roll < 55:
            return name
        if roll < 72:
            return name + ":" + ":".join([d.pick(OVERRIDES)] + ([d.pick(OVERRIDES)] if d.chance(25) else []))
        keyword = d.pick(["append", "append", "prepend", "remove"])
        out = name
        if d.chance(15):
            out += ":" + d.pick(OVERRIDES)
        out += ":" + keyword
        if d.chance(35):
            out += ":" + ":".join([d.pick(OVERRIDES)] + ([d.pick(OVERRIDES)] if d.chance(20) else []))
        return out

    def reference(self):
        d = self.dice
        roll = d.number(100)
        if roll < 65:
            return "${%s}" % d.pick(self.readable)
        if roll < 75:
            return "${%s}" % d.pick(["PN", "PV", "TOPDIR", "UNSET"])
        if roll < 86:
            return "${%s_${%s}}" % (d.pick(NAMES), d.pick(self.readable))
        if roll < 92:
            return "${%s:%s}" % (d.pick(self.readable), d.pick(["arch", "o2", "append"]))
        return d.pick(["${}", "${A", "$A}", "${A }", "${${%s}}" % d.pick(self.readable), "${A[flag]}"] + (["${@}", "${${B}}"] if self.wild else []))

    def python(self, depth=0):
        """A Python expression."""
        d = self.dice
        v = d.pick(self.readable)
        w = d.pick(["x", "y", "x y", "o2", "z", "", "dist x"])
        choices = [
            "d.getVar('%s')" % v,
            "d.getVar('%s') or ''" % v,
            'd.getVar("%s", False) or "n"' % v,
            "bb.utils.contains('%s', '%s', '1', '0', d)" % (v, w),
            "bb.utils.contains('%s', '%s', 'y', '${%s}', d)" % (v, w, d.pick(self.readable)),
            "bb.utils.contains_any('%s', '%s', 'any', '', d)" % (v, w),
            "bb.utils.filter('%s', '%s', d)" % (v, w),
            "d.getVarFlag('%s', '%s') or 'noflag'" % (v, d.pick(["flag", "doc", "type"])),
            "' '.join(sorted((d.getVar('%s') or '').split()))" % v,
            "len((d.getVar('%s') or ''))" % v,
            "'yes' if d.getVar('%s') == '%s' else 'no'" % (v, w),
            "d.expand('<${%s}>')" % v,
            "'a' + 'b'",
            "str(1 + 2)",
            "bb.utils.to_boolean(d.getVar('%s')) if d.getVar('%s') in ('1', '0', 'x') else None" % (v, v),
            "[w for w in (d.getVar('%s') or '').split() if w != '%s']" % (v, w),
            "(d.getVar('%s') or '').replace('%s', 'Q')" % (v, w or "x"),
            "{'k': 1}['k']",
            "'%s'.upper()" % w,
            "oe_like(d)" if d.chance(2) else "d.getVar('PN')",
            "(d.getVar('%s') or '')[0:2]" % v,
            "'{}-{}'.format(d.getVar('%s'), '%s')" % (v, w),
            "'%%s/%%s' %% (d.getVar('%s'), 1)" % v,
            "'x' in (d.getVar('%s') or '').split()" % v,
            "any(w.startswith('x') for w in (d.getVar('%s') or '').split())" % v,
            "not d.getVar('%s')" % v,
            "(d.getVar('%s') or '').split()[-1:]" % v,
            "bb.utils.vercmp_string('1.0', '1.1')",
            "os.path.join('/a', d.getVar('PN'))",
            "os.path.basename(d.getVar('%s') or '/b/c')" % v,
            "int(d.getVar('%s') or 0) if (d.getVar('%s') or '').isdigit() else -1" % (v, v),
        ]
        if self.wild:
            choices += ["1/0", v, "undefined_name", "d.getVar('%s') + 'x'" % v, "'%s" % w, "(", "f'{d.getVar(\"%s\")}'" % v,
                        "[].pop()", "helper(d)", "d.getVar('%s').split()[5]" % v, "bb.fatal('no')", "lower", "FOO", "''.join(1)", "int('%s')" % w,
                        "{}['%s']" % w, "d.getVar(%s)" % v, "(lambda: d.getVar('%s'))()" % v, "exec('x = 1')"]
        text = d.pick(choices)
        if depth < 1 and d.chance(8):
            text = "%s if %s else %s" % (text, d.pick(["d.getVar('%s')" % d.pick(self.readable), "False", "True"]), self.python(depth + 1))
        if d.chance(4):
            text = "'${%s}' + str(%s)" % (v, text)
        return text

    def inline(self):
        text = self.python()
        return "${@%s}" % (" " + text + " " if self.dice.chance(8) else text)

    def value(self, name=None):
        """A value; `name` is the variable it is for."""
        d = self.dice
        if name in NAMES and not (self.wild and d.chance(10)):
            self.readable = NAMES[NAMES.index(name) + 1 :] or ["PN"]
        else:
            self.readable = ["PN", "UNSET"] if name else NAMES
        parts = []
        for _ in range(1 + d.number(3)):
            roll = d.number(100)
            if roll < 55:
                parts.append(d.pick(WORDS[:14] if not self.wild else WORDS))
            elif roll < 80:
                parts.append(self.reference())
            else:
                parts.append(self.inline())
        text = d.pick([" ", " ", "", "  "]).join(parts)
        if d.chance(3):
            text = text + " \\\n    " + d.pick(["more", "${FOO}", "", "x y"]) + (" \\\n" if d.chance(20) else "")
        return text

    def quoted(self, value):
        quote = "'" if '"' in value else '"'
        if self.wild and self.dice.chance(4):
            quote = self.dice.pick("'\"")
        return quote + value + quote

    # -- Statements

    def assignment(self):
        d = self.dice
        name = self.target()
        operator = d.pick(OPERATORS)
        if ":append" in name or ":prepend" in name or ":remove" in name:
            operator = "=" if d.chance(90) else operator
        flag = ""
        if d.chance(18):
            name = d.pick([self.name(), d.pick(TASKS + SHELL + PYTHON), name])
            flag = d.pick(FLAGS)
        value = self.value(re.split("[:_]", name)[0])
        self.readable = NAMES
        if flag in ("vardeps", "vardepsexclude", "prefuncs", "postfuncs"):
            value = " ".join(d.some(NAMES + SHELL + PYTHON, 3))
        elif flag in ("export", "unexport", "nostamp", "noexec", "func", "python"):
            value = d.pick(["1", "0", "", "yes", "no", "true"] + (["bad"] if self.wild else []))
        elif flag in ("depends", "deptask", "rdeptask", "recrdeptask"):
            value = " ".join(d.some(["other:do_one", "x:do_two"] if flag == "depends" else TASKS, 2))
        if flag:
            flag = "[%s]" % flag
        export = "export " if d.chance(4) else ""
        gap = " "
        if d.chance(2):
            gap = d.pick(["", "  ", "\t"])
        return "%s%s%s%s%s%s%s" % (export, name, flag, gap, operator, gap if gap else d.pick(["", " "]), self.quoted(value))

    def shell_body(self):
        d = self.dice
        lines = []
        for _ in range(1 + d.number(4)):
            v = d.pick(NAMES)
            f = d.pick(SHELL + ["echo", "sed -e s/a/b/", "true", "install -d"])
            lines.append(d.pick([
                "%s ${%s}" % (f, v),
                "%s \"$%s\" | %s" % (f, v, d.pick(SHELL)),
                "if [ -n \"${%s}\" ]; then\n        %s\n    else\n        %s x\n    fi" % (v, f, d.pick(SHELL)),
                "for i in ${%s}; do %s $i; done" % (v, f),
                "x=$(%s)" % f,
                "x=`%s y`" % f,
                "while %s; do break; done" % f,
                "case \"${%s}\" in\n        a|b) %s ;;\n        *) %s ;;\n    esac" % (v, f, d.pick(SHELL)),
                "%s && %s || %s" % (f, d.pick(SHELL), d.pick(SHELL)),
                "( %s; %s )" % (f, d.pick(SHELL)),
                "{ %s; }" % f,
                "V=1 %s > /dev/null 2>&1" % f,
                "cat <<EOF\n%s ${%s}\nEOF" % (f, v),
                "%s # comment %s" % (f, d.pick(SHELL)),
                ": ${%s}" % self.reference()[2:-1],
                "echo %s" % self.inline(),
                "eval %s x" % f,
                "%s() { %s; }\n    %s" % ("inner", f, "inner"),
                "exec %s" % f,
                "export V=\"${%s}\"" % v,
                "bbnote 'it''s' \"${%s}\"" % v,
                "[ -f x ] && %s" % f,
                "! %s" % f,
                "until %s; do :; done" % f,
                "echo $((1 + 2)) $(( ${A} ))" if self.wild else "echo $((1 + 2))",
            ] + (["if %s; then" % f, "echo 'open", "done", "$(%s" % f, "%s (" % f, "<<< x"] if self.wild and d.chance(15) else [])))
        return "\n".join("    " + line for line in lines)

    def python_body(self):
        d = self.dice
        lines = []
        for _ in range(1 + d.number(4)):
            v = d.pick(NAMES)
            lines.append(d.pick([
                "d.setVar('%s', %s)" % (d.pick(["P1", "P2"]), repr(d.pick(WORDS[:10]))),
                "x = d.getVar('%s')" % v,
                "bb.build.exec_func('%s', d)" % d.pick(PYTHON + SHELL),
                "%s(d)" % d.pick(DEFS),
                "if bb.utils.contains('%s', 'x', True, False, d):\n        x = 1" % v,
                "for w in (d.getVar('%s') or '').split():\n        d.getVarFlag('%s', w)" % (v, v),
                "d.getVarFlag('%s', 'flag')" % v,
                "d.appendVar('%s', 'q')" % v,
                "x = d.expand('${%s} ${@d.getVar(\"%s\")}')" % (v, d.pick(NAMES)),
                "d.getVar('${%s}x')" % v,
                "name = 'A'\n    d.getVar(name)",
                "bb.utils.filter('%s', 'x y', d)" % v,
                "# a comment",
                "try:\n        pass\n    except Exception:\n        raise",
                "d.getVar('%s_' + '%s')" % (v, v),
                "import os, re",
                "bb.utils.contains_any('%s', ['x', 'y'], 1, 2, d)" % v,
                "with open('/dev/null') as f:\n        f.read()",
                "lambda: d.getVar('%s')" % v,
                "localdata = d.createCopy()\n    localdata.getVar('%s')" % v,
            ]))
        return "\n".join("    " + line for line in lines)

    def set_var(self):
        name = self.target()
        value = self.value(re.split("[:_]", name)[0])
        self.readable = NAMES
        return "d.setVar('%s', %s)" % (name, repr(value))

    def anonymous(self):
        d = self.dice
        lines = []
        for _ in range(1 + d.number(3)):
            v = d.pick(NAMES)
            choices = [
                self.set_var(),
                "d.appendVar('%s', ' app')" % v,
                "d.prependVar('%s', 'pre ')" % v,
                "d.setVarFlag('%s', '%s', %s)" % (v, d.pick(["flag", "doc", "vardeps"]), repr(d.pick(WORDS[:8]))),
                "d.appendVarFlag('%s', 'flag', ' more')" % v,
                "d.prependVarFlag('%s', 'flag', 'less ')" % v,
                "d.delVar('%s')" % v,
                "d.delVarFlag('%s', 'flag')" % v,
                "d.renameVar('%s', '%s')" % (v, d.pick(["NEW", "NEW:o1", d.pick(NAMES)])),
                "if d.getVar('%s'):\n        d.setVar('SEEN', d.getVar('%s'))" % (v, v),
                "d.setVar('OVERRIDES', d.getVar('OVERRIDES') + ':%s')" % d.pick(["o2", "class-x", "cap"]),
                "bb.build.addtask('%s', '%s', '%s', d)" % (d.pick(TASKS), d.pick(TASKS + [""]), d.pick(TASKS + [""])),
                "bb.build.deltask('%s', d)" % d.pick(TASKS),
                "d.setVarFlags('%s', {'flag': 'set', 'other': '${E}'})" % v,
                "d.delVarFlags('%s')" % v,
                "l = d.createCopy()\n    l.setVar('%s', 'local')\n    d.setVar('COPY', l.getVar('%s') or 'none')" % (v, d.pick(NAMES)),
                "d.setVar('KEYS', ' '.join(sorted(k for k in d.keys() if k[0] in 'ABCDE')))",
                "d.setVar('FLAGS', ' '.join(sorted(d.getVarFlags('%s') or {})))" % v,
                "d.setVar('HAS', str(d.hasOverrides('%s')))" % v,
                "d.setVar('NUM', 3)",
                "d.setVarFlag('%s', 'num', 5)" % v,
                "d.setVarFilter('%s', \"suffix(val, '-s')\")" % v,
                "bb.data.expandKeys(d)",
                "d.setVar('LST', ['a', 'b'])",
                "d['%s'] = 'item'" % v,
                "d.setVar('IN', '%s' in d)" % v,
            ]
            if self.wild:
                choices += ["raise bb.parse.SkipRecipe('why not')", "bb.fatal('over')", "x = 1/0", "bb.warn('careful')", "d.getVar('%s').split()" % v, "undefined()",
                            "bb.error('wrong')", "d.setVar('%s', None)" % v, "d.renameVar('%s', '%s')" % (v, v), "d.getVarFlag('%s', '')" % v,
                            "d.setVar('A_append', 'x')", "bb.data.expand('${%s}', d)" % v, "del d['%s']" % v]
            lines.append(d.pick(choices))
        head = d.pick(["python () {", "python __anonymous () {", "python() {"])
        return "%s\n%s\n}" % (head, "\n".join("    " + line for line in lines))

    def function(self):
        d = self.dice
        roll = d.number(100)
        suffix = d.pick([":append", ":prepend", ":append:o1", ":arch", ":o2", ":prepend:dist"]) if d.chance(20) else ""
        gap = d.pick(["", " ", " "])
        if roll < 45:
            name = d.pick(SHELL + TASKS)
            head = "fakeroot " if d.chance(6) else ""
            return "%s%s%s%s() {\n%s\n}" % (head, name, suffix, gap, self.shell_body())
        if roll < 75:
            name = d.pick(PYTHON + TASKS)
            head = d.pick(["python ", "python ", "fakeroot python ", "python fakeroot "]) if d.chance(20) else "python "
            return "%s%s%s%s() {\n%s\n}" % (head, name, suffix, gap, self.python_body())
        # Called by values: what a read changes depends on who reads how often, on both sides.
        body = "\n".join(line for line in self.python_body().split("\n") if "appendVar" not in line and "setVar" not in line) or "    pass"
        return "def %s(d%s):\n%s\n    return %s\n" % (d.pick(DEFS), d.pick(["", ", x=1", ", *a"]), body, d.pick(["'v'", "d.getVar('E')", "None"]))

    def task(self):
        d = self.dice
        if d.chance(18):
            return "deltask %s" % d.pick(TASKS + ["${A}", "do_one do_two"])
        text = "addtask %s" % " ".join([d.pick(TASKS + ["one"])] + ([d.pick(TASKS)] if d.chance(10) else []))
        for keyword in d.some(["after", "before"], 2):
            text += " %s %s" % (keyword, " ".join([d.pick(TASKS + ["two", "${A}"])] + d.some(TASKS, 1)))
        if d.chance(5):
            text += " # why"
        return text

    def statement(self, file):
        d = self.dice
        conf = file.endswith(".conf")
        roll = d.number(1000)
        if roll < 640 or conf and roll < 880:
            return self.assignment()
        if roll < 700:
            return d.pick(["export %s", "unset %s", "unset %s[flag]", "unset %s[doc]"]) % d.pick(NAMES + ["do_one"])
        if roll < 760:
            what = d.pick(["include", "include", "require"])
            # Only forward, so that no circle comes about.
            order = INCLUDES if file not in INCLUDES else INCLUDES[INCLUDES.index(file) + 1 :]
            if conf:
                order = [DISTRO] if file == CONFIGURATION else []
            choices = order + (["nothere.inc"] if what == "include" or self.wild and d.chance(20) else []) + (["${A}"] if self.wild else [])
            return "%s %s" % (what, d.pick(choices)) if choices else "# nothing"
        if conf:
            return self.assignment()
        if roll < 790:
            classes = ["one", "two", "three"]
            at = [i for i, c in enumerate(["base", "one", "two", "three", "ext"]) if "/%s." % c in file]
            if at:
                classes = classes[at[0] :]
            classes = classes + (["${@bb.utils.contains('LIST', 'x', 'two', '', d)}" if not at else "", "nothere" if self.wild and d.chance(10) else ""])
            return "%s %s" % (d.pick(["inherit", "inherit", "inherit_defer"]), d.pick(classes) or "three")
        if roll < 830:
            return self.task()
        if roll < 920:
            return self.function()
        if roll < 970:
            return self.anonymous()
        if roll < 985 and "bbclass" in file:
            return "EXPORT_FUNCTIONS %s" % d.pick(["do_one", "do_two", "do_one do_two", "sh_a"])
        if self.wild and d.chance(20):
            return d.pick(["this is nothing", "A = x", "A = \"x", "= \"x\"", "A \"x\"", "addtask", "inherit", "A == \"b\"", " B = \"lead\"", "A[] = \"x\"", "A[f = \"x\"",
                           "A = \"x\"y\"", "A = 'it's'", "unset A:o1", "export A:o1", "python foo {", "}", "A:append += \"q\"", "A=\"tight\"", "# comment \\",
                           "EXPORT_FUNCTIONS do_one", "addhandler handle_it", "A ?== \"x\"", "do_one {", "def x():", "def broken(d):\n    return (\n", "python py_c () {\n\tx = 1\n}",
                           "BB_RENAMED_VARIABLES[FOO] = \"NEWFOO\"", "addtask do_append_x", "addtask do_one after", "python () {\n    x = (\n}"])
        if d.chance(30):
            return d.pick(["BBCLASSEXTEND = \"ext\"", "BBCLASSEXTEND = \"ext one:two\"", "BB_SIGNATURE_EXCLUDE_FLAGS = \"doc flag\"", "BB_DEFER_BBCLASSES = \"two\"",
                           "BB_HASH_CODEPARSER_VALS = \"A=forced E=x\"", "BB_RECIPE_VIRTUAL_PROVIDERS = \"virtual/x\"", "DEPENDS = \"virtual/x b\"",
                           "PREFERRED_PROVIDER_virtual/x = \"px\"",
                           "python handle_it () {\n    d.setVar('HANDLED', str(d.getVar('HANDLED')) + bb.event.getName(e))\n}\naddhandler handle_it\nhandle_it[eventmask] = \"bb.event.RecipePreFinalise bb.event.RecipeParsed\""])
        return self.assignment()

    def make(self):
        d = self.dice
        for file, most in ((CONFIGURATION, 9), (DISTRO, 3), (CLASSES[0], 3), (CLASSES[1], 5), (CLASSES[2], 4), (CLASSES[3], 3), (CLASSES[4], 2), (INCLUDES[0], 4), (INCLUDES[1], 3), (RECIPE, 16), (APPEND, 4)):
            for _ in range(d.number(most + 1)):
                self.statements.append((file, self.statement(file)))
        if d.chance(80):
            # A task that reads much, so that hashes tell of it.
            name = d.pick(["do_one", "do_two"])
            self.statements.append((RECIPE, "%s () {\n    echo %s\n    sh_a\n}" % (name, " ".join("${%s}" % n for n in d.some(NAMES, 8)))))
            self.statements.append((RECIPE, "addtask %s" % name))
        return self


def program(seed, wild=25):
    """(statements, tracking) for a seed; `wild` of a hundred seeds give programs with errors."""
    made = Program(seed, wild).make()
    return made.statements, made.tracking


def write(folder, statements, tracking):
    """Writes a program as a layer."""
    texts = {file: [] for file in FILES}
    texts[CONFIGURATION].append(HEAD.rstrip("\n"))
    for file, text in statements:
        texts.setdefault(file, []).append(text)
    for file, lines in texts.items():
        path = os.path.join(folder, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write("".join(line + "\n" for line in lines))
    if tracking:
        open(os.path.join(folder, "tracking"), "w").close()


def to_text(statements, tracking):
    """A program as a corpus file holds it."""
    out = ["#! tracking\n"] if tracking else []
    now = None
    for file, text in statements:
        if file != now:
            out.append("#! %s\n" % file)
            now = file
        out.append(text + "\n#;\n")
    return "".join(out)


def from_text(text):
    """The inverse of to_text; lines before the first `#!` say what the program is kept for."""
    statements, tracking, file, lines = [], False, None, []
    for line in text.split("\n"):
        if line == "#! tracking":
            tracking = True
        elif line.startswith("#! "):
            file = line[3:]
        elif line == "#;":
            statements.append((file, "\n".join(lines)))
            lines = []
        elif file:
            lines.append(line)
    return statements, tracking
