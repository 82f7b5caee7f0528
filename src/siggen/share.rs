//! What the signature files of one recipe's tasks have in common, as JSON made ready. The files of a recipe show
//! much the same names and values, and recipes share many of them; each is escaped once and copied from then on.

use crate::packed::{NONE, OTHER, PackedSignatures, Tables, UNSAID};
use crate::sigdata::{SigData, VarVal, write_text};
use hz_diagnostics::Str;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// One name: a variable, function or flag.
struct Piece {
    /// Numbers of the names it depends on, if those are known.
    deps: Option<Box<[u32]>>,
    /// `"NAME"` and, if they are known, `:{DEPENDENCIES}`; then, if there is one, `"NAME":VALUE`.
    json: Box<str>,
    quoted: usize,
    value: usize,
    /// The name, and what its value adds to a base hash.
    plain: Box<str>,
    name: usize,
}

impl Piece {
    fn new([name, deps, value]: [u32; 3], tables: &dyn Tables) -> Piece {
        let text = tables.text(name);
        let (mut json, mut plain) = (String::new(), text.to_owned());
        write_text(&mut json, text);
        let quoted = json.len();
        let deps = (deps != UNSAID).then(|| tables.list(deps).into_boxed_slice());
        if let Some(deps) = &deps {
            push_set(&mut json, deps.iter().map(|id| tables.text(*id)).collect());
        }
        let before = json.len();
        if value != UNSAID {
            json.extend_from_within(..quoted);
            json.push(':');
            push_value(&mut json, &mut plain, value, tables);
        }
        Piece { deps, json: json.into_boxed_str(), quoted, value: before, plain: plain.into_boxed_str(), name: text.len() }
    }

    fn name(&self) -> &str {
        &self.plain[..self.name]
    }
    /// What the value adds to a base hash.
    fn adds(&self) -> &str {
        &self.plain[self.name..]
    }
    fn shown(&self) -> &str {
        &self.json[..self.quoted]
    }
    fn shown_deps(&self) -> Option<&str> {
        self.deps.is_some().then(|| &self.json[..self.value])
    }
    /// None: nothing is known of it, while a value that is missing is shown as null.
    fn shown_value(&self) -> Option<&str> {
        Some(&self.json[self.value..]).filter(|shown| !shown.is_empty())
    }
}

fn push_set(json: &mut String, mut names: Vec<&str>) {
    if !names.is_sorted_by(|a, b| a < b) {
        names.sort_unstable();
        names.dedup();
    }
    json.push_str(":{\"_set_object\":[");
    for (n, name) in names.into_iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        write_text(json, name);
    }
    json.push_str("]}");
}

fn push_value(json: &mut String, plain: &mut String, value: u32, tables: &dyn Tables) {
    if value == NONE {
        json.push_str("null");
    } else if value & OTHER != 0 {
        let value: VarVal = serde_json::from_str(tables.text(value & !OTHER)).unwrap_or(VarVal::None);
        value.write(json);
        if value != VarVal::None {
            plain.push_str(&value.to_text());
        }
    } else {
        write_text(json, tables.text(value));
        plain.push_str(tables.text(value));
    }
}

/// What was made ready of the nodes of some tables.
#[derive(Default)]
pub struct Pieces {
    /// Where the tables are: numbers of others say other things.
    tables: usize,
    known: FxHashMap<u32, Arc<Piece>>,
    places: Places,
}

impl Pieces {
    fn piece(&mut self, node: u32, tables: &dyn Tables) -> Arc<Piece> {
        let at = std::ptr::from_ref(tables).cast::<()>() as usize;
        if at != self.tables {
            self.known.clear();
            self.tables = at;
        }
        self.known.entry(node).or_insert_with(|| Arc::new(Piece::new(tables.node(node), tables))).clone()
    }
}

/// Places of names by their numbers, for one recipe after the other: with the place stands the round it is of.
#[derive(Default)]
struct Places {
    round: u32,
    of: Vec<(u32, u32)>,
}

impl Places {
    fn begin(&mut self) {
        self.round += 1;
    }
    /// False: the name had a place already.
    fn set(&mut self, name: u32, place: u32) -> bool {
        let at = name as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, (0, 0));
        }
        std::mem::replace(&mut self.of[at], (self.round, place)).0 != self.round
    }
    /// Of a name that has one: places, sorted.
    fn sorted(&self, names: &[u32], places: &mut Vec<u32>) {
        let start = places.len();
        places.extend(names.iter().map(|name| self.of[*name as usize].1));
        if !places[start..].is_sorted_by(|a, b| a < b) {
            places[start..].sort_unstable();
        }
    }
}

