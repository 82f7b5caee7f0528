//! Facts of a recipe as a row of numbers: texts and lists of them stand in tables. Each number says in its
//! upper bits of which table it is, so that a row can be moved to other tables without knowing what it means.

use crate::recipe::{Providing, RecipeInfo, TaskDeps};
use hz_diagnostics::Str;
use hz_siggen::packed::Interner;
use indexmap::IndexMap;

const KIND: u32 = 3 << 30;
const TEXT: u32 = 0;
const LIST: u32 = 1 << 30;
/// A number that means itself.
const PLAIN: u32 = 2 << 30;

/// Something that goes over all fields of the facts, in their order.
trait Visit {
    fn number(&mut self, value: &mut u32);
    fn text(&mut self, value: &mut Str);
    fn list(&mut self, value: &mut Vec<Str>);

    fn truth(&mut self, value: &mut bool) {
        let mut number = u32::from(*value);
        self.number(&mut number);
        *value = number != 0;
    }
    /// Names and texts, as one list.
    fn pairs(&mut self, value: &mut IndexMap<Str, Str>) {
        let mut list = Vec::with_capacity(value.len() * 2);
        value.drain(..).for_each(|(name, text)| list.extend([name, text]));
        self.list(&mut list);
        value.reserve_exact(list.len() / 2);
        let mut items = list.into_iter();
        while let (Some(name), Some(text)) = (items.next(), items.next()) {
            value.insert(name, text);
        }
    }
    fn lists(&mut self, value: &mut IndexMap<Str, Vec<Str>>) {
        let (mut names, lists): (Vec<Str>, Vec<Vec<Str>>) = value.drain(..).unzip();
        let mut lists = lists.into_iter();
        self.list(&mut names);
        value.reserve_exact(names.len());
        for name in names {
            let mut list = lists.next().unwrap_or_default();
            self.list(&mut list);
            value.insert(name, list);
        }
    }
}

fn visit(info: &mut RecipeInfo, v: &mut impl Visit) {
    let RecipeInfo {
        mcfn, pn, pe, pv, pr, skipped, variants, appends, nocache, provides, rprovides, packages, rprovides_pkg,
        packages_dynamic, tasks, task_deps, default_preference, exclude_from_world, stamp, stampclean, stamp_extrainfo,
        file_checksums, depends, rdepends, rrecommends, rdepends_pkg, rrecommends_pkg, inherits, hashfilename, fakerootenv,
        fakerootdirs, fakerootlogs, fakerootnoenv, extradepsfunc, basehashes, siggen: _,
    } = info;
    for text in [mcfn, pn, stamp] {
        v.text(text);
    }
    let mut is_skipped = skipped.is_some();
    v.truth(&mut is_skipped);
    if is_skipped {
        let mut reason = skipped.take().unwrap_or_default();
        v.text(&mut reason);
        *skipped = Some(reason);
    }
    visit_providing(
        [pe, pv, pr], default_preference, exclude_from_world, [provides, rprovides, packages, packages_dynamic], rprovides_pkg, v,
    );
    v.list(variants);
    v.list(appends);
    v.truth(nocache);
    let TaskDeps { tasks: names, parents, flags } = task_deps;
    v.list(tasks);
    v.list(names);
    v.lists(parents);
    let mut count = flags.len() as u32;
    v.number(&mut count);
    let mut rest = std::mem::take(flags).into_iter();
    for _ in 0..count {
        let (mut flag, mut texts) = rest.next().unwrap_or_default();
        v.text(&mut flag);
        v.pairs(&mut texts);
        flags.insert(flag, texts);
    }
    for text in [stampclean, hashfilename, fakerootenv, fakerootdirs, fakerootlogs, fakerootnoenv, extradepsfunc] {
        v.text(text);
    }
    v.pairs(stamp_extrainfo);
    v.pairs(file_checksums);
    for list in [depends, rdepends, rrecommends, inherits] {
        v.list(list);
    }
    v.lists(rdepends_pkg);
    v.lists(rrecommends_pkg);
    v.pairs(basehashes);
}

