//! The disk monitor: BB_DISKMON_DIRS names directories whose free space and inodes are watched
//! while tasks run.

use hz_events::{Event, emit, level, log};
use hz_graph::{Config, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What the build is to do after a look at the disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskAction {
    None,
    /// Start no more tasks.
    StopTasks,
    /// Kill what runs.
    Halt,
}

#[derive(Clone, Debug, PartialEq)]
struct Watch {
    path: PathBuf,
    action: String,
    device: String,
    min_space: Option<u64>,
    min_inodes: Option<u64>,
    /// Free space and inodes when last warned of; 0: never.
    warned_space: u64,
    warned_inodes: u64,
    /// Acted already.
    checked: bool,
}

/// Free bytes for users, free bytes, bytes in all, free inodes, inodes in all.
#[derive(Clone, Copy, Debug)]
struct Usage {
    free: u64,
    free_root: u64,
    total: u64,
    inodes_free: u64,
    inodes: u64,
}

/// Watches disks; does nothing when BB_DISKMON_DIRS is empty or wrong.
#[derive(Clone, Debug, Default)]
pub struct DiskMonitor {
    watches: Vec<Watch>,
    space_interval: u64,
    inode_interval: u64,
    samples: Vec<(String, Usage)>,
}

fn wrong(message: String) -> Option<Vec<Watch>> {
    log(level::ERROR, "Monitor", format!("{message}\n       Disk space monitor will NOT be enabled"));
    None
}

/// `50M`: a number above 0 with an optional unit.
fn amount(text: &str) -> Option<u64> {
    let text = text.strip_suffix([' ', '\n', '\t']).unwrap_or(text);
    let (digits, factor) = match text.as_bytes().last()? {
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        _ => (text, 1),
    };
    let well_formed = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| well_formed).and_then(|n| n.checked_mul(factor))
}

/// The device mounted where `path` is.
fn mounted_device(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(path).ok()?.dev();
    let mut mount = path;
    while let Some(parent) = mount.parent() {
        if std::fs::metadata(parent).ok()?.dev() != device {
            break;
        }
        mount = parent;
    }
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let mount = mount.to_str()?;
    mounts.lines().map(|line| line.split_whitespace()).find_map(|mut parts| {
        let device = parts.next()?;
        (parts.next()? == mount).then(|| device.to_owned())
    })
}

fn parse_watches(text: &str) -> Option<Vec<Watch>> {
    let mut watches: Vec<Watch> = Vec::new();
    for entry in hz_versions::words(text) {
        let mut parts = entry.splitn(4, ',');
        let (Some(action), Some(path), Some(space)) = (parts.next(), parts.next(), parts.next()) else {
            return wrong(format!("Invalid value in BB_DISKMON_DIRS: {entry}"));
        };
        let inodes = parts.next().unwrap_or_default();
        let action = if action == "ABORT" {
            log(level::WARNONCE, "Monitor", "The BB_DISKMON_DIRS \"ABORT\" action has been renamed to \"HALT\", update configuration");
            "HALT"
        } else {
            action
        };
        if !["HALT", "STOPTASKS", "WARN"].contains(&action) {
            return wrong(format!("Unknown disk space monitor action: {action}"));
        }
        let limit = |text: &str| if text.is_empty() { Some(None) } else { amount(text).map(Some) };
        let Some(min_space) = limit(space) else {
            return wrong(format!("Invalid disk space value in BB_DISKMON_DIRS: {space}"));
        };
        let Some(min_inodes) = limit(inodes) else {
            return wrong(format!("Invalid inode value in BB_DISKMON_DIRS: {inodes}"));
        };
        if min_space.is_none() && min_inodes.is_none() {
            return wrong(format!("No disk space or inode value in found BB_DISKMON_DIRS: {entry}"));
        }
        let path = std::path::absolute(if path.is_empty() { "." } else { path }).unwrap_or_else(|_| path.into());
        // It may be made by the build only.
        if let Err(e) = std::fs::create_dir_all(&path) {
            return wrong(format!("Unable to create {} of BB_DISKMON_DIRS: {e}", path.display()));
        }
        let path = path.canonicalize().unwrap_or(path);
        let device = mounted_device(&path).unwrap_or_else(|| "None".into());
        let watch = Watch { path, action: action.into(), device, min_space, min_inodes, warned_space: 0, warned_inodes: 0, checked: false };
        match watches.iter_mut().find(|old| old.path == watch.path && old.action == watch.action) {
            Some(old) => *old = watch,
            None => watches.push(watch),
        }
    }
    Some(watches)
}