/// Which of a recipe's names are among others, by place.
type Among = (BTreeSet<Str>, Vec<bool>);

/// The recipe's share of its tasks' files.
pub struct Share {
    /// In the order of the names, each with where the places of those it depends on end in `deps`.
    names: Vec<(Arc<Piece>, usize)>,
    deps: Vec<u32>,
    /// Place of a task, and its closure (places) if that does not follow from the dependencies.
    tasks: FxHashMap<Str, (u32, Option<Vec<u32>>)>,
    /// The names left out of base hashes: all files leave out the same.
    ignored: OnceLock<Among>,
}

/// What is in a task's file: places of names.
struct Content<'a> {
    own: u32,
    /// Of the names that enter its base hash.
    closure: Vec<u32>,
    /// By place: is its value left out?
    ignored: Cow<'a, [bool]>,
}

/// A name that should be known and is not.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown(pub Str);

impl Share {
    pub fn new(packed: &PackedSignatures, tables: &dyn Tables) -> Share {
        Share::with(packed, tables, &mut Pieces::default())
    }

    /// The same, with what is made ready already. The tables only grow as long as `pieces` is in use.
    pub fn with(packed: &PackedSignatures, tables: &dyn Tables, pieces: &mut Pieces) -> Share {
        pieces.places.begin();
        let mut names: Vec<(u32, Arc<Piece>)> = Vec::with_capacity(packed.nodes.len() + 16);
        for node in &packed.nodes {
            let name = tables.node(*node)[0];
            if pieces.places.set(name, 0) {
                names.push((name, pieces.piece(*node, tables)));
            }
        }
        let closures: Vec<Option<Vec<u32>>> = packed.taskdeps.iter().map(|(_, list)| (*list != NONE).then(|| tables.list(*list))).collect();
        // Almost always all of these have a node.
        let mut more: Vec<u32> = packed.taskdeps.iter().map(|(task, _)| *task).chain(closures.iter().flatten().flatten().copied()).collect();
        more.extend(names.iter().filter_map(|(_, piece)| piece.deps.as_deref()).flatten());
        for name in more {
            if pieces.places.set(name, 0) {
                names.push((name, Arc::new(Piece::new([name, UNSAID, UNSAID], tables))));
            }
        }
        if !names.is_sorted_by(|(_, a), (_, b)| a.name() < b.name()) {
            names.sort_by(|(_, a), (_, b)| a.name().cmp(b.name()));
        }
        let places = &mut pieces.places;
        for (place, (name, _)) in names.iter().enumerate() {
            places.set(*name, place as u32);
        }

        let mut deps = Vec::new();
        let mut with_deps = |(_, piece): (u32, Arc<Piece>)| {
            places.sorted(piece.deps.as_deref().unwrap_or_default(), &mut deps);
            (piece, deps.len())
        };
        let names = names.into_iter().map(&mut with_deps).collect();
        let sorted = |list: &Vec<u32>| {
            let mut closure = Vec::with_capacity(list.len());
            places.sorted(list, &mut closure);
            closure.dedup();
            closure
        };
        let task = |((task, _), closure): (&(u32, u32), &Option<Vec<u32>>)| {
            (tables.text(*task).into(), (places.of[*task as usize].1, closure.as_ref().map(sorted)))
        };
        let tasks = packed.taskdeps.iter().zip(&closures).map(task).collect();
        Share { tasks, names, deps, ignored: OnceLock::new() }
    }

