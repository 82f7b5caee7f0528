//! Recursive task dependencies: `do_x[recrdeptask] = "do_y"` makes do_x wait for the do_y of
//! everything it depends on, however indirectly.

use crate::Bits;
use crate::taskgraph::Draft;
use hz_diagnostics::Str;
use indexmap::IndexMap;
use rustc_hash::FxHashMap;

/// A task with `[recrdeptask]`.
pub(crate) struct RecursiveTask {
    pub names: Vec<Str>,
    /// `[recideptask]`: tasks of the same recipe whose dependencies count as well.
    pub also: Vec<u32>,
    /// Its own name is among `names`.
    pub refers_to_itself: bool,
}

/// For each task, the recipes of all tasks below it. Tasks in a loop only get what lies outside.
fn recipes_below(draft: &Draft) -> Vec<Bits> {
    let count = draft.depends.len();
    let mut waiting: Vec<Vec<u32>> = vec![Vec::new(); count];
    let mut open: Vec<usize> = vec![0; count];
    for (id, deps) in draft.depends.iter().enumerate() {
        open[id] = deps.len();
        for dep in deps {
            waiting[*dep as usize].push(id as u32);
        }
    }
    let mut below = vec![Bits::new(draft.recipe_count); count];
    let mut ready: Vec<usize> = (0..count).filter(|id| open[*id] == 0).collect();
    while let Some(id) = ready.pop() {
        let own = std::mem::take(&mut below[id]);
        for above in &waiting[id] {
            let above = *above as usize;
            below[above].insert(draft.recipes[id] as usize);
            below[above].union(&own);
            open[above] -= 1;
            if open[above] == 0 {
                ready.push(above);
            }
        }
        below[id] = own;
    }
    below
}

struct State {
    deps: Bits,
    /// Dependencies whose recipes were not looked at yet.
    fresh: Vec<u32>,
    /// Recipes looked at.
    seen: Bits,
    mask: usize,
    /// Dependencies that are recursive themselves.
    recursive_deps: Vec<u32>,
    /// When it changed last and when it was last worked on.
    changed: u64,
    worked: u64,
}

/// Adds the recursive dependencies to the draft.
pub(crate) fn resolve(draft: &mut Draft, recursive: &IndexMap<u32, RecursiveTask>) {
    if recursive.is_empty() {
        return;
    }
    let below = recipes_below(draft);
    let count = draft.depends.len();

    // Tasks by name, as masks: one for each distinct list of names.
    let mut by_name: FxHashMap<&str, Vec<u32>> = FxHashMap::default();
    for (id, tid) in draft.tids.iter().enumerate() {
        by_name.entry(tid.rsplit_once(':').map_or("", |(_, name)| name)).or_default().push(id as u32);
    }
    let mut mask_of: FxHashMap<&[Str], usize> = FxHashMap::default();
    let mut masks: Vec<Bits> = Vec::new();
    let mut position = vec![u32::MAX; count];
    let mut states: Vec<State> = Vec::with_capacity(recursive.len());
    for (index, (id, task)) in recursive.iter().enumerate() {
        position[*id as usize] = index as u32;
        let mask = *mask_of.entry(&task.names).or_insert_with(|| {
            let mut mask = Bits::new(count);
            for name in &task.names {
                by_name.get(&**name).into_iter().flatten().for_each(|id| { mask.insert(*id as usize); });
            }
            masks.push(mask);
            masks.len() - 1
        });
        let mut deps = Bits::new(count);
        let direct = &draft.depends[*id as usize];
        direct.iter().for_each(|dep| { deps.insert(*dep as usize); });
        let mut fresh = direct.clone();
        for also in &task.also {
            fresh.push(*also);
            // A recursive one's own additions count too; those are picked up below.
            fresh.extend(&draft.depends[*also as usize]);
        }
        states.push(State { deps, fresh, seen: Bits::new(draft.recipe_count), mask, recursive_deps: Vec::new(), changed: 1, worked: 0 });
    }
    for index in 0..states.len() {
        let list = states[index].deps.iter().map(|dep| position[dep]).filter(|at| *at != u32::MAX).collect();
        states[index].recursive_deps = list;
    }

    let mut clock = 1;
    loop {
        let mut added = false;
        for (index, (id, task)) in recursive.iter().enumerate() {
            let mut new: Vec<u32> = Vec::new();
            // What recipes further down bring in.
            let mut recipes = Bits::new(draft.recipe_count);
            for dep in std::mem::take(&mut states[index].fresh) {
                recipes.union(&below[dep as usize]);
            }
            let state = &mut states[index];
            for recipe in recipes.iter() {
                if state.seen.insert(recipe) {
                    for name in &task.names {
                        if let Some(dep) = draft.task_of(recipe as u32, name).filter(|dep| dep != id)
                            && state.deps.insert(dep as usize)
                        {
                            new.push(dep);
                        }
                    }
                }
            }
            // What recursive tasks that this one waits for have found.
            let take = |state: &mut State, dep: usize, new: &mut Vec<u32>| state.deps.insert(dep).then(|| new.push(dep as u32));
            let mut at = 0;
            let known = states[index].recursive_deps.len();
            let joined: Vec<u32> = new.iter().map(|dep| position[*dep as usize]).filter(|at| *at != u32::MAX).collect();
            states[index].recursive_deps.extend(joined);
            let candidates = states[index].recursive_deps.clone();
            for other in &candidates {
                let other = *other as usize;
                at += 1;
                if other == index || (at <= known && states[other].changed <= states[index].worked) {
                    continue;
                }
                let missing = states[index].deps.missing(&states[other].deps, &masks[states[index].mask]);
                let found: Vec<usize> = missing.iter().collect();
                for dep in found {
                    take(&mut states[index], dep, &mut new);
                    if position[dep] != u32::MAX {
                        states[index].recursive_deps.push(position[dep]);
                    }
                }
            }
            // `recideptask` of a recursive task: its additions count like direct ones.
            for also in &task.also {
                let other = position[*also as usize];
                if other != u32::MAX && states[other as usize].changed > states[index].worked {
                    let deps: Vec<u32> = states[other as usize].deps.iter().map(|dep| dep as u32).collect();
                    states[index].fresh.extend(deps);
                }
            }
            clock += 1;
            states[index].worked = clock;
            if !new.is_empty() {
                added = true;
                clock += 1;
                states[index].changed = clock;
                states[index].fresh.extend(new);
            }
        }
        if !added && states.iter().all(|state| state.fresh.is_empty()) {
            break;
        }
    }

    // "do_a[recrdeptask] = do_a" must not make the do_a of two recipes wait for each other.
    let mut itself = Bits::new(count);
    recursive.iter().filter(|(_, task)| task.refers_to_itself).for_each(|(id, _)| { itself.insert(*id as usize); });
    for ((id, task), state) in recursive.iter().zip(&states) {
        let deps = state.deps.iter().filter(|dep| !(task.refers_to_itself && itself.contains(*dep)));
        draft.depends[*id as usize] = deps.map(|dep| dep as u32).collect();
    }
}
