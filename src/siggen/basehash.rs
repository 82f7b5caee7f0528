//! Base hashes, made of what the signatures of a recipe say.
//!
//! They are not needed to parse a recipe, and most commands ask for those of few recipes. So parsers leave them
//! out, and who asks has them made of what the recipe cache holds.

use crate::packed::{NONE, Node, OTHER, PackedSignatures, Tables, UNSAID};
use crate::sigdata::VarVal;
use hz_diagnostics::Str;
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::cell::RefCell;

thread_local! {
    /// Room for names and values, used again.
    static ROW: RefCell<String> = RefCell::default();
}

/// What a value adds to a hash.
fn value_text(value: u32, tables: &(impl Tables + ?Sized)) -> Cow<'_, str> {
    match value {
        NONE | UNSAID => "".into(),
        id if id & OTHER != 0 => match serde_json::from_str::<VarVal>(tables.text(id & !OTHER)) {
            Ok(VarVal::None) | Err(_) => "".into(),
            Ok(value) => value.to_text().into_owned().into(),
        },
        id => tables.text(id).into(),
    }
}

impl PackedSignatures {
    /// Are these the signatures that this program makes, of which base hashes follow? A generator of somebody's own
    /// may make them of something else.
    pub fn say_base_hashes(&self) -> bool {
        self.taskdeps.iter().all(|(_, closure)| *closure == NONE)
    }

    /// The base hash of each task, in their order: SHA-256 over its value and the names and values of all that it depends
    /// on, sorted by the names.
    pub fn base_hashes(&self, tables: &(impl Tables + ?Sized)) -> Vec<[u8; 32]> {
        ROW.with_borrow_mut(|row| {
            row.clear();
            self.hashes(tables, row)
        })
    }

    /// Base hashes by the names of the tasks, as people know them.
    pub fn by_task(&self, hashes: &[[u8; 32]], tables: &(impl Tables + ?Sized)) -> IndexMap<Str, Str> {
        let names = self.taskdeps.iter().map(|(task, _)| Str::from(tables.text(*task)));
        names.zip(hashes).map(|(name, hash)| (name, hex::encode(hash).into())).collect()
    }

    fn hashes(&self, tables: &(impl Tables + ?Sized), row: &mut String) -> Vec<[u8; 32]> {
        // From here on a name is its rank among the names of the recipe.
        let nodes: Vec<Node> = self.nodes.iter().map(|id| tables.node(*id)).collect();
        let rank: FxHashMap<u32, u32> = nodes.iter().enumerate().map(|(at, node)| (node[0], at as u32)).collect();
        // All names and values in a row: what enters a hash are stretches of it.
        let mut ends: Vec<usize> = Vec::with_capacity(nodes.len() + 1);
        ends.push(0);
        let mut deps: Vec<u32> = Vec::with_capacity(nodes.len() * 12);
        let mut deps_end: Vec<usize> = Vec::with_capacity(nodes.len());
        for [name, list, value] in &nodes {
            row.push_str(tables.text(*name));
            row.push_str(&value_text(*value, tables));
            ends.push(row.len());
            if *list != UNSAID {
                tables.each(*list, &mut |id| deps.extend(rank.get(&id)));
            }
            deps_end.push(deps.len());
        }
        let deps_of = |at: u32| &deps[if at == 0 { 0 } else { deps_end[at as usize - 1] }..deps_end[at as usize]];

        let mut found = Vec::with_capacity(self.taskdeps.len());
        let mut seen = vec![0u64; nodes.len().div_ceil(64)];
        let mut next: Vec<u32> = Vec::new();
        for (task, _) in &self.taskdeps {
            seen.fill(0);
            let mut hash = Sha256::new();
            next.clear();
            if let Some(at) = rank.get(task) {
                hash.update(value_text(nodes[*at as usize][2], tables).as_bytes());
                next.extend(deps_of(*at));
            }
            while let Some(at) = next.pop() {
                let (word, bit) = (at as usize / 64, 1u64 << (at % 64));
                if seen[word] & bit == 0 {
                    seen[word] |= bit;
                    next.extend(deps_of(at).iter().filter(|at| seen[**at as usize / 64] & (1 << (**at % 64)) == 0));
                }
            }
            let mut stretch = 0..0;
            for (word, bits) in seen.iter().enumerate() {
                let mut bits = *bits;
                while bits != 0 {
                    let at = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if stretch.end != ends[at] {
                        hash.update(&row.as_bytes()[stretch]);
                        stretch = ends[at]..ends[at];
                    }
                    stretch.end = ends[at + 1];
                }
            }
            hash.update(&row.as_bytes()[stretch]);
            found.push(hash.finalize().into());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecipeSignatures;
    use crate::packed::Interner;

    #[test]
    fn a_hash_is_that_of_value_names_and_values_in_their_order() {
        let mut found = RecipeSignatures::default();
        let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<hz_diagnostics::Str>>();
        found.gendeps.insert("do_x".into(), list(&["B", "A"]));
        found.gendeps.insert("do_y".into(), vec![]);
        found.gendeps.insert("A".into(), list(&["C", "do_x"]));
        found.gendeps.insert("B".into(), vec![]);
        found.gendeps.insert("C".into(), vec![]);
        found.gendeps.insert("D".into(), vec![]);
        let json = VarVal::Other { json: "[1]".into(), text: "[1]".into() };
        let values = [("do_x", VarVal::Str("x".into())), ("A", VarVal::Int(7)), ("B", VarVal::None), ("C", json), ("D", VarVal::Bool(true))];
        values.into_iter().for_each(|(name, value)| drop(found.varvals.insert(name.into(), value)));
        let mut tables = Interner::default();
        tables.intern("something before");
        let mut packed = PackedSignatures::pack(&found, &mut tables);
        packed.taskdeps = ["do_x", "do_y", "do_z"].map(|task| (tables.intern(task), NONE)).to_vec();
        assert!(packed.say_base_hashes());
        let sum = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        assert_eq!(packed.base_hashes(&tables), [sum("xA7BC[1]do_xx"), sum(""), sum("")]);
        packed.taskdeps[0].1 = 0;
        assert!(!packed.say_base_hashes(), "somebody else's");
    }
}