    /// Places of the names that the one at a place depends on.
    fn deps(&self, place: u32) -> &[u32] {
        let at = place as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.names[before].1);
        &self.deps[start..self.names[at].1]
    }

    /// Place of the task and those of the names that enter its base hash, sorted.
    fn closure(&self, task: &str) -> Result<(u32, Vec<u32>), Unknown> {
        let (own, closure) = self.tasks.get(task).ok_or_else(|| Unknown(task.into()))?;
        if let Some(closure) = closure {
            return Ok((*own, closure.clone()));
        }
        let mut seen = vec![false; self.names.len()];
        let mut next = self.deps(*own).to_vec();
        while let Some(place) = next.pop() {
            if !std::mem::replace(&mut seen[place as usize], true) {
                next.extend(self.deps(place));
            }
        }
        Ok((*own, (0..self.names.len() as u32).filter(|place| seen[*place as usize]).collect()))
    }

    fn among(&self, names: &BTreeSet<Str>) -> Among {
        let mut rest = names.iter().map(|name| &**name).peekable();
        let is_one = |(piece, _): &(Arc<Piece>, usize)| {
            // Both are sorted.
            while rest.next_if(|name| *name < piece.name()).is_some() {}
            rest.peek().is_some_and(|name| *name == piece.name())
        };
        (names.clone(), self.names.iter().map(is_one).collect())
    }

    /// The file of a task: its JSON, and the base hash that this content gives. `head` has all that is not
    /// the recipe's; its own `taskdeps`, `gendeps` and `varvals` count for nothing.
    ///
    /// # Errors
    /// The task, or a name it depends on, is not known.
    pub fn file(&self, task: &str, head: &SigData) -> Result<(String, Str), Unknown> {
        let mut json = String::new();
        let basehash = self.file_into(task, head, &mut json)?;
        Ok((json, basehash))
    }

    /// The same, with the JSON put behind what there is of `json`.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn file_into(&self, task: &str, head: &SigData, json: &mut String) -> Result<Str, Unknown> {
        let content = self.content(task, head)?;
        self.write(&content, head, json)?;
        Ok(self.basehash(&content))
    }

    /// The JSON alone: for a base hash that was made of this very content there is nothing to compare.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn text_into(&self, task: &str, head: &SigData, json: &mut String) -> Result<(), Unknown> {
        self.write(&self.content(task, head)?, head, json)
    }

    fn content(&self, task: &str, head: &SigData) -> Result<Content<'_>, Unknown> {
        let (own, closure) = self.closure(task)?;
        let kept = self.ignored.get_or_init(|| self.among(&head.basehash_ignore_vars));
        let ignored = if kept.0 == head.basehash_ignore_vars {
            Cow::Borrowed(&kept.1[..])
        } else {
            Cow::Owned(self.among(&head.basehash_ignore_vars).1)
        };
        Ok(Content { own, closure, ignored })
    }

    fn piece(&self, place: u32) -> &Piece {
        &self.names[place as usize].0
    }

    fn write(&self, content: &Content<'_>, head: &SigData, json: &mut String) -> Result<(), Unknown> {
        let Content { own, closure, ignored } = content;
        let shown: Vec<u32> = closure.iter().copied().filter(|place| !ignored[*place as usize]).collect();
        let mut values = shown.clone();
        if let Err(at) = values.binary_search(own) {
            values.insert(at, *own);
        }
        let unknown = |place: u32| Unknown(self.piece(place).name().into());
        let all = |places: &[u32], shown: fn(&Piece) -> Option<&str>| places.iter().map(|place| shown(self.piece(*place)).ok_or_else(|| unknown(*place))).collect::<Result<Vec<&str>, Unknown>>();
        let gendeps: Vec<&str> = all(&shown, Piece::shown_deps)?;
        let varvals: Vec<&str> = all(&values, Piece::shown_value)?;
        json.reserve(gendeps.iter().chain(&varvals).map(|shown| shown.len() + 1).sum::<usize>() + 16 * 1024);
        head.write_json(
            json,
            |json| push_all(json, gendeps),
            |json| push_all(json, closure.iter().map(|place| self.piece(*place).shown())),
            |json| push_all(json, varvals),
        );
        Ok(())
    }

    fn basehash(&self, content: &Content<'_>) -> Str {
        let Content { own, closure, ignored } = content;
        let mut hash = Sha256::new();
        hash.update(self.piece(*own).adds());
        for place in closure {
            let (piece, is_shown) = (self.piece(*place), place == own || !ignored[*place as usize]);
            hash.update(if is_shown { &*piece.plain } else { piece.name() });
        }
        hex::encode(hash.finalize()).into()
    }
}

