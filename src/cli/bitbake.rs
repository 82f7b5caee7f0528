//! `bitbake`: options as the reference has them, turned into a [`hz_server::Request`].

use clap::{ArgAction, Parser};
use hz_events::level;
use hz_server::{Request, Verb};
use std::ffi::OsString;

/// The version people's scripts and layers ask for: the reference's.
pub const VERSION: &str = "2.18.0";

/// Builds recipes. The build directory is the current one, or the first entry of BBPATH that
/// holds conf/bblayers.conf.
#[derive(Parser, Debug)]
#[command(name = "bitbake", disable_version_flag = true, disable_help_flag = true)]
struct Options {
    /// Recipes (or anything they provide) to build, each optionally with a task: NAME[:do_TASK].
    #[arg(value_name = "recipename/target", help_heading = "General options")]
    targets: Vec<String>,
    /// List every recipe with its latest, preferred and required version.
    #[arg(short = 's', long = "show-versions", help_heading = "General options")]
    show_versions: bool,
    /// Print the variables and functions of the configuration or of one recipe, with their history.
    #[arg(short = 'e', long = "environment", help_heading = "General options")]
    show_environment: bool,
    /// Write the dependencies of the targets as pn-buildlist and task-depends.dot.
    #[arg(short = 'g', long = "graphviz", help_heading = "General options")]
    dot_graph: bool,
    /// User interface to use.
    #[arg(short = 'u', long = "ui", env = "BITBAKE_UI", default_value = "knotty", help_heading = "General options")]
    ui: String,
    /// Print the version and exit.
    #[arg(long = "version", help_heading = "General options")]
    version: bool,
    /// Print this help and exit.
    #[arg(short = 'h', long = "help", action = ArgAction::Help, help_heading = "General options")]
    help: Option<bool>,

    /// Run the named tasks even if their stamps say they are done.
    #[arg(short = 'f', long = "force", help_heading = "Task control options")]
    force: bool,
    /// The task to run instead of the default one, with or without do_.
    #[arg(short = 'c', long = "cmd", value_name = "CMD", help_heading = "Task control options")]
    cmd: Option<String>,
    /// Forget the stamps of these tasks (comma separated), then run the default task.
    #[arg(short = 'C', long = "clear-stamp", value_name = "TASKS", help_heading = "Task control options")]
    invalidate_stamp: Option<String>,
    /// Run this task for every recipe the targets need.
    #[arg(long = "runall", value_name = "TASK", help_heading = "Task control options")]
    runall: Vec<String>,
    /// Of all the targets need, run only this task and what it depends on.
    #[arg(long = "runonly", value_name = "TASK", help_heading = "Task control options")]
    runonly: Vec<String>,
    /// Build everything; take nothing from shared state.
    #[arg(long = "no-setscene", help_heading = "Task control options")]
    nosetscene: bool,
    /// Keep what shared state gave before, but take nothing new from it.
    #[arg(long = "skip-setscene", help_heading = "Task control options")]
    skipsetscene: bool,
    /// Take from shared state what is there and stop.
    #[arg(long = "setscene-only", help_heading = "Task control options")]
    setsceneonly: bool,

    /// Go through the motions without running anything.
    #[arg(short = 'n', long = "dry-run", help_heading = "Execution control options")]
    dry_run: bool,
    /// Parse all recipes and stop.
    #[arg(short = 'p', long = "parse-only", help_heading = "Execution control options")]
    parse_only: bool,
    /// After a failure, build whatever does not depend on it.
    #[arg(short = 'k', long = "continue", help_heading = "Execution control options")]
    keep_going: bool,
    /// Profile a part of the engine: main, idle or parsing.
    #[arg(short = 'P', long = "profile", value_name = "PART", help_heading = "Execution control options")]
    profile: Vec<String>,
    /// Write signature data instead of running tasks; the handler is none, printdiff or one of the metadata's.
    #[arg(short = 'S', long = "dump-signatures", value_name = "SIGNATURE_HANDLER", help_heading = "Execution control options")]
    dump_signatures: Vec<String>,
    /// Exit with 1 if a floating source revision has moved.
    #[arg(long = "revisions-changed", help_heading = "Execution control options")]
    revisions_changed: bool,
    /// Run tasks of this recipe file alone, without what other recipes would give it.
    #[arg(short = 'b', long = "buildfile", value_name = "BUILDFILE", help_heading = "Execution control options")]
    buildfile: Option<String>,

