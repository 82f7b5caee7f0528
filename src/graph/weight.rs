//! Task weights. A weight counts the ways down from the ends of a build, which grow past any
//! machine number in real builds, and the order of tasks depends on the exact values.

use std::cmp::Ordering;

/// A natural number of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight(Vec<u64>);

impl Weight {
    pub fn new(n: u64) -> Weight {
        Weight(vec![n])
    }
    pub fn add(&mut self, other: &Weight) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut carry = false;
        for (i, word) in self.0.iter_mut().enumerate() {
            let (sum, c1) = word.overflowing_add(other.0.get(i).copied().unwrap_or(0));
            let (sum, c2) = sum.overflowing_add(carry as u64);
            *word = sum;
            carry = c1 | c2;
        }
        if carry {
            self.0.push(1);
        }
    }
}
impl PartialOrd for Weight {
    fn partial_cmp(&self, other: &Weight) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Weight {
    // The top word is never 0 in numbers of more than one word.
    fn cmp(&self, other: &Weight) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_past_a_word() {
        let mut a = Weight::new(u64::MAX);
        let big = a.clone();
        a.add(&Weight::new(1));
        assert!(a > big);
        assert_eq!(a, Weight(vec![0, 1]));
        a.add(&big);
        assert_eq!(a, Weight(vec![u64::MAX, 1]));
    }
}
