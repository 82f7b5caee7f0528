//! Stamps: which tasks are done already, by what earlier builds left on disk.

use crate::{Result, RunQueue};
use hz_events::{level, log};
use hz_graph::{TaskId, fatal};
use hz_exec::stamps::Listings;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Time of a stamp; None: there is none. The reference looks at whole seconds, which is fine enough for
/// builds that take longer than that each: ours may run twice within one, and what ran in the second
/// of them is newer.
fn timestamp(path: &str) -> Option<(i64, i64)> {
    std::fs::metadata(path).ok().map(|meta| (meta.mtime(), meta.mtime_nsec()))
}

impl RunQueue {
    /// Is the stamp of a task (or of its setscene variant) current? It must exist, the task must
    /// not be `nostamp`, and no task of the same recipe it depends on may have a newer one. With
    /// `recurse` those must be current too; `stamp_cache` then remembers every answer.
    pub(crate) fn stamp_current(&mut self, id: TaskId, setscene: bool, recurse: bool) -> Result<bool> {
        // A stack of its own: dependency chains within a recipe have no bound.
        let mut stack = vec![match self.own_stamp(id, setscene)? {
            Ok(answer) => return Ok(answer),
            Err(time) => (id, time, 0),
        }];
        let mut answer = true;
        while let Some((id, time, next)) = stack.pop() {
            let dep = if answer { self.work.graph.task(id).depends.get(next).copied() } else { None };
            let Some(dep) = dep else {
                if recurse {
                    self.stamp_cache.insert(id, answer);
                }
                continue;
            };
            stack.push((id, time, next + 1));
            if self.work.file(id) != self.work.file(dep) {
                continue;
            }
            let done = timestamp(&self.sigs.stampfile(&self.work.graph, dep, false, true)?);
            let scene = timestamp(&self.sigs.stampfile(&self.work.graph, dep, true, true)?);
            match (done, scene) {
                (None, Some(_)) => continue,
                (Some(done), Some(scene)) if scene > done => continue,
                (None, None) => answer = false,
                (Some(done), _) if time < done => answer = false,
                _ if recurse => match self.stamp_cache.get(&dep) {
                    Some(known) => answer = *known,
                    None => match self.own_stamp(dep, false)? {
                        Ok(known) => {
                            self.stamp_cache.insert(dep, known);
                            answer = known;
                        }
                        Err(time) => stack.push((dep, time, 0)),
                    },
                },
                _ => {}
            }
        }
        Ok(answer)
    }

    /// The answer as far as the task's own stamp gives it, or the stamp's time.
    fn own_stamp(&self, id: TaskId, setscene: bool) -> Result<std::result::Result<bool, (i64, i64)>> {
        let path = self.sigs.stampfile(&self.work.graph, id, setscene, true)?;
        let Some(time) = timestamp(&path) else {
            log(level::DEBUG2, crate::DOMAIN, format!("Stampfile {path} not available"));
            return Ok(Ok(false));
        };
        let flags = &self.work.graph.info(id).task_deps.flags;
        let name = self.work.taskname(id);
        let nostamp = |name: &str| flags.get("nostamp").is_some_and(|table| table.contains_key(name));
        if if setscene { nostamp(&format!("{name}_setscene")) } else { nostamp(name) } {
            return Ok(Ok(false));
        }
        Ok(if setscene { Ok(true) } else { Err(time) })
    }

    /// Names under which a task's stamps of any hash are found, and those of its setscene variant.
    fn clean_masks(&self, id: TaskId, setscene: bool) -> Result<Vec<String>> {
        let mask = self.sigs.stampcleanmask(&self.work.graph, id, setscene)?;
        if mask.is_empty() {
            return Ok(Vec::new());
        }
        let name = &**self.work.taskname(id);
        let variant = mask.replace(name, &format!("{name}_setscene"));
        Ok(vec![mask, variant])
    }

    /// Writes the stamp of a task that needs no process, in place of older ones.
    pub(crate) fn make_stamp(&self, id: TaskId, setscene: bool) -> Result<()> {
        let path = self.sigs.stampfile(&self.work.graph, id, setscene, true)?;
        if path.is_empty() {
            return Ok(());
        }
        hz_exec::stamps::make(Path::new(&path), &self.clean_masks(id, setscene)?)
            .map_err(|e| fatal(crate::DOMAIN, format!("Unable to write the stamp {path}: {e}")))
    }

    /// Setscene tasks that have stamps of other hashes than the current one; told to the metadata,
    /// which removes what they stand for.
    pub(crate) fn tell_stale_stamps(&mut self) -> Result<()> {
        let mut listings = Listings::default();
        for (mc, set) in self.work.graph.plan.sets.values().enumerate() {
            let mut found = Vec::new();
            for id in self.sq.tids.iter().filter(|id| self.work.graph.task(**id).mc as usize == mc) {
                let masks = self.clean_masks(*id, false)?;
                if masks.is_empty() {
                    continue;
                }
                let stamps: Vec<String> =
                    masks.iter().flat_map(|mask| listings.matching(mask)).map(|path| path.to_string_lossy().into_owned()).collect();
                if stamps.is_empty() {
                    continue;
                }
                let current = self.sigs.stampfile(&self.work.graph, *id, false, true)?;
                let scene = self.sigs.stampfile(&self.work.graph, *id, true, true)?;
                let stale: Vec<String> = stamps.into_iter().filter(|path| *path != current && *path != scene).collect();
                if !stale.is_empty() {
                    found.push((*id, stale));
                }
            }
            if !found.is_empty() {
                self.hooks.stale_setscene(&self.work, &set.mc, &found)?;
            }
        }
        Ok(())
    }

    /// For a setscene task: needs no decision as it is `noexec`, or as a stamp says it is done.
    pub(crate) fn scene_stamps(&mut self, id: TaskId) -> Result<(bool, bool)> {
        if self.work.graph.has_flag(id, "noexec") {
            self.make_stamp(id, true)?;
            return Ok((true, false));
        }
        Ok((false, self.stamp_current(id, true, false)? || self.stamp_current(id, false, true)?))
    }
}

/// Reads a fakeroot log from its end back to the last start of its server. Lines come newest
/// first; None when none of them tells of trouble.
pub(crate) fn fakeroot_trouble(path: &str) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut trouble = false;
    let mut lines = String::new();
    for line in text.split_inclusive('\n').rev() {
        let lower = line.to_lowercase();
        trouble |= ["mismatch", "error", "fatal"].iter().any(|word| lower.contains(word));
        if line.contains("doing new pid setup and server start") {
            break;
        }
        lines += line;
    }
    (trouble && !lines.is_empty()).then_some(lines)
}


#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_one_second_have_an_order() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = |name: &str, nanoseconds: u32| {
            let path = dir.path().join(name);
            let file = std::fs::File::create(&path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, nanoseconds)).unwrap();
            timestamp(path.to_str().unwrap()).unwrap()
        };
        assert!(stamp("first", 100_000_000) < stamp("second", 104_000_000));
        assert_eq!(timestamp("/nowhere/at all"), None);
    }
}
