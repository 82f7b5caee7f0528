//! Where values came from: the operations on every variable, and the tree of included files.

use std::sync::atomic::{AtomicBool, Ordering};
use crate::pmap::{Named, PMap, hash_name};
use crate::store::{Ctx, State};
use crate::{DataStore, HistoryEntry, Origin, Result, SetInfo, Value, text};
use hz_diagnostics::Str;
use indexmap::IndexMap;
use std::io::{self, Write};
use std::sync::Arc;

pub(crate) const FROM_EXPAND_KEYS: Origin = ("data.py", 97, "expandKeys");
pub(crate) const FROM_ENVIRONMENT: Origin = ("data.py", 105, "inheritFromOS");
pub(crate) const FROM_ENVIRONMENT_EXPORT: Origin = ("data.py", 107, "inheritFromOS");
pub(crate) const FROM_RENAMED_SET: Origin = ("data_smart.py", 559, "setVar");
pub(crate) const FROM_RENAMED_FLAG: Origin = ("data_smart.py", 753, "setVarFlag");
pub(crate) const FROM_SET: Origin = ("data_smart.py", 614, "setVar");
pub(crate) const FROM_RENAME: Origin = ("data_smart.py", 696, "renameVar");
pub(crate) const FROM_VARREF: Origin = ("data_smart.py", 1039, "expandVarref");

/// All operations on one variable.
#[derive(Clone)]
pub(crate) struct VariableLog {
    name: Str,
    entries: Vec<HistoryEntry>,
}
impl Named for VariableLog {
    const WATCHED: bool = false;
    fn name(&self) -> &str {
        &self.name
    }
}

pub(crate) type History = PMap<VariableLog>;

/// The files evaluated so far, as a tree in one vector; entry 0 is the root.
#[derive(Clone)]
pub(crate) struct Includes {
    nodes: Arc<Vec<IncludeNode>>,
    current: u32,
}
#[derive(Clone)]
struct IncludeNode {
    file: Str,
    parent: u32,
    children: Vec<u32>,
}

impl Includes {
    pub fn new() -> Self {
        let root = IncludeNode { file: "[TOP LEVEL]".into(), parent: 0, children: Vec::new() };
        Includes { nodes: Arc::new(vec![root]), current: 0 }
    }
    /// A copy continues at the root, wherever the original stands.
    pub fn copy(&self) -> Self {
        Includes { nodes: self.nodes.clone(), current: 0 }
    }
    /// Every file with the index of the one that included it.
    pub fn saved(&self) -> Vec<(Str, u32)> {
        self.nodes.iter().map(|node| (node.file.clone(), node.parent)).collect()
    }
    /// The tree again, as a copy has it; what names no file before it hangs on the root.
    pub fn restored(saved: Vec<(Str, u32)>) -> Self {
        let mut includes = Includes::new();
        for (file, parent) in saved.into_iter().skip(1) {
            includes.current = if (parent as usize) < includes.nodes.len() { parent } else { 0 };
            includes.enter(&file);
        }
        includes.current = 0;
        includes
    }
    fn enter(&mut self, file: &str) {
        let nodes = Arc::make_mut(&mut self.nodes);
        let new = nodes.len() as u32;
        nodes.push(IncludeNode { file: file.into(), parent: self.current, children: Vec::new() });
        nodes[self.current as usize].children.push(new);
        self.current = new;
    }
    fn emit(&self, out: &mut dyn Write, node: u32, level: usize) -> io::Result<()> {
        let item = &self.nodes[node as usize];
        if level == 0 {
            write!(out, "#\n# INCLUDE HISTORY:\n#")?;
        } else {
            write!(out, "# {}{}", "  ".repeat(level - 1), item.file)?;
            if !item.children.is_empty() {
                write!(out, " includes:")?;
            }
        }
        for &child in &item.children {
            writeln!(out)?;
            self.emit(out, child, level + 1)?;
        }
        Ok(())
    }
}

