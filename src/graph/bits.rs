//! A set of small numbers.

/// A set of numbers below a bound given at creation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    pub fn new(bound: usize) -> Bits {
        Bits(vec![0; bound.div_ceil(64)])
    }
    /// Adds `n`; was it absent?
    pub fn insert(&mut self, n: usize) -> bool {
        let word = &mut self.0[n / 64];
        let bit = 1 << (n % 64);
        let absent = *word & bit == 0;
        *word |= bit;
        absent
    }
    pub fn remove(&mut self, n: usize) {
        self.0[n / 64] &= !(1 << (n % 64));
    }
    pub fn contains(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|word| word & (1 << (n % 64)) != 0)
    }
    /// Adds everything in `other`; did anything change?
    pub fn union(&mut self, other: &Bits) -> bool {
        let mut changed = 0;
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            changed |= b & !*a;
            *a |= b;
        }
        changed != 0
    }
    /// What is in `other` and `mask` but not here.
    pub fn missing(&self, other: &Bits, mask: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).zip(&mask.0).map(|((a, b), m)| b & m & !a).collect())
    }
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    i * 64 + bit
                })
            })
        })
    }
}
