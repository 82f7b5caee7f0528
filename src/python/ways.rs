//! `bb.build.tasksbetween`: the ways through the tasks of a recipe.

use hz_diagnostics::Str;
use rustc_hash::FxHashMap;

/// A task that a way comes back to, and the way to it.
pub type Circle = (Str, Vec<Str>);

struct Search<'a> {
    end: &'a str,
    followers: FxHashMap<&'a str, Vec<&'a str>>,
    /// Whether a task that was looked at leads to the end. All on its ways has been found then.
    leads: FxHashMap<&'a str, bool>,
    between: Vec<Str>,
}

impl<'a> Search<'a> {
    fn follow(&mut self, task: &'a str, way: &mut Vec<&'a str>) -> Result<bool, Circle> {
        if way.contains(&task) {
            return Err((task.into(), way.iter().map(|task| Str::from(*task)).collect()));
        }
        way.push(task);
        let leads = match self.leads.get(task) {
            Some(leads) => *leads,
            None if task == self.end => true,
            None => {
                let mut leads = false;
                for other in self.followers.get(task).cloned().unwrap_or_default() {
                    leads |= self.follow(other, way)?;
                }
                leads
            }
        };
        if leads {
            self.found(way);
        }
        self.leads.insert(task, leads);
        way.pop();
        Ok(leads)
    }

    fn found(&mut self, way: &[&str]) {
        for task in way {
            if !self.between.iter().any(|known| **known == **task) {
                self.between.push((*task).into());
            }
        }
    }
}

/// The tasks on the ways from `start` to `end`, in the order in which the ways are found; `deps` has all tasks with
/// those that they run after.
pub fn between(deps: &[(Str, Vec<Str>)], start: &str, end: &str) -> Result<Vec<Str>, Circle> {
    let mut followers: FxHashMap<&str, Vec<&str>> = deps.iter().map(|(name, _)| (&**name, Vec::new())).collect();
    for (other, needed) in deps {
        for name in needed.iter().filter(|name| *name != other) {
            if let Some(after) = followers.get_mut(&**name)
                && !after.contains(&&**other)
            {
                after.push(other);
            }
        }
    }
    let mut search = Search { end, followers, leads: FxHashMap::default(), between: Vec::new() };
    search.follow(start, &mut Vec::new())?;
    Ok(search.between)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deps(text: &str) -> Vec<(Str, Vec<Str>)> {
        let task = |line: &str| {
            let (name, needed) = line.split_once(':').unwrap();
            (name.into(), needed.split_whitespace().map(Into::into).collect())
        };
        text.split(',').map(task).collect()
    }

    /// Every way, one after the other.
    fn all(deps: &[(Str, Vec<Str>)], task: &str, end: &str, way: &[Str], between: &mut Vec<Str>) -> Result<(), Circle> {
        if way.iter().any(|known| **known == *task) {
            return Err((task.into(), way.to_vec()));
        }
        let way: Vec<Str> = way.iter().cloned().chain([task.into()]).collect();
        if task == end {
            way.iter().for_each(|task| if !between.contains(task) { between.push(task.clone()) });
            return Ok(());
        }
        if !deps.iter().any(|(name, _)| **name == *task) {
            return Ok(());
        }
        let after = deps.iter().filter(|(name, needed)| **name != *task && needed.iter().any(|name| **name == *task));
        after.map(|(name, _)| &**name).try_for_each(|other| all(deps, other, end, &way, between))
    }

    #[test]
    fn as_one_way_after_the_other() {
        for text in [
            "a:,b:a,c:b,d:c,x:a",
            "a:,b:a,c:a,d:b c,e:d,f:a e,g:f b",
            "a:,b:a,c:a b,d:b,e:c d,f:e,z:f a",
            "e:d,d:c b,c:a,b:a,a:",
            "a:c,b:a,c:b,d:c",
            "a:,b:a c,c:b,d:a",
            "a:a,b:a none,c:b",
        ] {
            let deps = deps(text);
            for (start, _) in &deps {
                for end in deps.iter().map(|(name, _)| &**name).chain(["none"]) {
                    let mut found = Vec::new();
                    let wanted = all(&deps, start, end, &[], &mut found).map(|()| found);
                    assert_eq!(between(&deps, start, end), wanted, "{start} to {end} in {text}");
                }
            }
        }
    }
}
