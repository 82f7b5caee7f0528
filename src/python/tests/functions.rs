//! Functions of metadata run natively against the VM: what they store, log and raise is the same. One test function:
//! the VM belongs to one thread.

use hz_data::{DataStore, Depends, RuntimeError, SetInfo};
use std::sync::{Arc, Mutex};

struct Collect(Arc<Mutex<Vec<String>>>);
impl hz_events::Sink for Collect {
    fn emit(&mut self, event: hz_events::Event) {
        if let hz_events::Event::Log(record) = event {
            self.0.lock().unwrap().push(record.message);
        }
    }
}

/// Bodies of `def f(d):`; `out(x)` keeps what they find.
const BODIES: &[&str] = &[
    // Lists: aliases, growth while gone through, what the VM has seen stays one object.
    "a = [1]\nb = a\nb += [2]\nout(a, b, a is b)\na = a + [3]\nout(a, b)",
    "a = ['x', 'y']\nfor i in a:\n    if len(a) < 6:\n        a.append(i + 'z')\nout(a)",
    "a = ['x']\nholder = {'list': a}\nkept = [a]\nimport copy\ncopy.copy(kept)\na.append('y')\nout(holder, kept, a)\nkept[0].append('z')\nout(a, len(a), a[-1], a[1:])",
    "a = [3, 1, 2]\nb = sorted(a)\na.sort()\nout(a, b, sorted(a, reverse=True), a.pop(), a.pop(0), a, a.index(2))",
    "a = ['b', 'a']\na.insert(0, 'c')\na.insert(-1, 'd')\na.insert(99, 'e')\na.remove('a')\na.reverse()\nout(a, a.count('b'), a.copy())",
    "a = []\na.append(a)\nout(len(a), a[0] is a, a)",
    "a = list(range(5))\ndel a[1]\nout(a, a[::2], a[::-1], a[1:3], a[-2:], a[10:])",
    "a = ['x']\na.remove('nothing')",
    "a = ['x']\nout(a[3])",
    "a = [1, 2]\nx, y = a\nout(x, y)\n(p, q), r = ('m', 'n'), 3\nout(p, q, r)\nx, y = y, x\nout(x, y)",
    "x, y = [1, 2, 3]",
    "x, y, z = [1, 2]",
    "a, b = 7",
    "a = [1, 'x', None, True, 2.5, (1,), ('a', 'b')]\nout(a, str(a), 'x' in a, 1 in a, 2.5 in a, False in a, None in a, (1,) in a)",
    // Dictionaries and sets.
    "a = {}\na['x'] = 1\na['y'] = a.get('x')\na.setdefault('z', []).append('w')\nout(a, 'x' in a, a.get('q'), a.get('q', 5), a.pop('x'), a, list(a), sorted(a.keys()), list(a.items()))",
    "a = {'x': 1, 2: 'y', None: 'z', ('t',): 'u'}\nout(a[2], a[None], a[('t',)], len(a), a)\nfor k in a:\n    out(k)",
    "a = {'x': 1}\nfor k in a:\n    a[k + 'y'] = 2",
    "a = {'x': 1}\nout(a['y'])",
    "a = {'b': 1, 'a': 2}\nfor k, v in a.items():\n    out(k, v)\nfor v in a.values():\n    out(v)\nkeys = a.keys()\na['c'] = 3\nout(list(keys), {k: v for k, v in a.items() if v > 1})",
    "a = {'x': {'y': []}}\na['x']['y'] += ['z']\na['x']['n'] = 1\na['x']['n'] += 4\nout(a)\ndel a['x']['n']\nout(a)\ndel a['q']",
    "a = set('b a c'.split())\nb = {'c', 'd'}\nout(sorted(a | b), sorted(a & b), sorted(a - b), 'a' in a, len(a), a == {'c', 'b', 'a'})\na.add('z')\na.discard('b')\na.update(['y'])\nout(sorted(a))\na |= b\na -= {'a'}\nout(sorted(a))",
    "a = set()\na.add(1)\na.add('x')\nout(1 in a, 'x' in a, len(a))",
    "a = {'x', 'y'}\nfor i in a:\n    a.add(i + 'z')",
    "a = dict(x=1, y='z')\na.update({'w': 2})\nout(a, sorted(a))",
    // Text.
    "t = 'Hello, wörld'\nout(t[0], t[-1], t[7:9], t[::-1], t.upper(), t.lower(), t.find('w'), t.find('q'), t.rfind('l'), len(t), t.count('l'))",
    "t = ' a b  c '\nout(t.split(), t.split(' '), t.strip(), t.lstrip(), t.rstrip(), t.replace(' ', '_'), t.split(None, 1), t.rsplit(None, 1))",
    "out('a:b:c'.partition(':'), 'a:b:c'.rpartition(':'), 'abc'.partition(':'), 'a:b:c'.split(':', 1), 'a:b:c'.rsplit(':', 1), 'x'.join([]), 'a,b'.split(','))",
    "out('abc'.startswith('a'), 'abc'.startswith(('x', 'a')), 'abc'.endswith('c'), 'abc'.removeprefix('a'), 'abc'.removesuffix('x'), 'abc'.title(), 'a'.center(5), '%5d|' % 3)",
    "out('%s %d %%' % ('a', 3), '%s' % 'x', '%s' % None, '%s' % [1, 'b'], '%(n)s' % {'n': 'q'}, '%r' % 'x', '{} {n}'.format(1, n=2), f'{1}-{\"x\"!r}-{[1]}')",
    "out('%s %s' % 'x')",
    "out('a' + 1)",
    "a = 'x'\nout('a' + a + 'b' + a, ['a'] + ['b'] + [1], 1 + 2 + 3, (1,) + (2,) + (3,), 'é' + a + 'ü', '' + '' + '')\nout('%s' % 'x' + '%d%%' % 3 + 'y', '%s%s' % ('é', None), '%' % () if False else '')\nout(a +\n    'b' +\n    1 +\n    'c')",
    "out(1 + 2 + 'a' + nosuch)",
    "out('%' % 'a')",
    "out('a%' % ())",
    "out('a' * 3, [1] * 2, 7 % 3, 7 // 2, 7 / 2, 2 ** 10, 2 ** 70, 9223372036854775807 + 1, -5, 5 - 7, 1 << 4, 6 & 3, 6 | 1)",
    "out(','.join(['a', 1]))",
    "out(','.join(x for x in 'abc'), ','.join(map(lambda s: s + '!', ['a', 'b'])), ','.join(filter(lambda s: s != 'a', ['a', 'b'])), ','.join({'k': 1}))",
    "out('' or 'x', None or [], 0 and 1, 'a' and 'b', not '', not [], 1 < 2 < 3, 3 > 2 < 1, 'a' < 'b', 'abc' == 'abc', 'a' != 1, 1 == True, None is None, None == 0)",
    "out(1 < 'a')",
    "out(int(' 42 '), int('-7'), str(5), bool(''), bool('x'), len([1]), isinstance('x', str), isinstance(True, int), isinstance([], (list, tuple)), isinstance({}, dict), isinstance(None, str))",
    "out(int('4_2'), int('0x1f', 16))\nint('x')",
    "out(list('ab'), tuple(['a']), list({'x': 1}), sorted('cab'), sorted({'b', 'a'}), any([0, 'x']), all([1, 0]), any([]), all([]), sum([1, 2]), max([1, 5, 3]), min('b', 'a'))",
    "out([type(x).__name__ for x in (1, 'x', None, True, [], {}, set(), (), 1.5)])",
    // Functions within functions.
    "n = 1\ndef inner(x, y='d'):\n    return x + y + str(n)\nout(inner('a'), inner('a', 'b'), inner(y='q', x='p'))\nn = 5\nout(inner('z'))",
    "found = []\ndef add(x):\n    found.append(x)\n    if len(found) < 4:\n        add(x + x)\nadd('a')\nout(found)",
    "count = 0\ndef up():\n    nonlocal count\n    count += 1\nup()\nup()\nout(count)",
    "def inner(x):\n    return x\ninner()",
    "def inner(x):\n    return x\ninner(1, 2)",
    "def inner(x):\n    return x\ninner(1, x=2)",
    "def inner(x):\n    return x\nout([inner(i) for i in 'ab'], inner)\n",
    "def inner(x=[]):\n    x.append(1)\n    return x\nout(inner(), inner())",
    "f2 = lambda x: x + 1\nout(f2(2), sorted(['bb', 'a'], key=lambda s: len(s)))",
    // Control.
    "for i in 'abc':\n    if i == 'b':\n        continue\n    if i == 'c':\n        break\n    out(i)\nelse:\n    out('whole')\nfor i in []:\n    pass\nelse:\n    out('none', 'i' in dir())",
    "n = 0\nwhile n < 5:\n    n += 1\n    if n == 3:\n        break\nelse:\n    out('no')\nout(n)\nwhile n:\n    n -= 1\nelse:\n    out('end')",
    "out([x * y for x in [1, 2] for y in [10, 20] if x != y], {x for x in 'aab'} == {'a', 'b'}, [[y for y in x] for x in ['ab', 'c']])\nx = 'kept'\n[x for x in 'ab']\nout(x)",
    "if False:\n    y = 1\nout(y)",
    "out(nosuch)",
    "z = 1\ndel z\nout(z)",
    "out(any(x == 'b' for x in ['a', 'b', 1 / 1]), all(x for x in [1, 0]), any(x / 0 for x in []))",
    "out(any(1 / x for x in [1, 0]))\nout(any(1 / x for x in [0]))",
    "assert 1 == 1, 'fine'\nassert [], 'it is empty'",
    "assert None",
    "a = b = []\na.append(1)\nout(b)",
    "global GLOBAL_OF_TEST\nGLOBAL_OF_TEST = 'g'\nout(GLOBAL_OF_TEST)\nGLOBAL_OF_TEST += 'h'\nout(globals()['GLOBAL_OF_TEST'])\ndel GLOBAL_OF_TEST",
    // Exceptions.
    "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    out(type(e).__name__, str(e))\nelse:\n    out('else')\nfinally:\n    out('finally')\ntry:\n    out('fine')\nexcept Exception:\n    out('no')\nelse:\n    out('else')\nfinally:\n    out('finally')",
    "try:\n    {}['x']\nexcept (ValueError, KeyError) as e:\n    out(repr(e), e.args)\ntry:\n    raise ValueError('a', 1)\nexcept ValueError as e:\n    out(e.args)\nout(e)",
    "def g():\n    try:\n        return 'tried'\n    finally:\n        out('cleaned')\nout(g())\nfor i in 'ab':\n    try:\n        continue\n    finally:\n        out(i)",
    "try:\n    try:\n        int('x')\n    except ValueError:\n        raise\nexcept Exception as e:\n    out(str(e))",
    "try:\n    try:\n        int('x')\n    except ValueError as e:\n        raise KeyError('other') from e\nexcept KeyError as k:\n    out(type(k.__cause__).__name__, type(k.__context__).__name__)",
    "try:\n    try:\n        int('x')\n    except ValueError:\n        raise KeyError('other')\nexcept KeyError as k:\n    out(k.__cause__, type(k.__context__).__name__)",
    "try:\n    int('x')\nexcept KeyError:\n    out('wrong')",
    "def g():\n    raise RuntimeError('deep')\ndef h():\n    g()\nh()",
    "raise KeyError",
    "raise 'text'",
    "raise bb.parse.SkipRecipe('not today')",
    "bb.fatal('stop here')",
    "import sys, traceback\ntry:\n    int('x')\nexcept ValueError:\n    out(sys.exc_info()[0].__name__, traceback.format_exc().splitlines()[-1])\nout(sys.exc_info())",
    "class C:\n    def __enter__(self):\n        return 'in'\n    def __exit__(self, *a):\n        return True\nout('left to the VM')",
    "import tempfile, os\nwith tempfile.TemporaryDirectory() as t:\n    p = os.path.join(t, 'x')\n    with open(p, 'w') as f:\n        f.write('text')\n    with open(p) as f:\n        out(f.read(), os.path.exists(p), os.path.isfile(p), os.path.isdir(t))\nout(os.path.exists(p))",
    "import contextlib\nwith contextlib.suppress(ValueError):\n    int('x')\nout('after')\nwith contextlib.suppress(KeyError):\n    int('x')",
    // Modules.
    "import os.path, re as regex\nfrom os.path import basename as base, dirname\nout(base('/a/b'), dirname('/a/b'), os.path.join('a', '/b', 'c'), os.path.join('a', 'b/'), os.path.normpath('a/../b'), os.path.splitext('a/.b.c'), os.path.splitext('.b'), os.path.isabs('/x'), regex.sub('a+', 'X', 'baab'))\nm = regex.match(r'(\\w+)-(\\d+)', 'abc-12')\nout(m.group(1), m.groups(), bool(m), regex.match('x', 'y'))",
    "from os import nothing_like_it",
    "import nothing_like_it",
    "import xml.dom\nout(xml.dom.__name__)",
    // The store.
    "d.setVar('A', 'x')\nd.appendVar('A', ' y')\nd.prependVar('A', 'w ')\nout(d.getVar('A'), d.getVar('NOTHING'), d.getVar('RAW', False), d.getVar('RAW'), d.getVar('RAW', expand=False))\nd.setVarFlag('A', 'doc', 'text')\nd.appendVarFlag('A', 'doc', '!')\nout(d.getVarFlag('A', 'doc'), d.getVarFlags('A'), d.getVarFlag('A', 'none'), d.expand('${A}-${PN}'))\nd.delVarFlag('A', 'doc')\nd.delVar('A')\nout(d.getVar('A'), d.getVarFlags('A'))",
    "d.setVar('L', ['a', 'b'])\nl = d.getVar('L')\nl.append('c')\nout(l, d.getVar('L'))\nd.setVar('S', {'x'})\nout(d.getVar('S'))\nd.setVar('M', {'k': [1]})\nout(d.getVar('M'))\nd.setVar('N', 5)\nout(d.getVar('N'), d.getVar('N') + 1)\nd.setVar('B', None)\nout(d.getVar('B'))",
    "e = d.createCopy()\ne.setVar('PN', 'other')\nout(e.getVar('PN'), d.getVar('PN'), 'PN' in d, d['PN'])\nd.renameVar('PN', 'PM')\nout(d.getVar('PN'), d.getVar('PM'))",
    "out(d.getVar('BROKEN'))",
    "out(d.getVar(5))",
    "d.getVar()",
    "d.setVar('only')",
    "d.nothing('x')",
    "out(bb.utils.contains('LIST', 'b', 'yes', 'no', d), bb.utils.contains('LIST', {'a', 'b'}, 'yes', 'no', d), bb.utils.contains_any('LIST', ['z', 'a'], [1], [], d), bb.utils.filter('LIST', 'b a', d), bb.utils.to_boolean('yes'), bb.data.inherits_class('x', d), bb.utils.explode_deps('a (>= 1) b'))",
    "for w in (d.getVar('LIST') or '').split():\n    d.setVar('V_' + w, w.upper())\nout(d.getVar('V_a'), d.getVar('V_c'))",
    "out(helper(d, 'p'), helper(d, q='r', p='s'), helper.__name__)\nhelper()",
    "out(recursive(5))",
    "out(only(d, y=1), only(d, x=2, y=3), only(q=5, d=d, y=4))\nonly(d)",
    "only(d, 1, y=2)",
    "out([1, 2][True], 'ab'[False], (1, 2)[d.getVar('PN') == ''], [3, 4][::-1], 'abc'[::-1], (5, 6)[::-1])\n[1][True]",
    "import glob, os, tempfile\nwith tempfile.TemporaryDirectory() as t:\n    for name in ['b.x', 'a.x', '.c.x', 'd.y']:\n        open(os.path.join(t, name), 'w').close()\n    out([sorted(os.path.relpath(p, t) for p in glob.glob(t + '/' + pattern)) for pattern in ['*', '*.x', '.*', '[ab].?', 'a.x', 'none', '']])",
    "out(os.path.relpath('/a/b', '/a/c/'), os.path.relpath('/', '/x'), os.path.relpath('/a', '/a'), os.path.relpath('a/b', 'a'), bb.utils.filter_string('b c a', 'a b'), bb.utils.filter_string(None, 'a'))",
    "e = d\nout(e is d, e == d, d is None, d != None)",
    // What is spread over arguments, and what takes them.
    "a, k = ['x', 'y'], {'q': 'w'}\nout(many(d, *a), many(d, 1, *a, 2, **k), many(*(x for x in [d, 'z']), n=1, **k), many(d, *'ab', *[]), many(d, **{}))\nout('{}-{}'.format(*a), 'a{n}'.format(**{'n': 5}), os.path.join(*a), max(*[3, 1]))",
    "def inner(x, *more, **named):\n    return x, more, named\nout(inner(1), inner(1, 2, 3, n=4), inner(*'ab', **{'k': 'v'}), inner(x=5, y=6))\ninner()",
    "many(d, *5)",
    "many(d, 1, *None)",
    "many(*d.getVar)",
    "many(d, **[1])",
    "many(d, n=1, **{'n': 2})",
    "many(d, **{1: 2})",
    "many(d, d=1)",
    "many()",
    "helper(d, 'p', 'q', *['r'])",
    "helper(d, 'p', **{'z': 1})",
    "out(helper(*[d, 'a'], **{'q': 'b'}), only(d, **{'y': 1}))",
    // The store gone through.
    "d.setVar('QX_1', 'a')\nd.setVar('QX_2', None)\nd.setVarFlag('QX_3', 'f', '1')\nd.setVar('QX_4:x', 'b')\nout(sorted(k for k in d if k.startswith('QX_')), sorted(k for k in d.keys() if k.startswith('QX_')), 'PN' in d.keys(), 'PN' in d, len(d) == len(list(d)))\nfor k in d:\n    d.setVar(k + 'z', '')\nfor k in d.keys():\n    d.delVar(k)\nout(list(d), list(d.keys()))",
    "old = type(d).keys\ntry:\n    type(d).keys = lambda self: ['mine']\n    out([k for k in d.keys()], 'PN' in list(d))\nfinally:\n    del type(d).keys\nout(type(d).keys is old)",
    "d.keys = lambda: ['mine']\nout([k for k in d.keys()])",
    "d.setVar('OVERRIDES', '${@1/0}')\nfor k in d:\n    pass",
    // More of Python's own.
    "import urllib.parse\nfrom urllib.parse import quote\nout(quote('a b/ä~%'), quote('a/b', safe=''), quote('a/b+c', '+'), quote('a/b', safe='é/'), quote(''), quote(b'a b'), quote('a b', encoding='latin-1'))",
    "out('{} {}'.format('a', 1), '{{}} {}'.format(None), '{}'.format([1, 'x'], 2), '{0}'.format('a'), '{:>3}'.format('a'), 'a}}'.format())\n'{} {}'.format(1)",
    "'a}'.format(1)",
    "out(repr('a\\'b'), repr(1), repr([None, 'x']), repr('ä'), repr({}), min(3, 1, 2), max(1, 2), min('b', 'a'), max([1, 5]), max(1, 2.5), min(True, 0))",
    "out(os.access('/', os.R_OK), os.access('/no/such', os.F_OK), os.access('/', 4))\nos.access('a\\0b', 0)",
    "import bb.event, collections\nclass_of = bb.event.Event\ne = bb.event.ConfigParsed()\nout(isinstance(e, class_of), isinstance(e, bb.event.ConfigParsed), isinstance(e, bb.event.BuildStarted), isinstance(e, (str, class_of)), isinstance(d, bb.data_smart.DataSmart), isinstance(d, str), isinstance(d, dict), isinstance(d, collections.abc.Mapping), isinstance(os, str))",
    "d.setVarFlag('F', 'b', '2')\nd.setVarFlag('F', 'a', '3')\nout(sorted(d.getVarFlags('F').items()), sorted([(2, 'b'), (1, 'c'), (2, 'a'), (1,)]), sorted([('a', None), ('a', None)]), sorted([('b', None), ('a', [1])]), sorted([3, True, 2]), sorted([(1, 2.5), (1, 0.5)]), sorted([], reverse=True), sorted([(1, 'x'), (1, 'y'), (0, 'z')], reverse=True))\nsorted([('a', 1), ('a', 'b')])",
    "a = [2, 'x', 1]\ntry:\n    a.sort()\nexcept TypeError as e:\n    out(a, str(e))\nout([2, 1] in [[2, 1]], 'x' in ['x', 1], 2 in (1, 2), 'q' not in ['a', 'b'], 'x' in [], [] in [[]], 'a' in ['a', d])\nt = ('a', 1)\nout(t + ('b',), t == ('a', 1), [t, t])",
    // Ours, from their texts.
    "d.setVar('__BBTASKS', ['do_a'])\nbb.build.addtask('b', 'do_c', 'do_a', d)\nbb.build.addtask('do_c', None, 'b', d)\nd.setVarFlag('do_a', 'task', 1)\nout(d.getVar('__BBTASKS', False), d.getVarFlag('do_b', 'deps', False), bb.build.tasksbetween('do_a', 'do_c', d), bb.build.preceedtask('do_c', True, d), bb.build.listtasks(d))\nbb.build.deltask('b', d)\nout(d.getVar('__BBTASKS', False), d.getVarFlag('do_c', 'deps', False), bb.build.tasksbetween('do_a', 'do_c', d))",
    "for a, b in ['ab', 'bc', 'ca']:\n    d.setVarFlag(a, 'task', 1)\n    d.setVarFlag(a, 'deps', [b])\nbb.build.tasksbetween('a', 'z', d)",
    "bb.debug(1, 'told ', 'twice')\nbb.debug('x', 'y')\nbb.note('a', 'b')\nbb.warn('w')\nbb.error('e')\nbb.plain('p')\nbb.debug(1, 2)",
    "out(bb.utils.explode_dep_versions2('a (>= 1) b'), bb.utils.explode_deps('a (>= 1), b'), bb.utils.vercmp_string('1', '2'))\nbb.utils.vercmp_string('1')",
];

