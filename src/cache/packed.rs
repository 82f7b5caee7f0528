//! The form in which finished recipes travel between processes and lie on disk: texts and lists
//! stand once in tables, everything else names them by number.

use crate::encoded::encode;
use crate::files::FileState;
use crate::recipe::RecipeInfo;
use crate::tables::Tables;
use hz_data::ReadSet;
use hz_siggen::PackedSignatures;
use hz_siggen::packed::{Given, with_interner};
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
    /// Its layer.
    pub layer: Option<String>,
    /// Every variable that was looked up.
    pub reads: ReadSet,
}

#[derive(Clone, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct PackedFile {
    pub mc: String,
    pub path: String,
    pub appends: Vec<String>,
    /// What [`crate::encoded`] makes of the facts.
    pub infos: Vec<Vec<u32>>,
    pub siggen: Vec<PackedSignatures>,
    /// File numbers.
    pub depends: Vec<u32>,
    /// BB_DONT_CACHE or a floating revision: never taken from the cache.
    pub nocache: bool,
    pub layer: Option<String>,
    /// [`ReadSet::words`].
    pub reads: Vec<u64>,
}

/// One recipe file with what is new in the tables of the process that parsed it.
#[derive(Clone, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Packet {
    /// The numbers of what is new: texts, lists, nodes. They may be those of what was forgotten.
    pub numbers: [Vec<u32>; 3],
    /// Numbers of files that are new begin here.
    pub files_from: u32,
    pub new: Tables,
    pub file: PackedFile,
}

/// The parsing process's end.
#[derive(Default)]
pub struct Packer {
    /// What of this process's tables was sent already.
    sent: Given,
    /// Numbers of the files sent already.
    files: FxHashMap<String, u32>,
}

impl Packer {
    pub fn new() -> Packer {
        Packer::default()
    }

    /// One recipe file as bytes for [`crate::RecipeCache::absorb`]; packets of one packer must be
    /// absorbed in the order they were made.
    pub fn pack(&mut self, mut parsed: ParsedFile) -> Vec<u8> {
        let nocache = parsed.infos.iter().any(|i| i.nocache);
        let siggen = parsed.infos.iter_mut().map(|info| std::mem::take(&mut info.siggen)).collect();
        let mut new = Tables::default();
        let mut numbers: [Vec<u32>; 3] = Default::default();
        let files_from = self.files.len() as u32;
        let infos = with_interner(|known| {
            let infos = parsed.infos.into_iter().map(|info| encode(info, known)).collect();
            let [texts, lists, nodes] = &mut numbers;
            for (n, text) in known.new_texts(self.sent) {
                texts.push(n);
                new.texts.push(text.as_bytes());
            }
            for (n, list) in known.new_lists(self.sent) {
                lists.push(n);
                new.lists.push(list);
            }
            for (n, node) in known.new_nodes(self.sent) {
                nodes.push(n);
                new.push_node(node);
            }
            self.sent = known.given();
            known.finish_round();
            infos
        });
        let mut depends = Vec::with_capacity(parsed.depends.len());
        for path in parsed.depends {
            let next = self.files.len() as u32;
            depends.push(*self.files.entry(path).or_insert_with_key(|path| {
                new.files.push((path.clone(), FileState::of(Path::new(path))));
                next
            }));
        }
        let packet = Packet {
            numbers,
            files_from,
            new,
            file: PackedFile {
                mc: parsed.mc,
                path: parsed.path,
                appends: parsed.appends,
                infos,
                siggen,
                depends,
                nocache,
                layer: parsed.layer,
                reads: parsed.reads.words().to_vec(),
            },
        };
        // Serialising owned data into memory has no way to fail but running out of it.
        rkyv::to_bytes::<rkyv::rancor::Panic>(&packet).unwrap_or_else(|never| match never {}).to_vec()
    }
}
