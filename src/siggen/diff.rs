//! Two ways of telling lists apart, as the tools users know show them: the unified diff of
//! Python's difflib, and a diff by longest common runs for words.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Same,
    Added,
    Removed,
}

/// Splits both lists at their longest common run, and what is left and right of it again.
pub fn by_runs<T: Hash + Eq + Clone>(old: &[T], new: &[T]) -> Vec<(Change, Vec<T>)> {
    let mut out = Vec::new();
    runs_into(old, new, &mut out);
    out
}

fn runs_into<T: Hash + Eq + Clone>(old: &[T], new: &[T], out: &mut Vec<(Change, Vec<T>)>) {
    let mut places: HashMap<&T, Vec<usize>> = HashMap::new();
    for (at, item) in old.iter().enumerate() {
        places.entry(item).or_default().push(at);
    }
    // Length of the common run that ends at each place of `old`; the first longest one wins.
    let (mut best, mut best_old, mut best_new) = (0, 0, 0);
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (at_new, item) in new.iter().enumerate() {
        let mut now = HashMap::new();
        for &at_old in places.get(item).into_iter().flatten() {
            let length = at_old.checked_sub(1).and_then(|before| ending.get(&before)).unwrap_or(&0) + 1;
            now.insert(at_old, length);
            if length > best {
                (best, best_old, best_new) = (length, at_old + 1 - length, at_new + 1 - length);
            }
        }
        ending = now;
    }
    if best == 0 {
        for (change, list) in [(Change::Removed, old), (Change::Added, new)] {
            if !list.is_empty() {
                out.push((change, list.to_vec()));
            }
        }
        return;
    }
    runs_into(&old[..best_old], &new[..best_new], out);
    out.push((Change::Same, new[best_new..best_new + best].to_vec()));
    runs_into(&old[best_old + best..], &new[best_new + best..], out);
}

/// Lines as Python's `splitlines()` finds them.
pub fn lines(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'));
        let Some(end) = end else {
            out.push(rest);
            break;
        };
        out.push(&rest[..end]);
        let length = if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(1, char::len_utf8) };
        rest = &rest[end + length..];
    }
    out
}

/// A stretch: `a[a0..a1]` became `b[b0..b1]`.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    same: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// The hunks of a unified diff with three lines of context, without the two file lines.
pub fn unified(a: &[&str], b: &[&str]) -> Vec<String> {
    const CONTEXT: usize = 3;
    let mut stretches = stretches(a, b);
    if stretches.iter().all(|s| s.same) {
        return Vec::new();
    }
    if let Some(first) = stretches.first_mut().filter(|s| s.same) {
        first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
        first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
    }
    if let Some(last) = stretches.last_mut().filter(|s| s.same) {
        last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
        last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
    }
    let mut out = Vec::new();
    let mut hunk: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        let mut stretch = stretch;
        if stretch.same && stretch.a.1 - stretch.a.0 > 2 * CONTEXT {
            hunk.push(Stretch {
                same: true,
                a: (stretch.a.0, stretch.a.1.min(stretch.a.0 + CONTEXT)),
                b: (stretch.b.0, stretch.b.1.min(stretch.b.0 + CONTEXT)),
            });
            write_hunk(&hunk, a, b, &mut out);
            hunk.clear();
            stretch.a.0 = stretch.a.0.max(stretch.a.1.saturating_sub(CONTEXT));
            stretch.b.0 = stretch.b.0.max(stretch.b.1.saturating_sub(CONTEXT));
        }
        hunk.push(stretch);
    }
    if hunk.iter().any(|s| !s.same) {
        write_hunk(&hunk, a, b, &mut out);
    }
    out
}

fn write_hunk(hunk: &[Stretch], a: &[&str], b: &[&str], out: &mut Vec<String>) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let range = |start: usize, stop: usize| match stop - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    };
    out.push(format!("@@ -{} +{} @@", range(first.a.0, last.a.1), range(first.b.0, last.b.1)));
    for stretch in hunk {
        if stretch.same {
            out.extend(a[stretch.a.0..stretch.a.1].iter().map(|line| format!(" {line}")));
        } else {
            out.extend(a[stretch.a.0..stretch.a.1].iter().map(|line| format!("-{line}")));
            out.extend(b[stretch.b.0..stretch.b.1].iter().map(|line| format!("+{line}")));
        }
    }
}

/// The whole of both lists as stretches, equal and changed in turn.
fn stretches(a: &[&str], b: &[&str]) -> Vec<Stretch> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(at);
    }
    // Lines that are everywhere in a long text say nothing about where it matches.
    if b.len() >= 200 {
        let limit = b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= limit);
    }
    let mut blocks = Vec::new();
    let mut pending = vec![(0, a.len(), 0, b.len())];
    while let Some((a0, a1, b0, b1)) = pending.pop() {
        let (at_a, at_b, length) = longest(a, b, &places, (a0, a1), (b0, b1));
        if length > 0 {
            blocks.push((at_a, at_b, length));
            if a0 < at_a && b0 < at_b {
                pending.push((a0, at_a, b0, at_b));
            }
            if at_a + length < a1 && at_b + length < b1 {
                pending.push((at_a + length, a1, at_b + length, b1));
            }
        }
    }
    blocks.sort_unstable();
    let mut merged: Vec<(usize, usize, usize)> = Vec::new();
    for (at_a, at_b, length) in blocks {
        match merged.last_mut() {
            Some(last) if last.0 + last.2 == at_a && last.1 + last.2 == at_b => last.2 += length,
            _ => merged.push((at_a, at_b, length)),
        }
    }
    merged.push((a.len(), b.len(), 0));
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    for (at_a, at_b, length) in merged {
        if i < at_a || j < at_b {
            out.push(Stretch { same: false, a: (i, at_a), b: (j, at_b) });
        }
        (i, j) = (at_a + length, at_b + length);
        if length > 0 {
            out.push(Stretch { same: true, a: (at_a, i), b: (at_b, j) });
        }
    }
    out
}

fn longest(
    a: &[&str], b: &[&str], places: &HashMap<&str, Vec<usize>>, (a0, a1): (usize, usize), (b0, b1): (usize, usize),
) -> (usize, usize, usize) {
    let (mut at_a, mut at_b, mut best) = (a0, b0, 0);
    let mut ending: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(a1).skip(a0) {
        let mut now = HashMap::new();
        for &j in places.get(line).into_iter().flatten().filter(|j| (b0..b1).contains(*j)) {
            let length = j.checked_sub(1).and_then(|before| ending.get(&before)).unwrap_or(&0) + 1;
            now.insert(j, length);
            if length > best {
                (at_a, at_b, best) = (i + 1 - length, j + 1 - length, length);
            }
        }
        ending = now;
    }
    while at_a > a0 && at_b > b0 && a[at_a - 1] == b[at_b - 1] {
        (at_a, at_b, best) = (at_a - 1, at_b - 1, best + 1);
    }
    while at_a + best < a1 && at_b + best < b1 && a[at_a + best] == b[at_b + best] {
        best += 1;
    }
    (at_a, at_b, best)
}