fn push_all<'a>(json: &mut String, pieces: impl IntoIterator<Item = &'a str>) {
    for (n, piece) in pieces.into_iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        json.push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deps::RecipeSignatures;
    use crate::packed::Interner;
    use crate::sigdata::RunData;
    use std::collections::BTreeMap;

    fn recipe() -> RecipeSignatures {
        let mut found = RecipeSignatures::default();
        let mut name = |name: &str, deps: &[&str], value: VarVal| {
            found.gendeps.insert(name.into(), deps.iter().map(|dep| Str::from(*dep)).collect());
            found.varvals.insert(name.into(), value);
        };
        name("A", &["B", "Ignored"], VarVal::Str("say \"ä\"\n\\ \u{1f600}\u{7f}".into()));
        name("B", &["A"], VarVal::None);
        name("Ignored", &[], VarVal::Str("not shown".into()));
        name("Z[flag]", &[], VarVal::Int(7));
        name("do_own", &["A", "Z[flag]"], VarVal::Str("body".into()));
        name("do_x", &["A", "Z[flag]"], VarVal::Str("body".into()));
        found.taskdeps.insert("do_own".into(), vec!["B".into(), "Z[flag]".into()]);
        found.taskdeps.insert("do_x".into(), vec!["A".into(), "B".into(), "Ignored".into(), "Z[flag]".into()]);
        found
    }

    /// The same file, put together from whole tables.
    fn by_hand(found: &RecipeSignatures, task: &str, head: &SigData) -> SigData {
        let mut data = head.clone();
        data.taskdeps = found.taskdeps[task].iter().cloned().collect();
        data.varvals = BTreeMap::from([(task.into(), found.varvals[task].clone())]);
        for dep in data.taskdeps.iter().filter(|dep| !data.basehash_ignore_vars.contains(*dep)) {
            data.gendeps.insert(dep.clone(), found.gendeps[dep].iter().cloned().collect());
            data.varvals.insert(dep.clone(), found.varvals[dep].clone());
        }
        data
    }

    #[test]
    fn a_file_is_what_its_parts_say() {
        let found = recipe();
        let mut tables = Interner::default();
        let mut packed = PackedSignatures::pack(&found, &mut tables);
        let follows = packed.taskdeps.iter().position(|(task, _)| tables.text(*task) == "do_x").unwrap();
        packed.taskdeps[follows].1 = NONE;
        let share = Share::new(&packed, &tables);
        for task in ["do_own", "do_x"] {
            let mut head = SigData {
                task: Some(task.into()),
                basehash: "123".into(),
                basehash_ignore_vars: ["Ignored".into(), "Elsewhere".into()].into(),
                taint: Some("t".into()),
                ..SigData::default()
            };
            for run in [None, Some(RunData { runtaskdeps: vec!["pn:do_y".into()], taskhash: "h".into(), ..RunData::default() })] {
                head.run = run;
                let (json, basehash) = share.file(task, &head).unwrap();
                let expected = by_hand(&found, task, &head);
                assert_eq!(json, expected.to_json());
                assert_eq!(Some(basehash), crate::calc_basehash(&expected));
                let mut text = "before".to_owned();
                share.text_into(task, &head, &mut text).unwrap();
                assert_eq!(text, format!("before{json}"));
                assert_eq!(SigData::from_json(&json).unwrap(), expected);
            }
        }
    }

    /// Pieces serve several recipes of the same tables, and are made anew for those of others.
    #[test]
    fn pieces_belong_to_their_tables() {
        let mut pieces = Pieces::default();
        let file = |value: &str, pieces: &mut Pieces| {
            let mut found = recipe();
            found.varvals.insert("A".into(), VarVal::Str(value.into()));
            let mut tables = Interner::default();
            let packed = PackedSignatures::pack(&found, &mut tables);
            // Kept, so that the next ones stand elsewhere.
            let tables: &'static Interner = Box::leak(Box::new(tables));
            let (json, hash) = Share::with(&packed, tables, pieces).file("do_x", &SigData::default()).unwrap();
            assert_eq!(Share::with(&packed, tables, pieces).file("do_x", &SigData::default()), Ok((json.clone(), hash)));
            assert_eq!(json, by_hand(&found, "do_x", &SigData::default()).to_json());
        };
        file("one", &mut pieces);
        file("two", &mut pieces);
    }

    #[test]
    fn other_names_may_be_left_out_than_before() {
        let found = recipe();
        let mut tables = Interner::default();
        let share = Share::new(&PackedSignatures::pack(&found, &mut tables), &tables);
        for ignored in ["Ignored", "B"] {
            let head = SigData { basehash_ignore_vars: [ignored.into()].into(), ..SigData::default() };
            assert_eq!(share.file("do_x", &head).unwrap().0, by_hand(&found, "do_x", &head).to_json());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut found = recipe();
        found.varvals.shift_remove("B");
        let mut tables = Interner::default();
        let share = Share::new(&PackedSignatures::pack(&found, &mut tables), &tables);
        assert_eq!(share.file("do_x", &SigData::default()).unwrap_err(), Unknown("B".into()));
        assert_eq!(share.text_into("do_x", &SigData::default(), &mut String::new()), Err(Unknown("B".into())));
        assert_eq!(share.file("do_nothing", &SigData::default()).unwrap_err(), Unknown("do_nothing".into()));
    }
}