    /// Show debug messages; each further -D shows more.
    #[arg(short = 'D', long = "debug", action = ArgAction::Count, help_heading = "Logging/output control options")]
    debug: u8,
    /// Show debug messages of this domain (Fetcher, RunQueue, …); repeat for more.
    #[arg(short = 'l', long = "log-domains", value_name = "DOMAIN", help_heading = "Logging/output control options")]
    debug_domains: Vec<String>,
    /// Trace shell tasks and show their notes.
    #[arg(short = 'v', long = "verbose", help_heading = "Logging/output control options")]
    verbose: bool,
    /// Say less; repeat for still less.
    #[arg(short = 'q', long = "quiet", action = ArgAction::Count, help_heading = "Logging/output control options")]
    quiet: u8,
    /// Write all events of the build to this file.
    #[arg(short = 'w', long = "write-log", value_name = "FILE", env = "BBEVENTLOG", help_heading = "Logging/output control options")]
    writeeventlog: Option<String>,

    /// Address for remote clients, HOST:PORT.
    #[arg(short = 'B', long = "bind", value_name = "BIND", help_heading = "Server options")]
    bind: Option<String>,
    /// Seconds of idleness after which a resident server leaves; -1 is never.
    #[arg(short = 'T', long = "idle-timeout", value_name = "SECONDS", env = "BB_SERVER_TIMEOUT", help_heading = "Server options")]
    server_timeout: Option<f64>,
    /// Use the server at this address.
    #[arg(long = "remote-server", value_name = "ADDRESS", env = "BBSERVER", help_heading = "Server options")]
    remote_server: Option<String>,
    /// Stop a running server.
    #[arg(short = 'm', long = "kill-server", help_heading = "Server options")]
    kill_server: bool,
    /// Token for the remote server.
    #[arg(long = "token", value_name = "TOKEN", env = "BBTOKEN", help_heading = "Server options")]
    xmlrpctoken: Option<String>,
    /// Only watch what a remote server does.
    #[arg(long = "observe-only", help_heading = "Server options")]
    observe_only: bool,
    /// Say by the exit status whether a server runs.
    #[arg(long = "status-only", help_heading = "Server options")]
    status_only: bool,
    /// Start a server and no user interface.
    #[arg(long = "server-only", help_heading = "Server options")]
    server_only: bool,

    /// Configuration file to read before bitbake.conf.
    #[arg(short = 'r', long = "read", value_name = "FILE", help_heading = "Configuration options")]
    prefile: Vec<String>,
    /// Configuration file to read after bitbake.conf.
    #[arg(short = 'R', long = "postread", value_name = "FILE", help_heading = "Configuration options")]
    postfile: Vec<String>,
    /// Treat this as provided already (like ASSUME_PROVIDED).
    #[arg(short = 'I', long = "ignore-deps", value_name = "NAME", help_heading = "Configuration options")]
    extra_assume_provided: Vec<String>,
}

fn usage(message: &str) -> i32 {
    eprintln!("usage: bitbake [OPTIONS] [recipename/target ...]\nbitbake: error: {message}");
    2
}

/// Options that exist on the reference and do not exist here yet. Each says so; none is ignored.
fn missing(o: &Options) -> Option<&'static str> {
    let table: [(bool, &'static str); 10] = [
        (o.ui != "knotty", "another user interface than knotty (-u)"),
        (!o.profile.is_empty(), "-P/--profile"),
        (o.revisions_changed, "--revisions-changed"),
        (o.writeeventlog.is_some(), "-w/--write-log"),
        (o.bind.is_some(), "-B/--bind"),
        (o.remote_server.is_some(), "--remote-server"),
        (o.xmlrpctoken.is_some(), "--token"),
        (o.observe_only, "--observe-only"),
        (o.server_only, "--server-only"),
        (o.server_timeout.is_some_and(|t| t != 0.0), "-T/--idle-timeout"),
    ];
    table.iter().find(|(given, _)| *given).map(|(_, name)| *name)
}

/// The words of the command, as BB_CMDLINE shows them: the program by its path.
fn command_line(args: &[OsString]) -> Vec<String> {
    let mut words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    if let Some(name) = words.first_mut()
        && !name.contains('/')
        && let Some(path) = std::env::var_os("PATH")
        && let Some(found) = std::env::split_paths(&path).map(|dir| dir.join(&*name)).find(|file| file.is_file())
    {
        *name = found.to_string_lossy().into_owned();
    }
    words
}

