//! What client and server share: addresses, line framing and chunked messages.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Longest line a peer accepts without a chunk stream (its buffer holds twice this).
pub const MAX_CHUNK: usize = 32 * 1024;
/// Longest path the kernel takes for a unix socket.
const SUN_PATH_MAX: usize = 107;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix://PATH`
    Unix(PathBuf),
    /// `HOST:PORT` or `[HOST]:PORT`
    Tcp(String, u16),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Reads an address as `BB_HASHSERVE` and the command line give it. The error is a message for the
/// user: a web socket address (not supported), or one that is no address.
pub fn parse_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return Ok(Address::Unix(path.into()));
    }
    if text.starts_with("ws://") || text.starts_with("wss://") {
        return Err(format!("web socket addresses are not supported yet: '{text}'"));
    }
    let bad = || format!("'{text}' is not a server address (unix://PATH or HOST:PORT)");
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").ok_or_else(bad)?,
        None => text.split_once(':').filter(|(_, port)| !port.contains(':')).ok_or_else(bad)?,
    };
    Ok(Address::Tcp(host.to_string(), port.parse().map_err(|_| bad())?))
}

/// A path for bind or connect that fits the kernel's limit however deep the build directory is: the
/// directory is opened and the socket named through it. Keep the file until the call is done.
pub fn socket_path(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= SUN_PATH_MAX {
        return Ok((path.to_path_buf(), None));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "socket path has no directory"));
    };
    let dir = File::open(dir)?;
    Ok((Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name), Some(dir)))
}

/// The lines (each with its newline) that carry `message`, a JSON text.
///
/// A receiver may drop white space at the end of a line, so no chunk ends in it.
pub fn frame(message: &str) -> String {
    if message.len() < MAX_CHUNK - 1 {
        return format!("{message}\n");
    }
    let mut out = String::with_capacity(message.len() + message.len() / MAX_CHUNK + 64);
    out.push_str("{\"chunk-stream\": null}\n");
    let mut rest = message;
    while !rest.is_empty() {
        let mut end = rest.len().min(MAX_CHUNK - 1);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        // Text that is blank for a whole chunk cannot be cut elsewhere; JSON of ours never is.
        let trimmed = rest[..end].trim_end().len();
        if end < rest.len() && trimmed > 0 {
            end = trimmed;
        }
        out.push_str(&rest[..end]);
        out.push('\n');
        rest = &rest[end..];
    }
    out.push('\n');
    out
}

/// Removes a line's end as it came from the peer.
pub fn chomp(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

/// Does this message open a chunk stream?
pub fn opens_chunks(message: &serde_json::Value) -> bool {
    message.get("chunk-stream").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse_address("unix:///b/hashserve.sock"), Ok(Address::Unix("/b/hashserve.sock".into())));
        assert_eq!(parse_address("localhost:8686"), Ok(Address::Tcp("localhost".into(), 8686)));
        assert_eq!(parse_address("[::1]:90"), Ok(Address::Tcp("::1".into(), 90)));
        assert_eq!(parse_address("[::1]:90").unwrap().to_string(), "[::1]:90");
        for bad in ["", "host", "host:port", "::1:90", "ws://x:1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_messages_are_chunked_and_rejoin() {
        assert_eq!(frame("{}"), "{}\n");
        let text = format!("\"{}\"", "ä bc ".repeat(30_000));
        let framed = frame(&text);
        let mut lines = framed.split('\n');
        assert_eq!(lines.next(), Some("{\"chunk-stream\": null}"));
        let chunks: Vec<&str> = lines.take_while(|l| !l.is_empty()).collect();
        assert!(chunks.len() > 4 && chunks.iter().all(|c| c.len() < MAX_CHUNK));
        assert!(chunks.iter().all(|c| c.trim_end() == *c));
        assert_eq!(chunks.concat(), text);
        assert!(framed.ends_with("\n\n"));
    }

    #[test]
    fn deep_socket_paths_fit() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let (short, keep) = socket_path(&deep.join("hashserve.sock")).unwrap();
        assert!(keep.is_some() && short.as_os_str().len() < SUN_PATH_MAX);
        std::os::unix::net::UnixListener::bind(&short).unwrap();
        assert!(deep.join("hashserve.sock").exists());
    }
}