/// What stands behind the head: the fields of [`Providing`].
fn visit_providing(
    version: [&mut Str; 3], default_preference: &mut i64, exclude_from_world: &mut bool, lists: [&mut Vec<Str>; 4],
    rprovides_pkg: &mut IndexMap<Str, Vec<Str>>, v: &mut impl Visit,
) {
    version.into_iter().for_each(|text| v.text(text));
    let mut preference: Str = default_preference.to_string().into();
    v.text(&mut preference);
    *default_preference = preference.parse().unwrap_or_default();
    v.truth(exclude_from_world);
    lists.into_iter().for_each(|list| v.list(list));
    v.lists(rprovides_pkg);
}

struct Encoder<'a> {
    out: Vec<u32>,
    list: Vec<u32>,
    tables: &'a mut Interner,
}

impl Visit for Encoder<'_> {
    fn number(&mut self, value: &mut u32) {
        self.out.push(*value | PLAIN);
    }
    fn text(&mut self, value: &mut Str) {
        self.out.push(self.tables.intern_shared(value) | TEXT);
    }
    fn list(&mut self, value: &mut Vec<Str>) {
        self.list.clear();
        self.list.extend(value.iter().map(|text| self.tables.intern_shared(text)));
        self.out.push(self.tables.intern_list(&self.list) | LIST);
    }
}

/// The facts (but for `siggen`) in numbers of these tables. Nothing is left of those given.
pub(crate) fn encode(mut info: RecipeInfo, tables: &mut Interner) -> Vec<u32> {
    let mut encoder = Encoder { out: Vec::with_capacity(64), list: Vec::new(), tables };
    visit(&mut info, &mut encoder);
    encoder.out
}

/// What of a row is always wanted.
pub(crate) struct Head {
    pub mcfn: Str,
    pub pn: Str,
    pub stamp: Str,
    pub skipped: Option<Str>,
}

/// The beginning of a row.
pub(crate) fn head(row: &mut dyn Iterator<Item = u32>, text: impl Fn(u32) -> Str) -> Head {
    let mut next = || row.next().unwrap_or_default() & !KIND;
    let [mcfn, pn, stamp] = [next(), next(), next()].map(&text);
    let is_skipped = next() != 0;
    Head { mcfn, pn, stamp, skipped: is_skipped.then(|| text(next())) }
}

/// What decides who provides what, of a row.
pub(crate) fn providing(
    row: &mut dyn Iterator<Item = u32>, text: &dyn Fn(u32) -> Str, list: impl Fn(u32, &mut dyn FnMut(u32)),
) -> Providing {
    head(row, |_| Str::default());
    let mut found = Providing::default();
    let Providing {
        pe, pv, pr, default_preference, exclude_from_world, provides, rprovides, packages, packages_dynamic, rprovides_pkg,
    } = &mut found;
    let lists = [provides, rprovides, packages, packages_dynamic];
    visit_providing([pe, pv, pr], default_preference, exclude_from_world, lists, rprovides_pkg, &mut Decoder { row, text, list });
    found
}

/// Moves a row to other tables.
pub(crate) fn renumber(row: &mut [u32], mut text: impl FnMut(u32) -> u32, mut list: impl FnMut(u32) -> u32) {
    for number in row {
        let n = *number & !KIND;
        match *number & KIND {
            TEXT => *number = text(n) | TEXT,
            LIST => *number = list(n) | LIST,
            _ => {}
        }
    }
}

struct Decoder<'a, L: Fn(u32, &mut dyn FnMut(u32))> {
    row: &'a mut dyn Iterator<Item = u32>,
    text: &'a dyn Fn(u32) -> Str,
    list: L,
}

impl<L: Fn(u32, &mut dyn FnMut(u32))> Decoder<'_, L> {
    fn next(&mut self) -> u32 {
        self.row.next().unwrap_or_default() & !KIND
    }
}

impl<L: Fn(u32, &mut dyn FnMut(u32))> Visit for Decoder<'_, L> {
    fn number(&mut self, value: &mut u32) {
        *value = self.next();
    }
    fn text(&mut self, value: &mut Str) {
        *value = (self.text)(self.next());
    }
    fn list(&mut self, value: &mut Vec<Str>) {
        let n = self.next();
        value.clear();
        (self.list)(n, &mut |text| value.push((self.text)(text)));
    }
}