impl State {
    /// Records one operation, if history is kept and the place is known.
    pub(crate) fn record(&mut self, info: &SetInfo, variable: &str, op: &str, detail: &Value, flag: Option<&str>) {
        if !self.tracking || info.ignore {
            return;
        }
        let (file, line, func): (Str, u32, Option<Str>) = match (&info.file, info.origin) {
            (Some(file), _) => (file.clone(), info.line, info.func.clone()),
            (None, Some((file, line, func))) => (file.into(), line, Some(func.into())),
            (None, None) => return,
        };
        let name: Str = match self.vars.get(hash_name(variable), variable) {
            Some(var) => var.name.clone(),
            None => variable.into(),
        };
        let entry = HistoryEntry {
            variable: name,
            file,
            line,
            op: if op.is_empty() { "set".into() } else { op.into() },
            detail: detail.clone(),
            flag: flag.map(Str::from),
            func,
        };
        self.push_history(variable, entry);
    }

    fn push_history(&mut self, variable: &str, entry: HistoryEntry) {
        let name = entry.variable.clone();
        self.history
            .entry(hash_name(variable), variable, || VariableLog {
                name: if &*name == variable { name } else { variable.into() },
                entries: Vec::new(),
            })
            .entries
            .push(entry);
    }

    fn log_of(&self, variable: &str) -> &[HistoryEntry] {
        self.history.get(hash_name(variable), variable).map_or(&[], |log| &log.entries)
    }

    /// All of it, by variable.
    pub(crate) fn saved_history(&self) -> Vec<(Str, Vec<HistoryEntry>)> {
        self.history.iter().map(|log| (log.name.clone(), log.entries.clone())).collect()
    }

    pub(crate) fn restore_history(&mut self, saved: Vec<(Str, Vec<HistoryEntry>)>) {
        for (name, entries) in saved {
            for entry in entries {
                self.push_history(&name, entry);
            }
        }
    }

    pub(crate) fn rename_history(&mut self, old: &str, new: &str) {
        if !self.tracking {
            return;
        }
        for entry in self.log_of(old).to_vec() {
            self.push_history(new, entry);
        }
    }
}

/// Python's `re.sub('\n', '\n' + prefix, …)`.
fn continued(text: &str, prefix: &str) -> String {
    text.replace('\n', &format!("\n{prefix}"))
}

static TRACKED: AtomicBool = AtomicBool::new(false);

/// Did any store of this process ever keep a history? Where not, nobody need know what made a change.
pub fn is_anything_tracked() -> bool {
    TRACKED.load(Ordering::Relaxed)
}

impl DataStore {
    fn peek<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        self.locked(|ctx: &Ctx<'_>| read(&ctx.st.borrow()))
    }

    pub fn enable_tracking(&self) {
        TRACKED.store(true, Ordering::Relaxed);
        self.locked(|ctx| ctx.st.borrow_mut().tracking = true);
    }
    pub fn disable_tracking(&self) {
        self.locked(|ctx| ctx.st.borrow_mut().tracking = false);
    }
    pub fn is_tracking(&self) -> bool {
        self.peek(|st| st.tracking)
    }

    /// `varhistory.variable(name)`.
    pub fn history(&self, name: &str) -> Vec<HistoryEntry> {
        self.peek(|st| st.log_of(name).to_vec())
    }

    /// `varhistory.record(…)`: kept only while tracking is on.
    pub fn history_record(&self, entry: HistoryEntry) {
        self.locked(|ctx| {
            let mut st = ctx.st.borrow_mut();
            if st.tracking {
                let name = entry.variable.clone();
                st.push_history(&name, entry);
            }
        });
    }

    /// `varhistory.del_var_history(name)`: forgets everything about the variable.
    pub fn history_delete(&self, name: &str) {
        self.locked(|ctx| {
            if let Some(log) = ctx.st.borrow_mut().history.get_mut(hash_name(name), name) {
                log.entries.clear();
            }
        });
    }

    /// `varhistory.del_var_history(name, file, line)`: keeps what is neither of that file nor of
    /// that line.
    pub fn history_delete_at(&self, name: &str, file: &str, line: u32) {
        self.locked(|ctx| {
            if let Some(log) = ctx.st.borrow_mut().history.get_mut(hash_name(name), name) {
                log.entries.retain(|e| &*e.file != file && e.line != line);
            }
        });
    }

    /// `varhistory.rename_variable_hist(name, new)`: copies the entries to the new name.
    pub fn history_rename(&self, name: &str, new: &str) {
        self.locked(|ctx| ctx.st.borrow_mut().rename_history(name, new));
    }

    /// `varhistory.get_variable_files(name)`.
    pub fn history_files(&self, name: &str) -> Vec<Str> {
        self.peek(|st| st.log_of(name).iter().map(|e| e.file.clone()).collect())
    }

