//! Base hashes of the recipes of a cache file, in a file beside it.
//!
//! Parsing leaves them out ([`hz_siggen::PackedSignatures::base_hashes`] makes them): most commands ask for those of few recipes. What somebody
//! asked for is kept under the sum of the cache file it was made of, so it counts as long as that file is there.

use hz_stored::{Kind, Stored};
use std::path::Path;

/// Bumped whenever the archived types change.
const KIND: &Kind = b"hz-basehash-0001";

const ENDING: &str = "-basehashes";

type Hash = [u8; 32];

#[derive(Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Archive {
    /// Sum of the cache file.
    of: Hash,
    /// Sorted by number of the recipe file, of the variant.
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Row {
    pub file: u32,
    pub variant: u32,
    /// In the order of the tasks.
    pub hashes: Vec<Hash>,
}

/// The file beside a cache file; None: there is none, or it is that of another one.
pub(crate) struct Kept(Option<Stored>);

impl Kept {
    pub fn open(cache: &Path, sum: Hash) -> Kept {
        let kept = Kept(Stored::open(&hz_stored::beside(cache, ENDING), KIND));
        if kept.archive().is_some_and(|archive| archive.of == sum) { kept } else { Kept(None) }
    }

    fn archive(&self) -> Option<&ArchivedArchive> {
        // SAFETY: these are the bytes this layout wrote, aligned to 16.
        self.0.as_ref().map(|stored| unsafe { rkyv::access_unchecked::<ArchivedArchive>(stored) })
    }

    pub fn find(&self, file: usize, variant: usize) -> Option<Vec<Hash>> {
        let rows = &self.archive()?.rows;
        let at = rows.binary_search_by_key(&(file as u32, variant as u32), |row| (row.file.to_native(), row.variant.to_native())).ok()?;
        Some(rows[at].hashes.iter().copied().collect())
    }
}

/// Keeps rows of the cache file that has this sum, besides those that are kept already.
///
/// # Errors
/// Whatever the file system says.
pub(crate) fn keep(cache: &Path, sum: Hash, rows: Vec<Row>) -> std::io::Result<()> {
    let kept = Kept::open(cache, sum);
    let known = kept.archive().and_then(|archive| rkyv::deserialize::<Archive, rkyv::rancor::Error>(archive).ok());
    let mut all = Archive { of: sum, ..known.unwrap_or_default() };
    all.rows.extend(rows);
    all.rows.sort_by_key(|row| (row.file, row.variant));
    all.rows.dedup_by_key(|row| (row.file, row.variant));
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&all).map_err(std::io::Error::other)?;
    hz_stored::write(&hz_stored::beside(cache, ENDING), KIND, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_for_that_cache_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let row = |file, variant, first| Row { file, variant, hashes: vec![[first; 32], [0; 32]] };
        keep(&cache, [1; 32], vec![row(7, 1, 3), row(2, 0, 4)]).unwrap();
        let kept = Kept::open(&cache, [1; 32]);
        assert_eq!(kept.find(7, 1), Some(row(7, 1, 3).hashes));
        assert_eq!(kept.find(7, 0), None);
        keep(&cache, [1; 32], vec![row(7, 0, 5)]).unwrap();
        let kept = Kept::open(&cache, [1; 32]);
        assert_eq!([(2, 0), (7, 0), (7, 1)].map(|(file, variant)| kept.find(file, variant).map(|found| found[0][0])), [Some(4), Some(5), Some(3)]);
        let other = Kept::open(&cache, [2; 32]);
        assert_eq!(other.find(7, 1), None, "of another cache file");
        keep(&cache, [2; 32], vec![row(0, 0, 1)]).unwrap();
        assert_eq!(Kept::open(&cache, [2; 32]).find(2, 0), None, "in place of it");
        assert_eq!(Kept::open(&cache, [1; 32]).find(2, 0), None);
    }
}