const SHARED: &[&str] = &[
    "def helper(d, p, q='Q'):\n    return p + q + d.getVar('PN')\n",
    "def only(d, q='Q', *, x='X', y):\n    return [q, x, y, d.getVar('PN')]\n",
    "def many(d, *rest, **named):\n    return [rest, named, d.getVar('PN')]\n",
    "def recursive(n):\n    return n if n < 1 else recursive(n - 1) + 1\n",
    "def out(*found):\n    bb.utils.found_in_test.append(repr(found))\n",
];

#[test]
fn native_functions_do_what_the_vm_does() {
    let logs = Arc::new(Mutex::new(Vec::new()));
    hz_events::set_sink(Box::new(Collect(logs.clone())));
    let runtime = hz_python::shared();
    let info = SetInfo { ignore: true, ..SetInfo::default() };
    let fresh = || {
        let store = DataStore::new(runtime.clone());
        for (name, value) in [("PN", "tool"), ("RAW", "${PN}"), ("LIST", "a b  c"), ("BROKEN", "${@1/0}")] {
            store.set_var(name, value, &info).unwrap();
        }
        store
    };
    for text in SHARED {
        runtime.define("m", text, "/layer/shared.bbclass", 10).unwrap();
    }
    let file = std::env::temp_dir().join(format!("hz-functions-{}.bb", std::process::id()));
    let mut differences = Vec::new();
    for (n, body) in BODIES.iter().enumerate() {
        let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
        let name = format!("f{n}");
        let text = format!("def {name}(d):\n{indented}");
        // The lines of errors are looked up there.
        std::fs::write(&file, format!("\n\n{text}")).unwrap();
        let place = file.to_str().unwrap();
        let told = |result: Result<(), RuntimeError>| {
            let logged: Vec<String> = std::mem::take(&mut *logs.lock().unwrap());
            // What called the function differs, and is told first.
            let logged: Vec<String> = logged
                .iter()
                .map(|text| match (text.find("function: <module>\n"), text.find(&format!("File: '{place}'"))) {
                    (Some(_), Some(at)) => text[at..].to_string(),
                    _ => text.clone(),
                })
                .collect();
            let found = hz_python::enter(|vm| {
                let utils = vm.sys_module.get_attr("modules", vm).unwrap().get_item("bb.utils", vm).unwrap();
                let found = utils.get_attr("found_in_test", vm).unwrap().str(vm).unwrap().to_string_lossy().into_owned();
                found
            });
            format!("{result:?}\n{}\n{found}", logged.join("\n"))
        };
        let reset = || {
            let store = fresh();
            runtime.eval_inline(&store, "setattr(bb.utils, 'found_in_test', [])", None).unwrap();
            store
        };
        let store = reset();
        runtime.define("m", &text, place, 2).unwrap();
        let native = told(runtime.run_anonymous(&store, &[name.as_str().into()]));
        let store = reset();
        let vm = told(hz_python::call_python_function(&store, &name, &indented, place, 2));
        // Where the VM words an error otherwise than CPython, ours are CPython's.
        let vm = vm
            .replace("exceptions must be classes or instances deriving from BaseException, not str", "exceptions must derive from BaseException")
            .replace("local variable 'y' referenced before assignment", "cannot access local variable 'y' where it is not associated with a value")
            .replace("local variable 'z' referenced before assignment", "cannot access local variable 'z' where it is not associated with a value")
            .replace("local variable 'e' referenced before assignment", "cannot access local variable 'e' where it is not associated with a value");
        if native != vm {
            differences.push(format!("{body}\n--- native\n{native}\n--- VM\n{vm}\n"));
        }
    }
    std::fs::remove_file(&file).unwrap();
    let store = fresh();
    let error = runtime.eval_inline(&store, "recursive(100000)", None).unwrap_err();
    assert!(error.to_string().contains("RecursionError"), "{error}");
    // What is kept as long as nothing that was read is written: only what the store alone decides.
    for (text, on) in [
        ("d.getVar('PN') + '-x'", Depends::Store),
        ("bb.utils.contains('LIST', 'b', 'yes', 'no', d)", Depends::Store),
        ("','.join(sorted(x.strip() for x in d.getVar('LIST').split()))", Depends::Store),
        ("'{:>5}'.format(len(d.getVar('PN')))", Depends::Anything),
        ("'{}'.format(len(d.getVar('PN')))", Depends::Store),
        ("many(d, *d.getVar('LIST').split())", Depends::Definitions),
        ("' '.join(k for k in d)", Depends::Anything),
        ("os.access('/', 4)", Depends::Anything),
        ("os.path.join(d.getVar('PN'), 'x')", Depends::Store),
        ("os.path.exists('/' + d.getVar('PN'))", Depends::Anything),
        ("os.path.realpath('/')", Depends::Anything),
        ("os.sep", Depends::Anything),
        ("os.environ.get('HOME')", Depends::Anything),
        ("time.time()", Depends::Anything),
        ("helper(d, 'p')", Depends::Definitions),
        ("d.setVar('OTHER', '1')", Depends::Anything),
        ("d.createCopy().getVar('PN')", Depends::Anything),
        ("d.getVarFlags('PN')", Depends::Anything),
        ("[1, 2].index(2)", Depends::Anything),
        ("['', '-x'][(d.getVar('PN') or '') != '']", Depends::Store),
        ("d.getVar('PN')[::-1]", Depends::Store),
        ("bb.utils.filter_string('a b', d.getVar('LIST'))", Depends::Store),
        ("os.path.relpath('/' + d.getVar('PN'), '/usr')", Depends::Store),
        ("os.path.relpath(d.getVar('PN'), '/usr')", Depends::Anything),
    ] {
        let (_, depends) = runtime.eval_seen(&store, text, None).unwrap();
        assert_eq!(depends, on, "{text}");
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), BODIES.len(), differences.join("\n"));
}
