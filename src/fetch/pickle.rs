//! The pickled dictionary of texts that done stamps hold: written as pickle protocol 2 (what the
//! reference writes, byte for byte), read in every protocol.

use crate::checksum::Sums;

/// Serializes a dictionary of texts.
pub fn dump(sums: &Sums) -> Vec<u8> {
    let mut out = vec![0x80, 2, b'}', b'q', 0];
    let mut memo = 1u32;
    let mut text = |out: &mut Vec<u8>, s: &str| {
        out.push(b'X');
        out.extend((s.len() as u32).to_le_bytes());
        out.extend(s.as_bytes());
        if memo < 256 {
            out.extend([b'q', memo as u8]);
        } else {
            out.push(b'r');
            out.extend(memo.to_le_bytes());
        }
        memo += 1;
    };
    let many = sums.len() > 1;
    if many {
        out.push(b'(');
    }
    for (k, v) in sums {
        text(&mut out, k);
        text(&mut out, v);
    }
    if !sums.is_empty() {
        out.push(if many { b'u' } else { b's' });
    }
    out.push(b'.');
    out
}

/// The same entries, order aside (as Python compares dictionaries).
pub fn same(a: &Sums, b: &Sums) -> bool {
    a == b
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Mark,
    Dict,
    Text(String),
}

/// Reads a dictionary of texts.
///
/// # Errors
/// The class and text of the exception Python would raise; an empty stamp is an `EOFError`.
pub fn load(bytes: &[u8]) -> Result<Sums, (String, String)> {
    let eof = || ("EOFError".to_owned(), "Ran out of input".to_owned());
    let bad = |what: &str| ("UnpicklingError".to_owned(), what.to_owned());
    let mut at = 0;
    let mut stack: Vec<Item> = Vec::new();
    let mut memo: Vec<(usize, Item)> = Vec::new();
    let mut dict = Sums::new();
    let mut take = |n: usize| -> Result<&[u8], (String, String)> {
        let part = bytes.get(at..at + n).ok_or_else(eof)?;
        at += n;
        Ok(part)
    };
    let number = |b: &[u8]| b.iter().rev().fold(0usize, |n, &d| n << 8 | usize::from(d));
    loop {
        match take(1)?[0] {
            0x80 => drop(take(1)?),
            0x95 => drop(take(8)?),
            b'}' => stack.push(Item::Dict),
            b'(' => stack.push(Item::Mark),
            op @ (b'X' | 0x8c | b'U') => {
                let size = number(take(if op == b'X' { 4 } else { 1 })?);
                let text = std::str::from_utf8(take(size)?).map_err(|e| ("UnicodeDecodeError".to_owned(), e.to_string()))?;
                stack.push(Item::Text(text.to_owned()));
            }
            op @ (b'q' | b'r' | 0x94) => {
                let slot = match op {
                    b'q' => number(take(1)?),
                    b'r' => number(take(4)?),
                    _ => memo.len(),
                };
                memo.push((slot, stack.last().ok_or_else(|| bad("memo of nothing"))?.clone()));
            }
            op @ (b'h' | b'j') => {
                let slot = number(take(if op == b'h' { 1 } else { 4 })?);
                let item = memo.iter().rev().find(|(s, _)| *s == slot).ok_or_else(|| bad("Memo value not found"))?;
                stack.push(item.1.clone());
            }
            op @ (b's' | b'u') => {
                let start = if op == b's' {
                    stack.len().checked_sub(2).ok_or_else(|| bad("unexpected MARK found"))?
                } else {
                    stack.iter().rposition(|i| *i == Item::Mark).ok_or_else(|| bad("could not find MARK"))?
                };
                let texts: Vec<Item> = stack.split_off(start).into_iter().filter(|i| *i != Item::Mark).collect();
                for pair in texts.chunks(2) {
                    let [Item::Text(k), Item::Text(v)] = pair else { return Err(bad("not a dictionary of texts")) };
                    dict.insert(k.clone(), v.clone());
                }
            }
            b'.' => return if stack == [Item::Dict] { Ok(dict) } else { Err(bad("not a dictionary")) },
            op => return Err(bad(&format!("invalid load key, '\\x{op:02x}'."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(items: &[(&str, &str)]) -> Sums {
        items.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn round_trip() {
        for s in [sums(&[]), sums(&[("md5", "0")]), sums(&[("md5", "0"), ("sha256", "1")])] {
            assert_eq!(load(&dump(&s)).unwrap(), s);
        }
        // python3: pickle.dumps({}, 2), pickle.dumps({"a": "b"}, 2)
        assert_eq!(dump(&sums(&[])), b"\x80\x02}q\x00.");
        assert_eq!(dump(&sums(&[("a", "b")])), b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01X\x01\x00\x00\x00bq\x02s.");
    }

    #[test]
    fn other_protocols() {
        // pickle.dumps({"a": "b", "c": "b"}, 4)
        let four = b"\x80\x04\x95\x13\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94\x8c\x01b\x94\x8c\x01c\x94h\x02u.";
        assert_eq!(load(four).unwrap(), sums(&[("a", "b"), ("c", "b")]));
        assert_eq!(load(b"").unwrap_err().0, "EOFError");
        assert_eq!(load(b"garbage").unwrap_err().0, "UnpicklingError");
    }
}