    /// `varhistory.get_variable_lines(name, file)`.
    pub fn history_lines(&self, name: &str, file: &str) -> Vec<u32> {
        self.peek(|st| st.log_of(name).iter().filter(|e| &*e.file == file).map(|e| e.line).collect())
    }

    /// `varhistory.get_variable_refs(name)`: lines by file.
    pub fn history_refs(&self, name: &str) -> IndexMap<Str, Vec<u32>> {
        let mut refs: IndexMap<Str, Vec<u32>> = IndexMap::new();
        self.peek(|st| {
            for entry in st.log_of(name) {
                refs.entry(entry.file.clone()).or_default().push(entry.line);
            }
        });
        refs
    }

    /// `varhistory.get_variable_items_files(name)`: which file brought each word of the value.
    pub fn history_items_files(&self, name: &str) -> Result<IndexMap<Str, Str>> {
        let value = self.get_or_empty(name)?;
        let present: Vec<&str> = text::words(&value).collect();
        let mut files = IndexMap::new();
        let mut is_set = false;
        for entry in self.history(name) {
            if entry.flag.is_some() || &*entry.op == ":remove" || (is_set && &*entry.op == "set?") {
                continue;
            }
            is_set = true;
            let items = self.expand(&entry.detail.to_text(), None)?;
            for item in text::words(&items) {
                if present.contains(&item) && !files.contains_key(item) {
                    files.insert(Str::from(item), entry.file.clone());
                }
            }
        }
        Ok(files)
    }

    /// `varhistory.emit(…)`: the comment `bitbake -e` writes before a variable. `value` is the
    /// unexpanded value.
    pub fn history_emit(&self, name: &str, value: Option<&Value>, out: &mut dyn Write) -> io::Result<()> {
        let mut entries = self.history(name);
        self.peek(|st| {
            let Some(var) = st.vars.get(hash_name(name), name) else { return };
            for (variant, over) in var.variants.iter().flat_map(|v| v.iter()) {
                for entry in st.log_of(variant) {
                    if entry.flag.as_ref().is_some_and(|flag| !flag.starts_with(['_', ':'])) {
                        continue;
                    }
                    let mut entry = entry.clone();
                    entry.variable = name.into();
                    entry.op = format!("override[{over}]:{}", entry.op).into();
                    entries.push(entry);
                }
            }
        });
        let value = value.map_or_else(|| Str::from("None"), Value::to_text);
        let value = continued(&value, "#");
        match entries.len() {
            0 => {
                write!(out, "#\n# ${name}\n#   [no history recorded]\n#\n")?;
                return writeln!(out, "#   \"{value}\"");
            }
            1 => write!(out, "#\n# ${name}\n")?,
            count => write!(out, "#\n# ${name} [{count} operations]\n")?,
        }
        for entry in &entries {
            // Code of the program itself: the directory it happens to be installed in says nothing.
            let (file, func) = match &entry.func {
                Some(func) => (entry.file.rsplit('/').next().unwrap_or_default(), format!(" [{func}]")),
                None => (&*entry.file, String::new()),
            };
            let flag = entry.flag.as_ref().map(|flag| format!("[{flag}] ")).unwrap_or_default();
            let detail = continued(&entry.detail.to_text(), "#     ");
            write!(out, "#   {} {file}:{}{func}\n#     {flag}\"{detail}\"\n", entry.op, entry.line)?;
        }
        if entries.len() > 1 {
            write!(out, "# pre-expansion value:\n#   \"{value}\"\n")?;
        }
        Ok(())
    }

    /// Include history: enter a file; it becomes a child of the one being evaluated.
    pub fn include_enter(&self, file: &str) {
        self.locked(|ctx| ctx.st.borrow_mut().includes.enter(file));
    }

    /// Include history: back to the file that included this one.
    pub fn include_leave(&self) {
        let top = self.locked(|ctx| {
            let includes = &mut ctx.st.borrow_mut().includes;
            let top = includes.current == 0;
            includes.current = includes.nodes[includes.current as usize].parent;
            top
        });
        if top {
            self.warn("Include log: Tried to finish '[TOP LEVEL]' at top level.");
        }
    }

    /// `inchistory.emit(…)`: the comment at the top of `bitbake -e`.
    pub fn includes_emit(&self, out: &mut dyn Write) -> io::Result<()> {
        let includes = self.peek(|st| st.includes.clone());
        includes.emit(out, 0, 0)
    }
}
