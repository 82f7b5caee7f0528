//! What the signature files of one recipe's tasks have in common, as JSON made ready. The files of a recipe show
//! much the same names and values; each text is escaped once and copied from then on.

use crate::packed::{NONE, OTHER, PackedSignatures, Tables};
use crate::sigdata::{SigData, VarVal, write_text};
use hz_diagnostics::Str;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::Range;

/// One name of the recipe: a variable, function or flag.
struct Name {
    /// Places of the names it depends on.
    deps: Vec<u32>,
    /// Are those known at all?
    has_deps: bool,
    text: Range<usize>,
    /// As `"NAME"`, as `"NAME":{DEPENDENCIES}` and as `"NAME":VALUE`; a missing value is not there.
    shown: Range<usize>,
    shown_deps: Range<usize>,
    shown_value: Option<Range<usize>>,
    /// What its value adds to a base hash.
    value: Range<usize>,
}

/// The recipe's share of its tasks' files.
pub struct Share {
    /// In the order of the names.
    names: Vec<Name>,
    places: FxHashMap<Str, u32>,
    /// Tasks with a closure of their own (places), or None where it follows from the dependencies.
    tasks: FxHashMap<Str, Option<Vec<u32>>>,
    json: String,
    plain: String,
}

/// A name that should be known and is not.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown(pub Str);

impl Share {
    pub fn new(packed: &PackedSignatures, tables: &dyn Tables) -> Share {
        let (gendeps, varvals) = (packed.gendeps(tables), packed.varvals(tables));
        let mut ids: Vec<u32> = Vec::with_capacity(varvals.len() + 16);
        let mut known: FxHashMap<u32, u32> = FxHashMap::default();
        let mut add = |id: u32| {
            if known.insert(id, 0).is_none() {
                ids.push(id);
            }
        };
        // Almost always these have the same names, sorted.
        varvals.iter().for_each(|(name, _)| add(*name));
        let lists: Vec<Vec<u32>> = gendeps.iter().map(|(_, list)| tables.list(*list)).collect();
        let closures: Vec<Option<Vec<u32>>> =
            packed.taskdeps.iter().map(|(_, list)| (*list != NONE).then(|| tables.list(*list))).collect();
        gendeps.iter().for_each(|(name, _)| add(*name));
        packed.taskdeps.iter().for_each(|(task, _)| add(*task));
        lists.iter().chain(closures.iter().flatten()).flatten().for_each(|name| add(*name));
        if !ids.is_sorted_by(|a, b| tables.text(*a) < tables.text(*b)) {
            ids.sort_by(|a, b| tables.text(*a).cmp(tables.text(*b)));
        }
        known.extend(ids.iter().enumerate().map(|(place, id)| (*id, place as u32)));

        let mut share = Share {
            names: Vec::with_capacity(ids.len()),
            places: FxHashMap::default(),
            tasks: FxHashMap::default(),
            json: String::with_capacity(256 * 1024),
            plain: String::with_capacity(128 * 1024),
        };
        for (place, id) in ids.iter().enumerate() {
            let text = tables.text(*id);
            share.places.insert(text.into(), place as u32);
            let shown = grown(&mut share.json, |json| write_text(json, text));
            let text = grown(&mut share.plain, |plain| plain.push_str(text));
            share.names.push(Name { deps: Vec::new(), has_deps: false, text, shown, shown_deps: 0..0, shown_value: None, value: 0..0 });
        }
        let sorted = |list: &[u32]| {
            let mut places: Vec<u32> = list.iter().map(|id| known[id]).collect();
            if !places.is_sorted_by(|a, b| a < b) {
                places.sort_unstable();
                places.dedup();
            }
            places
        };
        for ((name, _), list) in gendeps.iter().zip(&lists) {
            let place = known[name] as usize;
            let deps = sorted(list);
            let start = share.json.len();
            share.json.extend_from_within(share.names[place].shown.clone());
            share.json.push(':');
            share.push_set(&deps);
            share.names[place].shown_deps = start..share.json.len();
            share.names[place].deps = deps;
            share.names[place].has_deps = true;
        }
        for (name, value) in &varvals {
            let place = known[name] as usize;
            let start = share.json.len();
            share.json.extend_from_within(share.names[place].shown.clone());
            share.json.push(':');
            share.names[place].value = match *value {
                NONE => {
                    share.json.push_str("null");
                    0..0
                }
                id if id & OTHER != 0 => {
                    let value: VarVal = serde_json::from_str(tables.text(id & !OTHER)).unwrap_or(VarVal::None);
                    value.write(&mut share.json);
                    match value {
                        VarVal::None => 0..0,
                        value => grown(&mut share.plain, |plain| plain.push_str(&value.to_text())),
                    }
                }
                id => {
                    let text = tables.text(id);
                    write_text(&mut share.json, text);
                    grown(&mut share.plain, |plain| plain.push_str(text))
                }
            };
            share.names[place].shown_value = Some(start..share.json.len());
        }
        for ((task, _), closure) in packed.taskdeps.iter().zip(closures) {
            share.tasks.insert(tables.text(*task).into(), closure.map(|list| sorted(&list)));
        }
        share
    }