/// BB_DISKMON_WARNINTERVAL: how much less must be free before it is warned of again.
fn parse_interval(text: &str) -> Option<(u64, u64)> {
    let (space, inodes) = text.split_once(',').unwrap_or((text, ""));
    let inodes = inodes.trim_start();
    let one = |text: &str, default: u64, what: &str| match text {
        "" => Some(default),
        text => amount(text).or_else(|| {
            wrong(format!("Invalid {what} interval value in BB_DISKMON_WARNINTERVAL: {text}"));
            None
        }),
    };
    Some((one(space, 50 << 20, "disk space")?, one(inodes, 5 << 10, "disk inode")?))
}

fn usage(path: &Path) -> Option<Usage> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros is a valid statvfs, and the path ends in a zero.
    let mut st: libc::statvfs = unsafe { std::mem::zeroed() };
    if unsafe { libc::statvfs(path.as_ptr(), &mut st) } != 0 {
        return None;
    }
    Some(Usage {
        free: st.f_bavail * st.f_frsize,
        free_root: st.f_bfree * st.f_frsize,
        total: st.f_blocks * st.f_frsize,
        inodes_free: st.f_favail,
        inodes: st.f_files,
    })
}

impl DiskMonitor {
    /// Reads BB_DISKMON_DIRS and BB_DISKMON_WARNINTERVAL; what is wrong in them is logged.
    pub fn new(config: &dyn Config) -> Result<DiskMonitor> {
        let Some(dirs) = config.get_filled("BB_DISKMON_DIRS")? else { return Ok(DiskMonitor::default()) };
        let Some(watches) = parse_watches(&dirs).filter(|list| !list.is_empty()) else { return Ok(DiskMonitor::default()) };
        let interval = parse_interval(&config.get_or_empty("BB_DISKMON_WARNINTERVAL")?);
        let Some((space_interval, inode_interval)) = interval else { return Ok(DiskMonitor::default()) };
        Ok(DiskMonitor { watches, space_interval, inode_interval, samples: Vec::new() })
    }

    pub fn is_enabled(&self) -> bool {
        !self.watches.is_empty()
    }

    /// Looks at every disk; warns, and says what the build must do.
    pub fn check(&mut self) -> DiskAction {
        self.check_with(usage)
    }

    fn check_with(&mut self, usage: impl Fn(&Path) -> Option<Usage>) -> DiskAction {
        let mut result = DiskAction::None;
        self.samples.clear();
        for watch in &mut self.watches {
            let Some(now) = usage(&watch.path) else { continue };
            self.samples.retain(|(device, _)| *device != watch.device);
            self.samples.push((watch.device.clone(), now));
            let shown = watch.path.display().to_string();
            if watch.min_space.is_some_and(|min| now.free < min) {
                let less = watch.warned_space.saturating_sub(now.free);
                if watch.warned_space == 0 || (less > self.space_interval && !watch.checked) {
                    let gigabytes = now.free as f64 / 1024.0 / 1024.0 / 1024.0;
                    log(level::WARNING, "Monitor", format!("The free space of {shown} ({}) is running low ({gigabytes:.3}GB left)", watch.device));
                    watch.warned_space = now.free;
                }
                result = result.max(act(watch, "disk", now.free, &shown));
            }
            if watch.min_inodes.is_some_and(|min| now.inodes_free < min) {
                // Some file systems make inodes as they need them.
                if now.inodes == 0 || now.inodes_free == u64::MAX {
                    watch.min_inodes = None;
                    continue;
                }
                let less = watch.warned_inodes.saturating_sub(now.inodes_free);
                if watch.warned_inodes == 0 || (less > self.inode_interval && !watch.checked) {
                    log(level::WARNING, "Monitor", format!("The free inode of {shown} ({}) is running low ({:.3}K left)", watch.device, now.inodes_free as f64 / 1024.0));
                    watch.warned_inodes = now.inodes_free;
                }
                result = result.max(act(watch, "inode", now.inodes_free, &shown));
            }
        }
        result
    }

