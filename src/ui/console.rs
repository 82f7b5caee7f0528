//! Log records as text: level names, colours, which stream, and the console log file.

use hz_events::level;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// The level's name in front of a message; none for plain messages.
fn level_name(level: u32) -> Option<&'static str> {
    match level {
        level::PLAIN => None,
        0..=10 => Some("DEBUG"),
        11..=28 => Some("NOTE"),
        29..=38 => Some("WARNING"),
        _ => Some("ERROR"),
    }
}

/// A record as a line of the console and of the console log.
pub fn format(level: u32, message: &str) -> String {
    match level_name(level) {
        None => message.to_string(),
        Some(name) => format!("{name}: {message}"),
    }
}

/// The same with the reference's colours: name in the level's colour, warnings and errors whole.
fn format_coloured(level: u32, message: &str) -> String {
    let Some(name) = level_name(level) else { return message.to_string() };
    let code = match level {
        0..=10 => 36,
        11..=28 => return format!("{name}: {message}"),
        29..=38 => 33,
        _ => 31,
    };
    if level >= level::WARNONCE {
        format!("\x1b[1;{code}m{name}\x1b[0m: \x1b[{code}m{message}\x1b[0m")
    } else {
        format!("\x1b[1;{code}m{name}\x1b[0m: {message}")
    }
}

/// The file behind BB_CONSOLELOG, with its `console-latest.log` link.
pub struct ConsoleLog {
    file: File,
    level: u32,
}

impl ConsoleLog {
    /// Opens `path` for appending, makes its folder, and points `console-latest.log` at it.
    /// Records below `level` are left out, but for the hash equivalence chatter the reference keeps.
    pub fn open(path: &Path, level: u32) -> io::Result<ConsoleLog> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
            if let Some(name) = path.file_name() {
                let link = dir.join("console-latest.log");
                let _ = std::fs::remove_file(&link);
                // A link that cannot be made is no reason to stop a build.
                let _ = std::os::unix::fs::symlink(name, &link);
            }
        }
        let file = File::options().append(true).create(true).open(path)?;
        Ok(ConsoleLog { file, level })
    }

    fn write(&mut self, logger: &str, level: u32, message: &str) {
        let chatty = matches!(logger, "BitBake.SigGen.HashEquiv" | "BitBake.RunQueue.HashEquiv" | "BitBake.RunQueue.PSI");
        if level >= self.level || (chatty && level >= level::VERBOSE) {
            // A full disk must not turn into a panic; the console still has the message.
            let _ = writeln!(self.file, "{}", format(level, message));
        }
    }
}

/// Standard output and error, and the console log.
pub struct Console {
    /// Records below this stay off the screen.
    pub level: u32,
    pub log: Option<ConsoleLog>,
    colour: bool,
    /// `-l DOMAIN`: the level of a logger other than the general one.
    pub domains: Vec<(String, u32)>,
    once: HashSet<(u32, String)>,
}

impl Console {
    pub fn new(level: u32) -> Console {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Console { level, log: None, colour, domains: Vec::new(), once: HashSet::new() }
    }

    /// Text for the screen if the record is to be shown there: (line, to standard error).
    /// The console log gets its copy here. `errlevel` is the level the error stream starts from.
    pub fn record(&mut self, logger: &str, level: u32, message: &str) -> Option<(String, bool)> {
        if matches!(level, level::WARNONCE | level::ERRORONCE) && !self.once.insert((level, message.to_string())) {
            return None;
        }
        if let Some(log) = &mut self.log {
            log.write(logger, level, message);
        }
        let limit = self
            .domains
            .iter()
            .filter(|(d, _)| logger == d || logger.strip_prefix(d.as_str()).is_some_and(|r| r.starts_with('.')))
            .map(|(_, l)| *l)
            .min()
            .unwrap_or(self.level);
        if level < limit {
            return None;
        }
        let text = if self.colour { format_coloured(level, message) } else { format(level, message) };
        Some((text, level >= level::ERROR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_levels_as_users_know_them() {
        assert_eq!(format(level::NOTE, "x"), "NOTE: x");
        assert_eq!(format(level::VERBNOTE, "x"), "NOTE: x");
        assert_eq!(format(level::PLAIN, "x"), "x");
        assert_eq!(format(level::WARNING, "x"), "WARNING: x");
        assert_eq!(format(level::CRITICAL, "x"), "ERROR: x");
        assert_eq!(format(level::DEBUG2, "x"), "DEBUG: x");
    }

    #[test]
    fn once_records_come_once_and_low_ones_not_at_all() {
        let mut c = Console::new(level::NOTE);
        c.colour = false;
        assert_eq!(c.record("BitBake", level::WARNONCE, "w"), Some(("WARNING: w".into(), false)));
        assert_eq!(c.record("BitBake", level::WARNONCE, "w"), None);
        assert_eq!(c.record("BitBake", level::DEBUG, "d"), None);
        assert_eq!(c.record("BitBake", level::ERROR, "e"), Some(("ERROR: e".into(), true)));
        c.domains.push(("BitBake.Fetcher".into(), level::DEBUG));
        assert!(c.record("BitBake.Fetcher", level::DEBUG, "d").is_some());
        assert!(c.record("BitBake.FetcherX", level::DEBUG, "d").is_none());
    }
}