    fn push_set(&mut self, places: &[u32]) {
        self.json.push_str("{\"_set_object\":[");
        for (n, place) in places.iter().enumerate() {
            if n > 0 {
                self.json.push(',');
            }
            self.json.extend_from_within(self.names[*place as usize].shown.clone());
        }
        self.json.push_str("]}");
    }

    /// Places of the names that enter a task's base hash, sorted.
    fn closure(&self, task: &str) -> Result<Vec<u32>, Unknown> {
        let unknown = || Unknown(task.into());
        if let Some(closure) = self.tasks.get(task).ok_or_else(unknown)? {
            return Ok(closure.clone());
        }
        let start = *self.places.get(task).ok_or_else(unknown)?;
        let mut seen = vec![false; self.names.len()];
        let mut next = self.names[start as usize].deps.clone();
        while let Some(place) = next.pop() {
            if !std::mem::replace(&mut seen[place as usize], true) {
                next.extend(&self.names[place as usize].deps);
            }
        }
        Ok((0..self.names.len() as u32).filter(|place| seen[*place as usize]).collect())
    }

    /// The file of a task: its JSON, and the base hash that this content gives. `head` has all that is not
    /// the recipe's; its own `taskdeps`, `gendeps` and `varvals` count for nothing.
    ///
    /// # Errors
    /// The task, or a name it depends on, is not known.
    pub fn file(&self, task: &str, head: &SigData) -> Result<(String, Str), Unknown> {
        let closure = self.closure(task)?;
        let own = *self.places.get(task).ok_or_else(|| Unknown(task.into()))?;
        let ignored: BTreeSet<u32> = head.basehash_ignore_vars.iter().filter_map(|name| self.places.get(name).copied()).collect();
        let shown: Vec<u32> = closure.iter().copied().filter(|place| !ignored.contains(place)).collect();
        let name = |place: &u32| &self.names[*place as usize];
        let text = |place: &u32| &self.plain[name(place).text.clone()];
        let mut values = shown.clone();
        if let Err(at) = values.binary_search(&own) {
            values.insert(at, own);
        }
        if let Some(unknown) = shown.iter().find(|place| !name(place).has_deps).or(values.iter().find(|place| name(place).shown_value.is_none())) {
            return Err(Unknown(text(unknown).into()));
        }

        let mut hash = Sha256::new();
        hash.update(&self.plain[name(&own).value.clone()]);
        for place in &closure {
            hash.update(text(place));
            if *place == own || !ignored.contains(place) {
                hash.update(&self.plain[name(place).value.clone()]);
            }
        }

        let sizes = |place: &u32| name(place).shown.len() + name(place).shown_deps.len() + name(place).shown_value.as_ref().map_or(0, Range::len) + 3;
        let mut json = String::with_capacity(closure.iter().map(sizes).sum::<usize>() + 16 * 1024);
        let list = |json: &mut String, pieces: &mut dyn Iterator<Item = Range<usize>>| {
            for (n, piece) in pieces.enumerate() {
                if n > 0 {
                    json.push(',');
                }
                json.push_str(&self.json[piece]);
            }
        };
        head.write_json(
            &mut json,
            |json| list(json, &mut shown.iter().map(|place| name(place).shown_deps.clone())),
            |json| list(json, &mut closure.iter().map(|place| name(place).shown.clone())),
            |json| list(json, &mut values.iter().filter_map(|place| name(place).shown_value.clone())),
        );
        Ok((json, hex::encode(hash.finalize()).into()))
    }
}

/// Lets a text grow; gives where it grew.
fn grown(text: &mut String, grow: impl FnOnce(&mut String)) -> Range<usize> {
    let start = text.len();
    grow(text);
    start..text.len()
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
                assert_eq!(SigData::from_json(&json).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut found = recipe();
        found.varvals.shift_remove("B");
        let mut tables = Interner::default();
        let share = Share::new(&PackedSignatures::pack(&found, &mut tables), &tables);
        assert_eq!(share.file("do_x", &SigData::default()).unwrap_err(), Unknown("B".into()));
        assert_eq!(share.file("do_nothing", &SigData::default()).unwrap_err(), Unknown("do_nothing".into()));
    }
}
