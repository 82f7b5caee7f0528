//! "Did you mean": the close matches that messages offer, by the measure Python's difflib uses.

use std::collections::HashMap;

/// At most three of `candidates` whose likeness to `word` is at least `cutoff`, best first; equal
/// ones in descending order of their text.
pub fn close_matches<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, cutoff: f64) -> Vec<String> {
    let b: Vec<char> = word.chars().collect();
    let mut b_counts: HashMap<char, i32> = HashMap::new();
    for c in &b {
        *b_counts.entry(*c).or_default() += 1;
    }
    let mut found: Vec<(f64, &str)> = Vec::new();
    for candidate in candidates {
        let a: Vec<char> = candidate.chars().collect();
        let ratio = |matches: usize| if a.len() + b.len() == 0 { 1.0 } else { 2.0 * matches as f64 / (a.len() + b.len()) as f64 };
        if ratio(a.len().min(b.len())) < cutoff {
            continue;
        }
        let mut left = b_counts.clone();
        let common = a.iter().filter(|c| left.get_mut(c).is_some_and(|n| { *n -= 1; *n >= 0 })).count();
        if ratio(common) < cutoff {
            continue;
        }
        let score = ratio(matching(&a, &b));
        if score >= cutoff {
            found.push((score, candidate));
        }
    }
    found.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| y.1.cmp(x.1)));
    found.truncate(3);
    found.into_iter().map(|(_, text)| text.to_owned()).collect()
}

/// Characters in matching blocks: the longest common run (the leftmost in `a`, then in `b`), then
/// the same to its left and to its right.
fn matching(a: &[char], b: &[char]) -> usize {
    // Python leaves characters out of long texts that are too common to tell anything.
    let popular = |c: char| b.len() >= 200 && b.iter().filter(|x| **x == c).count() > b.len() / 100 + 1;
    let mut todo = vec![(0, a.len(), 0, b.len())];
    let mut total = 0;
    while let Some((alo, ahi, blo, bhi)) = todo.pop() {
        let (mut best_a, mut best_b, mut size) = (alo, blo, 0);
        let mut previous: Vec<usize> = vec![0; bhi - blo + 1];
        for i in alo..ahi {
            let mut row = vec![0; bhi - blo + 1];
            for j in blo..bhi {
                if a[i] == b[j] && !popular(b[j]) {
                    let k = previous[j - blo] + 1;
                    row[j - blo + 1] = k;
                    if k > size {
                        (best_a, best_b, size) = (i + 1 - k, j + 1 - k, k);
                    }
                }
            }
            previous = row;
        }
        while size > 0 && best_a > alo && best_b > blo && a[best_a - 1] == b[best_b - 1] {
            (best_a, best_b, size) = (best_a - 1, best_b - 1, size + 1);
        }
        while size > 0 && best_a + size < ahi && best_b + size < bhi && a[best_a + size] == b[best_b + size] {
            size += 1;
        }
        if size > 0 {
            total += size;
            todo.push((alo, best_a, blo, best_b));
            todo.push((best_a + size, ahi, best_b + size, bhi));
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::close_matches;

    // Answers of Python 3.11's difflib.get_close_matches(word, candidates, cutoff=0.7).
    #[test]
    fn as_difflib() {
        let names = ["busybox", "busybox-native", "zip-native", "unzip-native", "zip", "unzip", "bzip2", "gzip", "lzip", "pigz"];
        assert_eq!(close_matches("busbox", names, 0.7), ["busybox"]);
        assert_eq!(close_matches("unzip-nativ", names, 0.7), ["unzip-native", "zip-native"]);
        assert_eq!(close_matches("bzip", names, 0.7), ["bzip2", "zip", "lzip"]);
        assert_eq!(close_matches("nothing-like-it", names, 0.7), Vec::<String>::new());
        assert_eq!(close_matches("do_compil", ["do_compile", "do_compile_ptest", "do_configure", "do_install"], 0.7), ["do_compile", "do_compile_ptest"]);
    }
}
