//! A map from names to shared records that is cheap to copy.
//!
//! Two levels of shared storage: a table of buckets and the buckets themselves, each in one piece: what a look-up waits for is
//! memory. A copy shares both; the first write after a copy duplicates the table (one pointer per bucket) and the one
//! bucket it touches. A look-up is one hash, one scan over a handful of hashes and one comparison
//! of text, however many copies there were, so chains of layers never have to be flattened.

use crate::watch;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::sync::Arc;

/// Something found by its name.
pub(crate) trait Named: Clone {
    /// Do look-ups count as reads ([`crate::watch`])?
    const WATCHED: bool;
    fn name(&self) -> &str;
}

type Bucket<T> = Arc<[(u64, Arc<T>)]>;

pub(crate) struct PMap<T> {
    buckets: Arc<Vec<Bucket<T>>>,
    len: usize,
}

/// Records a bucket holds on average before the table is doubled.
const LOAD: usize = 8;

pub(crate) fn hash_name(name: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

fn slot(hash: u64, buckets: usize) -> usize {
    // `buckets` is a power of two. Both halves take part: which one is good depends on the hasher.
    (hash ^ (hash >> 32)) as usize & (buckets - 1)
}

impl<T> Clone for PMap<T> {
    fn clone(&self) -> Self {
        PMap { buckets: self.buckets.clone(), len: self.len }
    }
}

impl<T: Named> PMap<T> {
    pub fn new(buckets: usize) -> Self {
        PMap { buckets: Arc::new(vec![Bucket::default(); buckets.next_power_of_two()]), len: 0 }
    }

    #[inline]
    pub fn get(&self, hash: u64, name: &str) -> Option<&Arc<T>> {
        if T::WATCHED {
            watch::note(hash);
        }
        let bucket = &self.buckets[slot(hash, self.buckets.len())];
        bucket.iter().find(|(h, item)| *h == hash && item.name() == name).map(|(_, item)| item)
    }

    /// The record, unshared for writing.
    pub fn get_mut(&mut self, hash: u64, name: &str) -> Option<&mut T> {
        if T::WATCHED {
            watch::note(hash);
        }
        let at = slot(hash, self.buckets.len());
        let index = self.buckets[at].iter().position(|(h, item)| *h == hash && item.name() == name)?;
        let bucket = Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[at]);
        Some(Arc::make_mut(&mut bucket[index].1))
    }

    /// The record, unshared for writing; made by `make` if there is none.
    pub fn entry(&mut self, hash: u64, name: &str, make: impl FnOnce() -> T) -> &mut T {
        // What a record holds decides what becomes of it.
        if T::WATCHED {
            watch::note(hash);
        }
        let at = slot(hash, self.buckets.len());
        match self.buckets[at].iter().position(|(h, item)| *h == hash && item.name() == name) {
            Some(index) => {
                let bucket = Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[at]);
                Arc::make_mut(&mut bucket[index].1)
            }
            None => {
                if self.len >= LOAD * self.buckets.len() {
                    self.grow();
                }
                self.len += 1;
                let at = slot(hash, self.buckets.len());
                let bucket = &mut Arc::make_mut(&mut self.buckets)[at];
                *bucket = bucket.iter().cloned().chain([(hash, Arc::new(make()))]).collect();
                let last = bucket.len() - 1;
                Arc::make_mut(&mut Arc::make_mut(bucket)[last].1)
            }
        }
    }

    fn grow(&mut self) {
        let count = self.buckets.len() * 2;
        let mut fresh: Vec<Vec<(u64, Arc<T>)>> = Vec::with_capacity(count);
        fresh.resize_with(count, Vec::new);
        for bucket in self.buckets.iter() {
            for (hash, item) in bucket.iter() {
                fresh[slot(*hash, count)].push((*hash, item.clone()));
            }
        }
        self.buckets = Arc::new(fresh.into_iter().map(Bucket::from).collect());
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        if T::WATCHED {
            watch::note_all();
        }
        self.buckets.iter().flat_map(|bucket| bucket.iter().map(|(_, item)| item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Item(String, u32);
    impl Named for Item {
        const WATCHED: bool = true;
        fn name(&self) -> &str {
            &self.0
        }
    }

    #[test]
    fn copies_are_independent_and_growth_keeps_everything() {
        let mut map: PMap<Item> = PMap::new(4);
        for i in 0..1000u32 {
            let name = format!("N{i}");
            map.entry(hash_name(&name), &name, || Item(name.clone(), i));
        }
        let copy = map.clone();
        for i in 0..1000u32 {
            let name = format!("N{i}");
            map.get_mut(hash_name(&name), &name).unwrap().1 += 1;
        }
        for i in 0..1000u32 {
            let name = format!("N{i}");
            assert_eq!(copy.get(hash_name(&name), &name).unwrap().1, i);
            assert_eq!(map.get(hash_name(&name), &name).unwrap().1, i + 1);
        }
        assert!(map.get(hash_name("absent"), "absent").is_none());
        assert_eq!(map.iter().count(), 1000);
    }
}