/// `bitbake` with the given arguments (the first is the program's name); gives the exit status.
pub fn main(args: Vec<OsString>) -> i32 {
    let command = command_line(&args);
    let mut o = match Options::try_parse_from(args) {
        Ok(o) => o,
        Err(e) if e.kind() == clap::error::ErrorKind::UnknownArgument => {
            let what = e.get(clap::error::ContextKind::InvalidArg).map(|a| a.to_string()).unwrap_or_default();
            return usage(&format!("unrecognized arguments: {what}"));
        }
        Err(e) => {
            let _ = e.print();
            return e.exit_code();
        }
    };
    if o.version {
        println!("BitBake Build Tool Core version {VERSION}");
        return 0;
    }
    if o.quiet > 0 && o.verbose {
        return usage("options --quiet and --verbose are mutually exclusive");
    }
    if o.quiet > 0 && o.debug > 0 {
        return usage("options --quiet and --debug are mutually exclusive");
    }
    if let Ok(text) = std::env::var("BBDEBUG") {
        match text.parse::<u8>() {
            Ok(level) => o.debug = o.debug.max(level),
            Err(_) => return usage(&format!("BBDEBUG is '{text}', not a number")),
        }
    }
    if let Some(what) = missing(&o) {
        eprintln!("ERROR: {what} is not built yet in this BitBake.");
        return 1;
    }
    for (env, list) in [("BBPRECONF", &mut o.prefile), ("BBPOSTCONF", &mut o.postfile)] {
        if let Ok(file) = std::env::var(env) {
            list.push(file);
        }
    }
    // No server outlives its command here: nothing to stop, and none to report.
    if o.status_only {
        return if hz_server::lock_holder().is_some() { 0 } else { 1 };
    }
    if o.kill_server {
        return 0;
    }
    let loglevel = match (o.debug, o.verbose) {
        (0, false) => level::NOTE,
        (0, true) => level::VERBOSE,
        (n, _) => (level::DEBUG + 1).saturating_sub(u32::from(n)).max(1),
    };
    let mut domains: Vec<(String, u32)> = Vec::new();
    for domain in &o.debug_domains {
        match domains.iter_mut().find(|(d, _)| d == domain) {
            Some((_, level)) => *level = level.saturating_sub(1),
            None => domains.push((domain.clone(), level::DEBUG)),
        }
    }
    let verb = if o.show_environment {
        Verb::Environment
    } else if o.show_versions {
        Verb::Versions
    } else if o.parse_only {
        Verb::Parse
    } else if o.dot_graph {
        Verb::Graph
    } else {
        Verb::Build
    };
    hz_server::run(Request {
        verb,
        targets: o.targets,
        command,
        buildfile: o.buildfile,
        cmd: o.cmd,
        force: o.force,
        invalidate_stamps: o.invalidate_stamp.map(|s| s.split(',').map(str::to_string).collect()).unwrap_or_default(),
        runall: o.runall,
        runonly: o.runonly,
        no_setscene: o.nosetscene,
        skip_setscene: o.skipsetscene,
        setscene_only: o.setsceneonly,
        dry_run: o.dry_run,
        keep_going: o.keep_going,
        dump_signatures: o.dump_signatures,
        prefiles: o.prefile,
        postfiles: o.postfile,
        assume_provided: o.extra_assume_provided,
        loglevel,
        debug: o.debug,
        verbose: o.verbose,
        quiet: o.quiet,
        domains,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_targets_interleave() {
        let o = Options::try_parse_from(["bitbake", "a", "-k", "b", "-c", "compile", "-DD", "c:do_x"]).unwrap();
        assert_eq!(o.targets, ["a", "b", "c:do_x"]);
        assert_eq!((o.keep_going, o.cmd.as_deref(), o.debug), (true, Some("compile"), 2));
    }

    #[test]
    fn long_options_are_not_abbreviated_and_unknown_ones_refused() {
        assert!(Options::try_parse_from(["bitbake", "--contin"]).is_err());
        assert!(Options::try_parse_from(["bitbake", "--nonsense"]).is_err());
    }

    #[test]
    fn what_is_not_built_says_so() {
        let o = Options::try_parse_from(["bitbake", "-w", "x.json", "a"]).unwrap();
        assert_eq!(missing(&o), Some("-w/--write-log"));
        assert_eq!(main(["bitbake", "--revisions-changed"].map(OsString::from).to_vec()), 1);
    }
}
