//! Just enough of the zip format to read every member (Go module archives, for their hash).

use std::fs::File;
use std::os::unix::fs::FileExt;

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";

fn u16_at(b: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(b.get(at..at + 2)?.try_into().ok()?)))
}
fn u32_at(b: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// Names and contents of all members; `None` if the file is no zip (or one we cannot read).
pub fn members(path: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    // The end record stands in the last 22 bytes, plus a comment of at most 64 KiB.
    let tail_size = size.min(22 + 65536);
    let mut tail = vec![0; tail_size as usize];
    file.read_exact_at(&mut tail, size - tail_size).ok()?;
    let end = tail.windows(4).rposition(|w| w == END)?;
    let (mut count, mut length, mut start) =
        (u16_at(&tail, end + 10)?, u32_at(&tail, end + 12)?, u32_at(&tail, end + 16)?);
    if start == 0xffff_ffff || count == 0xffff {
        let locator = end.checked_sub(20)?;
        let at = u32_at(&tail, locator + 8)? as u64 | ((u32_at(&tail, locator + 12)? as u64) << 32);
        let mut record = [0; 56];
        file.read_exact_at(&mut record, at).ok()?;
        (count, length, start) = (u32_at(&record, 32)?, u32_at(&record, 40)?, u32_at(&record, 48)?);
    }
    if (start + length) as u64 > size {
        return None;
    }
    let mut directory = vec![0; length];
    file.read_exact_at(&mut directory, start as u64).ok()?;
    let mut out = Vec::with_capacity(count.min(1 << 16));
    let mut at = 0;
    for _ in 0..count {
        if directory.get(at..at + 4)? != ENTRY {
            return None;
        }
        let (method, packed, unpacked) = (u16_at(&directory, at + 10)?, u32_at(&directory, at + 20)?, u32_at(&directory, at + 24)?);
        let (name, extra, comment) = (u16_at(&directory, at + 28)?, u16_at(&directory, at + 30)?, u16_at(&directory, at + 32)?);
        let offset = u32_at(&directory, at + 42)?;
        let text = String::from_utf8_lossy(directory.get(at + 46..at + 46 + name)?).into_owned();
        at += 46 + name + extra + comment;
        let mut local = [0; 30];
        file.read_exact_at(&mut local, offset as u64).ok()?;
        let data = offset + 30 + u16_at(&local, 26)? + u16_at(&local, 28)?;
        if (data + packed) as u64 > size {
            return None;
        }
        let mut raw = vec![0; packed];
        file.read_exact_at(&mut raw, data as u64).ok()?;
        let content = match method {
            0 => raw,
            8 => miniz_oxide::inflate::decompress_to_vec_with_limit(&raw, unpacked.max(1)).ok()?,
            _ => return None,
        };
        out.push((text, content));
    }
    Some(out)
}

/// A zip of uncompressed members, the oldest time the format knows on each.
pub fn stored(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = out.len() as u32;
        let mut common = Vec::new();
        for field in [20u16, 0x800, 0, 0, 0x21] {
            common.extend(field.to_le_bytes());
        }
        for field in [crc32(content), content.len() as u32, content.len() as u32] {
            common.extend(field.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0u16.to_le_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(content);
        directory.extend(ENTRY);
        directory.extend(0x0314u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((0o100600u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(END);
    out.extend([0; 4]);
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, b| {
        crc ^= u32::from(*b);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let members_in = vec![("a/b".to_owned(), b"hello".to_vec()), ("c".to_owned(), Vec::new())];
        std::fs::write(file.path(), stored(&members_in)).unwrap();
        assert_eq!(members(file.path().to_str().unwrap()).unwrap(), members_in);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn reads_members() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "hello ".repeat(100)).unwrap();
        let script = "import zipfile; z = zipfile.ZipFile('x.zip', 'w', 8); z.write('a.txt'); z.writestr('m@v1/b', 'x'); z.close()";
        let made = std::process::Command::new("python3").args(["-c", script]).current_dir(&dir).status();
        if !made.is_ok_and(|s| s.success()) {
            return;
        }
        let got = members(dir.path().join("x.zip").to_str().unwrap()).unwrap();
        assert_eq!(got[0], ("a.txt".into(), "hello ".repeat(100).into_bytes()));
        assert_eq!(got[1].0, "m@v1/b");
        assert!(members(dir.path().join("a.txt").to_str().unwrap()).is_none());
    }
}
