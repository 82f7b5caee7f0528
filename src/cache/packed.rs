//! The form in which finished recipes travel between processes and lie on disk: texts and lists
//! stand once in tables, everything else names them by number.

use crate::recipe::{RecipeInfo, SiggenInfo};
use crate::files::FileState;
use hz_diagnostics::Str;
use hz_siggen::VarVal;
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::path::Path;

/// One recipe file, parsed: all its variants and what they were made from.
pub struct ParsedFile {
    /// Multiconfig; empty for the default one.
    pub mc: String,
    /// The recipe file.
    pub path: String,
    /// Appends applied, in order.
    pub appends: Vec<String>,
    /// The recipe itself first, then its variants.
    pub infos: Vec<RecipeInfo>,
    /// Every path that was read, or tried and not found.
    pub depends: Vec<String>,
}

/// Absent value in a list of numbers.
pub(crate) const NONE: u32 = u32::MAX;
/// Marks the number of a text that is the JSON of a value which is no plain text.
pub(crate) const OTHER: u32 = 1 << 31;

#[derive(Clone, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct PackedSiggen {
    /// Pairs: variable, list of names.
    pub gendeps: Vec<(u32, u32)>,
    /// Pairs: variable, and text, NONE, or (with OTHER set) the JSON of another kind of value.
    pub varvals: Vec<(u32, u32)>,
    /// Pairs: task, list of names.
    pub taskdeps: Vec<(u32, u32)>,
}

#[derive(Clone, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct PackedFile {
    pub mc: String,
    pub path: String,
    pub appends: Vec<String>,
    pub infos: Vec<RecipeInfo>,
    pub siggen: Vec<PackedSiggen>,
    /// File numbers.
    pub depends: Vec<u32>,
    /// BB_DONT_CACHE or a floating revision: never taken from the cache.
    pub nocache: bool,
}

/// Tables that grow (lists are lists of texts); a packet carries what is new in them.
#[derive(Clone, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Tables {
    pub texts: Vec<String>,
    pub lists: Vec<Vec<u32>>,
    pub files: Vec<(String, FileState)>,
}

#[derive(Clone, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Packet {
    pub new: Tables,
    pub file: PackedFile,
}

/// Numbers for texts, lists and files, with what came since the last packet.
#[derive(Default)]
pub(crate) struct Numbering {
    texts: FxHashMap<Str, u32>,
    lists: FxHashMap<Vec<u32>, u32>,
    files: FxHashMap<String, u32>,
    pub fresh: Tables,
}

impl Numbering {
    pub fn text(&mut self, text: &Str) -> u32 {
        if let Some(n) = self.texts.get(text) {
            return *n;
        }
        let n = self.texts.len() as u32;
        self.texts.insert(text.clone(), n);
        self.fresh.texts.push(text.to_string());
        n
    }
    pub fn list(&mut self, list: Vec<u32>) -> u32 {
        if let Some(n) = self.lists.get(&list) {
            return *n;
        }
        let n = self.lists.len() as u32;
        self.fresh.lists.push(list.clone());
        self.lists.insert(list, n);
        n
    }
    /// `state` is asked only for a file not seen yet.
    pub fn file(&mut self, path: &str, state: impl FnOnce() -> FileState) -> u32 {
        if let Some(n) = self.files.get(path) {
            return *n;
        }
        let n = self.files.len() as u32;
        self.fresh.files.push((path.to_string(), state()));
        self.files.insert(path.to_string(), n);
        n
    }
}

/// The parsing process's end.
#[derive(Default)]
pub struct Packer {
    numbering: Numbering,
}

impl Packer {
    pub fn new() -> Packer {
        Packer::default()
    }

    /// One recipe file as bytes for [`crate::RecipeCache::absorb`]; packets of one packer must be
    /// absorbed in the order they were made.
    pub fn pack(&mut self, mut parsed: ParsedFile) -> Vec<u8> {
        let n = &mut self.numbering;
        let mut siggen = Vec::with_capacity(parsed.infos.len());
        for info in &mut parsed.infos {
            let data = std::mem::take(&mut info.siggen);
            let names = |n: &mut Numbering, map: &IndexMap<Str, Vec<Str>>| {
                map.iter()
                    .map(|(key, list)| {
                        let list = list.iter().map(|t| n.text(t)).collect();
                        (n.text(key), n.list(list))
                    })
                    .collect()
            };
            siggen.push(PackedSiggen {
                gendeps: names(n, &data.gendeps),
                taskdeps: names(n, &data.taskdeps),
                varvals: data
                    .varvals
                    .iter()
                    .map(|(key, value)| {
                        let value = match value {
                            VarVal::None => NONE,
                            VarVal::Str(text) => n.text(text),
                            // A value made of texts, numbers and truth values always has a JSON form.
                            other => OTHER | n.text(&serde_json::to_string(other).unwrap_or_default().into()),
                        };
                        (n.text(key), value)
                    })
                    .collect(),
            });
        }
        let depends = parsed.depends.iter().map(|p| n.file(p, || FileState::of(Path::new(p)))).collect();
        let nocache = parsed.infos.iter().any(|i| i.nocache);
        let packet = Packet {
            new: std::mem::take(&mut n.fresh),
            file: PackedFile {
                mc: parsed.mc,
                path: parsed.path,
                appends: parsed.appends,
                infos: parsed.infos,
                siggen,
                depends,
                nocache,
            },
        };
        // Serialising owned data into memory has no way to fail but running out of it.
        rkyv::to_bytes::<rkyv::rancor::Panic>(&packet).unwrap_or_else(|never| match never {}).to_vec()
    }
}

impl PackedSiggen {
    /// Numbers of one process turned into those of another.
    pub fn renumber(&mut self, text: &[u32], list: &[u32]) {
        for (name, deps) in self.gendeps.iter_mut().chain(self.taskdeps.iter_mut()) {
            *name = text[*name as usize];
            *deps = list[*deps as usize];
        }
        for (name, value) in &mut self.varvals {
            *name = text[*name as usize];
            if *value != NONE {
                *value = text[(*value & !OTHER) as usize] | (*value & OTHER);
            }
        }
    }

    pub fn unpack(&self, text: impl Fn(u32) -> Str, list: impl Fn(u32) -> Vec<u32>) -> SiggenInfo {
        let names = |pairs: &[(u32, u32)]| {
            pairs.iter().map(|(key, l)| (text(*key), list(*l).into_iter().map(&text).collect())).collect()
        };
        SiggenInfo {
            gendeps: names(&self.gendeps),
            taskdeps: names(&self.taskdeps),
            varvals: self
                .varvals
                .iter()
                .map(|(k, v)| {
                    let value = match *v {
                        NONE => VarVal::None,
                        v if v & OTHER != 0 => serde_json::from_str(&text(v & !OTHER)).unwrap_or(VarVal::None),
                        v => VarVal::Str(text(v)),
                    };
                    (text(*k), value)
                })
                .collect(),
        }
    }
}