/// The facts that a row stands for. `text` gives a text by its number, `list` hands the numbers of a
/// list's texts on.
pub(crate) fn decode(
    row: &mut dyn Iterator<Item = u32>, text: &dyn Fn(u32) -> Str, list: impl Fn(u32, &mut dyn FnMut(u32)),
) -> RecipeInfo {
    let mut info = RecipeInfo::default();
    visit(&mut info, &mut Decoder { row, text, list });
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;
    use hz_siggen::packed::Tables;

    /// Facts with something in every field.
    pub(crate) fn facts() -> RecipeInfo {
        let text = |text: &str| -> Str { text.into() };
        let list = |texts: &[&str]| -> Vec<Str> { texts.iter().map(|t| text(t)).collect() };
        let pairs = |texts: &[&str]| -> IndexMap<Str, Str> { texts.chunks(2).map(|p| (text(p[0]), text(p[1]))).collect() };
        let lists = |name: &str| -> IndexMap<Str, Vec<Str>> { [(text(name), list(&["x", ""])), (text("none"), vec![])].into() };
        RecipeInfo {
            mcfn: text("mc:a:/b.bb"),
            pn: text("pn"),
            pe: text("pe"),
            pv: text("pv"),
            pr: text("pr"),
            skipped: Some(text("why")),
            variants: list(&["native", ""]),
            appends: list(&["/b.bbappend"]),
            nocache: true,
            provides: list(&["p"]),
            rprovides: list(&["rp"]),
            packages: list(&["pn", "pn-dev"]),
            rprovides_pkg: lists("rprovides_pkg"),
            packages_dynamic: list(&["^pn-.*"]),
            tasks: list(&["do_a"]),
            task_deps: TaskDeps {
                tasks: list(&["do_a", "do_b"]),
                parents: lists("parents"),
                flags: [(text("depends"), pairs(&["do_a", "x:do_y"])), (text("nostamp"), pairs(&[]))].into(),
            },
            default_preference: -7,
            exclude_from_world: true,
            stamp: text("stamp"),
            stampclean: text("stampclean"),
            stamp_extrainfo: pairs(&["do_a", ""]),
            file_checksums: pairs(&["do_a", "f:True"]),
            depends: list(&["d"]),
            rdepends: list(&["rd"]),
            rrecommends: list(&["rr"]),
            rdepends_pkg: lists("rdepends_pkg"),
            rrecommends_pkg: lists("rrecommends_pkg"),
            inherits: list(&["i"]),
            hashfilename: text("hf"),
            fakerootenv: text("fe"),
            fakerootdirs: text("fd"),
            fakerootlogs: text("fl"),
            fakerootnoenv: text("fn"),
            extradepsfunc: text("ed"),
            basehashes: pairs(&["do_b", "1", "do_a", "0"]),
            siggen: Default::default(),
        }
    }

    fn decoded(row: &[u32], tables: &Interner) -> RecipeInfo {
        decode(&mut row.iter().copied(), &|n| tables.text(n).into(), |n, give| tables.list(n).into_iter().for_each(give))
    }

    #[test]
    fn every_field_comes_back() {
        let mut tables = Interner::default();
        tables.intern("something before");
        for info in [facts(), RecipeInfo::default(), RecipeInfo { skipped: None, ..facts() }] {
            let row = encode(info.clone(), &mut tables);
            assert_eq!(format!("{:?}", decoded(&row, &tables)), format!("{info:?}"));
            let list = |n, give: &mut dyn FnMut(u32)| tables.list(n).into_iter().for_each(give);
            let part = providing(&mut row.iter().copied(), &|n| tables.text(n).into(), list);
            assert_eq!(format!("{part:?}"), format!("{:?}", Recipe::from(info).providing()));
        }
    }

    #[test]
    fn a_row_can_move() {
        let (mut from, mut to) = (Interner::default(), Interner::default());
        let mut row = encode(facts(), &mut from);
        to.intern("something before");
        to.intern_list(&[0]);
        let texts: Vec<u32> = from.texts().iter().rev().map(|text| to.intern(text)).rev().collect();
        let lists: Vec<u32> = from.lists().iter().map(|list| to.intern_list(&list.iter().map(|n| texts[*n as usize]).collect::<Vec<_>>())).collect();
        renumber(&mut row, |n| texts[n as usize], |n| lists[n as usize]);
        assert_eq!(format!("{:?}", decoded(&row, &to)), format!("{:?}", facts()));
    }
}
