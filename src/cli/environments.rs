//! `hitzeleiter environments`: what `bitbake -e TARGET` shows, of every recipe in one go, for
//! `compat-tests/variables`.

use clap::Parser;
use hz_server::{Request, Selection, Verb};
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::os::fd::{AsRawFd, FromRawFd};

/// Writes the environment of the configuration and of every recipe and variant to standard output:
/// for each a line of JSON (target, failed, messages, length) and that many bytes.
#[derive(Parser, Debug)]
#[command(name = "hitzeleiter environments")]
struct Options {
    /// Only recipe files whose path matches this expression, and not the configuration.
    #[arg(long, value_name = "PATTERN", default_value = "")]
    only: String,
    /// Only this multiconfig; repeat for more. The default one is ''.
    #[arg(long, value_name = "NAME")]
    mc: Vec<String>,
    /// Recipes parsed at a time; as many as there are processors if not given.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

pub fn main(args: Vec<OsString>) -> i32 {
    let o = match Options::try_parse_from(args) {
        Ok(o) => o,
        Err(e) => {
            let _ = e.print();
            return e.exit_code();
        }
    };
    // Whatever the metadata prints goes to standard error; the records have the real output.
    // SAFETY: plain calls on descriptors of our own, in a process of one thread.
    let records = unsafe {
        let fd = libc::dup(std::io::stdout().as_raw_fd());
        if fd < 0 || libc::dup2(2, 1) < 0 {
            eprintln!("ERROR: cannot redirect standard output: {}", std::io::Error::last_os_error());
            return 1;
        }
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        File::from_raw_fd(fd)
    };
    let jobs = o.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    let selection = Selection { only: o.only, mcs: o.mc, jobs };
    let program = std::env::current_exe().map(|p| p.with_file_name("bitbake")).unwrap_or_default();
    let command = vec![program.to_string_lossy().into_owned(), "-e".into()];
    let request = Request { verb: Verb::Environment, command, loglevel: hz_events::level::NOTE, ..Request::default() };
    hz_server::environments(request, &selection, &mut BufWriter::new(records))
}