    /// Emits MonitorDiskEvent with what the last look saw.
    pub fn report(&self) {
        if self.is_enabled() {
            let usage: Map<String, Value> = self
                .samples
                .iter()
                .map(|(device, usage)| (device.clone(), json!({ "available_bytes": usage.free, "free_bytes": usage.free_root, "total_bytes": usage.total })))
                .collect();
            emit(Event::Other { class: "bb.event.MonitorDiskEvent".into(), attributes: json!({ "disk_usage": usage }) });
        }
    }
}

/// The action of a watch whose limit is passed, once.
fn act(watch: &mut Watch, kind: &str, free: u64, mount: &str) -> DiskAction {
    let (action, message) = match watch.action.as_str() {
        "STOPTASKS" => (DiskAction::StopTasks, "No new tasks can be executed since the disk space monitor action is \"STOPTASKS\"!"),
        "HALT" => (DiskAction::Halt, "Immediately halt since the disk space monitor action is \"HALT\"!"),
        _ => return DiskAction::None,
    };
    if std::mem::replace(&mut watch.checked, true) {
        return DiskAction::None;
    }
    log(level::ERROR, "Monitor", message);
    emit(Event::DiskFull { dev: watch.device.clone(), fs_type: kind.into(), free, mount: mount.into() });
    action
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn amounts() {
        assert_eq!(amount("1G"), Some(1 << 30));
        assert_eq!(amount("100k"), Some(102400));
        assert_eq!(amount("7"), Some(7));
        for bad in ["", "0", "G", "1T", "1.5G", "01"] {
            assert_eq!(amount(bad), None, "{bad}");
        }
        assert_eq!(parse_interval("10M"), Some((10 << 20, 5 << 10)));
        assert_eq!(parse_interval(", 1K"), Some((50 << 20, 1 << 10)));
        assert_eq!(parse_interval("x"), None);
    }

    #[test]
    fn acts_once() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().display();
        let config = HashMap::from([("BB_DISKMON_DIRS".to_string(), format!("WARN,{path},2G,10K STOPTASKS,{path},1G,1K HALT,{path},100M,"))]);
        let mut monitor = DiskMonitor::new(&config).expect("monitor");
        assert_eq!(monitor.watches.len(), 3);
        let with = |free: u64, inodes: u64| move |_: &Path| Some(Usage { free, free_root: free, total: 1 << 40, inodes_free: inodes, inodes: 1 << 30 });
        assert_eq!(monitor.check_with(with(3 << 30, 1 << 20)), DiskAction::None);
        assert_eq!(monitor.check_with(with((1 << 30) - 1, 1 << 20)), DiskAction::StopTasks);
        assert_eq!(monitor.check_with(with((1 << 30) - 1, 1 << 20)), DiskAction::None, "told once");
        assert_eq!(monitor.check_with(with(1, 1)), DiskAction::Halt);
        let bad = HashMap::from([("BB_DISKMON_DIRS".to_string(), "EXPLODE,/tmp,1G,1K".to_string())]);
        assert!(!DiskMonitor::new(&bad).expect("monitor").is_enabled());
    }
}
