//! The terminal user interface: turns every event into the lines a BitBake user knows.

use crate::console::{Console, ConsoleLog};
use crate::footer::Footer;
use hz_events::{Event, LogRecord, Stats, TaskInfo, level};
use indicatif::ProgressBar;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

/// What the command line asks of the terminal.
#[derive(Clone, Debug)]
pub struct Options {
    /// `-q`, counted.
    pub quiet: u8,
    /// Level below which records are not shown (NOTE unless -v or -D).
    pub loglevel: u32,
    /// `universe` is among the targets: a missing provider is only a warning.
    pub universe: bool,
    /// `-l DOMAIN` with the level it gives.
    pub domains: Vec<(String, u32)>,
}

/// A progress display: a bar on a terminal, `Title...done.` elsewhere.
enum Progress {
    Bar(ProgressBar),
    Plain,
}

/// The terminal. Feed it events, call [`Knotty::tick`] now and then, ask for the exit status last.
pub struct Knotty {
    options: Options,
    console: Console,
    footer: Option<Footer>,
    progress: Option<(String, Progress)>,
    /// BBINCLUDELOGS and BBINCLUDELOGS_LINES.
    include_logs: bool,
    log_lines: Option<usize>,
    running: FxHashMap<i32, String>,
    failures: Vec<(String, Option<String>)>,
    warnings: usize,
    errors: usize,
    exit: i32,
    interrupts: u32,
    setscene: (usize, usize),
    tasks: (usize, usize),
}

fn stdout_line(text: &str) {
    let mut out = std::io::stdout().lock();
    // A reader that went away (`bitbake | head`) is no error of ours.
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { one.replace("%s", "1") } else { many.replace("%s", &n.to_string()) }
}

impl Knotty {
    pub fn new(options: Options) -> Knotty {
        let shown = match options.quiet {
            0 => options.loglevel,
            1 | 2 => level::WARNING,
            _ => level::ERROR,
        };
        let mut console = Console::new(shown);
        console.domains = options.domains.iter().map(|(d, l)| (format!("BitBake.{d}"), *l)).collect();
        let footer = std::io::stdout().is_terminal().then(|| Footer::new(options.quiet > 0));
        Knotty {
            options,
            console,
            footer,
            progress: None,
            include_logs: true,
            log_lines: None,
            running: FxHashMap::default(),
            failures: Vec::new(),
            warnings: 0,
            errors: 0,
            exit: 0,
            interrupts: 0,
            setscene: (0, 0),
            tasks: (0, 0),
        }
    }

    /// Once the configuration is known: where the console log goes (none: no log) and how much of a
    /// failed task's log is shown (`lines` 0 or None: all of it).
    pub fn configure(&mut self, console_log: Option<&Path>, include_logs: bool, lines: Option<usize>) -> std::io::Result<()> {
        self.include_logs = include_logs;
        self.log_lines = lines.filter(|n| *n > 0);
        if let Some(path) = console_log {
            self.console.log = Some(ConsoleLog::open(path, self.options.loglevel)?);
        }
        Ok(())
    }

    fn line(&mut self, text: &str, to_stderr: bool) {
        // A title without its "done." yet stays on its own line, as on the reference, only where
        // both go to the same stream; the reference does not break it either.
        match &self.footer {
            Some(footer) if to_stderr => footer.suspend(|| eprintln!("{text}")),
            Some(footer) => footer.print(text),
            None if to_stderr => {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
            None => stdout_line(text),
        }
    }

    fn record(&mut self, logger: &str, at: u32, message: &str) {
        // On a terminal the footer says what runs; only the console log keeps the lines.
        let footer_says_it = self.footer.is_some()
            && at == level::NOTE
            && (message.starts_with("Running") || message.starts_with("recipe ") || message.contains("limiting task startup"));
        if let Some((text, err)) = self.console.record(logger, at, message)
            && !footer_says_it
        {
            self.line(&text, err);
        }
    }

    fn log(&mut self, record: &LogRecord) {
        if record.level >= level::ERRORONCE {
            self.errors += 1;
            self.exit = 1;
        } else if record.level == level::WARNING {
            self.warnings += 1;
        }
        let limit = self.options.loglevel;
        let mut message = record.message.clone();
        if let Some(pid) = record.taskpid {
            if record.level <= level::NOTE && (record.level < limit || (record.level == level::NOTE && limit != level::VERBOSE)) {
                return;
            }
            if !matches!(record.level, level::PLAIN | level::WARNONCE | level::ERRORONCE)
                && let Some(title) = self.running.get(&pid)
            {
                message = format!("{title}: {message}");
            }
        }
        if let Some(fn_) = &record.fn_
            && !matches!(record.level, level::WARNONCE | level::ERRORONCE)
        {
            message = format!("{fn_}: {message}");
        }
        self.record(&record.logger, record.level, &message);
    }

    /// The command ends before it began: `events` are all there is to say, on standard output, and
    /// nothing is summed up.
    pub fn not_started<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for event in events {
            if let Event::Log(record) = event
                && let Some((text, _)) = self.console.record(&record.logger, record.level, &record.message)
            {
                self.line(&text, false);
            }
        }
        (self.warnings, self.errors, self.exit) = (0, 0, 1);
    }

    fn start_progress(&mut self, title: &str, total: usize) {
        self.finish_progress();
        let progress = match &mut self.footer {
            Some(footer) => Progress::Bar(footer.start_bar(title, total as u64)),
            None => {
                print!("{title}...");
                let _ = std::io::stdout().flush();
                Progress::Plain
            }
        };
        self.progress = Some((title.to_string(), progress));
    }

    fn update_progress(&mut self, current: usize) {
        if let Some((_, Progress::Bar(bar))) = &self.progress {
            bar.set_position(current as u64);
        }
    }

    fn finish_progress(&mut self) {
        match self.progress.take() {
            Some((_, Progress::Bar(bar))) => bar.finish_and_clear(),
            Some((_, Progress::Plain)) => stdout_line("done."),
            None => {}
        }
    }

    fn task_ended(&mut self, pid: i32) {
        self.running.remove(&pid);
        if let Some(footer) = &mut self.footer {
            footer.task_ended(pid);
        }
        self.draw_counts();
    }

    fn draw_counts(&mut self) {
        let (setscene, tasks, waiting) = (self.setscene, self.tasks, self.interrupts > 0);
        if let Some(footer) = &mut self.footer
            && tasks.1 > 0
        {
            footer.counts(setscene, tasks, waiting);
        }
    }

    fn stats(&mut self, stats: &Stats) {
        self.tasks = (stats.completed + stats.active + stats.failed, stats.total);
        self.setscene =
            (stats.setscene_active + stats.setscene_covered + stats.setscene_notcovered, stats.setscene_total);
        self.draw_counts();
    }

    fn show_log_of(&mut self, info: &TaskInfo, printed: bool) {
        let Some(path) = info.logfile.as_deref().filter(|p| Path::new(p).exists()) else { return };
        self.record("BitBake", level::ERROR, &format!("Logfile of failure stored in: {path}"));
        if !self.include_logs || printed {
            return;
        }
        let Ok(file) = File::open(path) else { return };
        let mut text = vec!["Log data follows:".to_string()];
        let mut reader = BufReader::new(file);
        let mut raw = Vec::new();
        let mut last: VecDeque<String> = VecDeque::new();
        while reader.read_until(b'\n', &mut raw).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&raw).trim_end().to_string();
            raw.clear();
            match self.log_lines {
                None => text.push(format!("| {line}")),
                Some(limit) => {
                    last.push_back(format!(" | {line}"));
                    if last.len() > limit {
                        last.pop_front();
                    }
                }
            }
        }
        text.extend(last);
        self.line(&text.join("\n"), false);
    }

    /// Takes one event.
    pub fn event(&mut self, event: &Event) {
        let quiet = self.options.quiet;
        match event {
            Event::Log(record) => self.log(record),
            Event::TaskStarted(info) => {
                let title = format!("{} {}", info.package, info.task);
                self.running.insert(info.pid, title.clone());
                if let Some(footer) = &mut self.footer {
                    footer.task_started(info.pid, title);
                }
                self.draw_counts();
                self.record("BitBake", level::NOTE, &info.message);
            }
            Event::TaskSucceeded(info) => {
                self.task_ended(info.pid);
                self.record("BitBake", level::NOTE, &info.message);
            }
            Event::TaskFailed { info, errprinted } => {
                self.task_ended(info.pid);
                self.exit = 1;
                self.show_log_of(info, *errprinted);
                let key = format!("{}:{}", info.mcfn, info.task);
                match self.failures.iter_mut().find(|(k, _)| *k == key) {
                    Some(known) => known.1 = info.logfile.clone(),
                    None => self.failures.push((key, info.logfile.clone())),
                }
                self.record("BitBake", level::NOTE, &info.message);
            }
            Event::TaskFailedSilent(info) => {
                self.task_ended(info.pid);
                let log = info.logfile.as_deref().unwrap_or("None");
                self.record("BitBake", level::WARNING, &format!("Logfile for failed setscene task is {log}"));
            }
            Event::TaskInvalid(info) => self.record("BitBake", level::NOTE, &info.message),
            Event::TaskProgress { pid, progress, rate } => {
                if let Some(footer) = &mut self.footer {
                    footer.task_progress(*pid, *progress, rate.clone());
                }
            }
            Event::CacheLoadStarted { total } if quiet <= 1 => self.start_progress("Loading cache", *total),
            Event::ParseStarted { total } if quiet <= 1 && *total > 0 => self.start_progress("Parsing recipes", *total),
            Event::ProcessStarted { name, total } if quiet <= 1 => self.start_progress(name, *total),
            Event::CacheLoadProgress { current, .. } | Event::ParseProgress { current, .. } => self.update_progress(*current),
            Event::ProcessProgress { name, current } => {
                if self.progress.as_ref().is_some_and(|(title, _)| title == name) {
                    self.update_progress(*current);
                }
            }
            Event::CacheLoadCompleted { num_entries, .. } if quiet <= 1 => {
                self.finish_progress();
                if quiet == 0 {
                    self.line(&format!("Loaded {num_entries} entries from dependency cache."), false);
                }
            }
            Event::ParseCompleted { cached, parsed, skipped, masked, virtuals, errors, total } if quiet <= 1 => {
                if self.progress.is_some() {
                    self.finish_progress();
                    if quiet == 0 {
                        self.line(
                            &format!(
                                "Parsing of {total} .bb files complete ({cached} cached, {parsed} parsed). {virtuals} targets, {skipped} skipped, {masked} masked, {errors} errors."
                            ),
                            false,
                        );
                    }
                }
            }
            Event::ProcessFinished { name } => {
                if self.progress.as_ref().is_some_and(|(title, _)| title == name) {
                    self.finish_progress();
                }
            }
            Event::NoProvider { item, runtime, dependees, reasons, close_matches } => {
                let text = no_provider(item, *runtime, dependees, reasons, close_matches);
                if self.options.universe {
                    self.record("BitBake", level::WARNING, &text);
                } else {
                    self.errors += 1;
                    self.exit = 1;
                    self.record("BitBake", level::ERROR, &text);
                }
            }
            Event::MultipleProviders { item, candidates, runtime } => {
                let (kind, r) = if *runtime { ("runtime ", "R") } else { ("", "") };
                let list = candidates.join(", ");
                self.record(
                    "BitBake",
                    level::NOTE,
                    &format!("Multiple providers are available for {kind}{item} ({list})\nConsider defining a PREFERRED_{r}PROVIDER entry to match {item}"),
                );
            }
            Event::SceneQueueTaskStarted { task, stats, .. } => {
                self.stats(stats);
                let n = stats.setscene_covered + stats.setscene_active + stats.setscene_notcovered + 1;
                self.record("BitBake", level::NOTE, &format!("Running setscene task {n} of {} ({})", stats.setscene_total, task.tid));
            }
            Event::RunQueueTaskStarted { task, stats, noexec } => {
                self.stats(stats);
                let kind = if *noexec { "noexec task" } else { "task" };
                let n = stats.completed + stats.active + stats.failed + 1;
                self.record("BitBake", level::NOTE, &format!("Running {kind} {n} of {} ({})", stats.total, task.tid));
            }
            Event::RunQueueTaskFailed { task, exitcode, fakeroot_log, .. } => {
                self.exit = 1;
                if !self.failures.iter().any(|(k, _)| *k == task.tid) {
                    self.failures.push((task.tid.clone(), None));
                }
                let mut text = format!("Task ({}) failed with exit code '{exitcode}'", task.tid);
                if let Some(log) = fakeroot_log {
                    text.push_str(&format!(" \nPseudo log:\n{log}"));
                }
                self.record("BitBake", level::ERROR, &text);
            }
            Event::SceneQueueTaskFailed { task, exitcode, .. } => {
                self.record(
                    "BitBake",
                    level::WARNING,
                    &format!("Setscene task ({}) failed with exit code '{exitcode}' - real task will be run instead", task.tid),
                );
            }
            Event::CommandFailed { message } => {
                self.exit = 1;
                if !message.is_empty() {
                    self.errors += 1;
                    self.record("BitBake", level::ERROR, &format!("Command execution failed: {message}"));
                }
            }
            Event::CommandExit { code } => {
                if self.exit == 0 {
                    self.exit = *code;
                }
            }
            _ => {}
        }
    }

    /// Prints an error that refuses the command line: it is not among those that are counted.
    pub fn refuse(&mut self, text: &str) {
        self.record("BitBake", level::ERROR, text);
    }

    /// Prints a line that is no log record.
    pub fn say(&mut self, text: &str) {
        self.line(text, false);
    }

    /// Ctrl-C number one or two: tells the user what happens now.
    pub fn interrupted(&mut self) {
        self.interrupts += 1;
        let text = match self.interrupts {
            1 => "\nKeyboard Interrupt, closing down...\n",
            2 => "\nSecond Keyboard Interrupt, stopping...\n",
            _ => return,
        };
        self.line(text, false);
        self.draw_counts();
    }

    /// Call a few times a second: elapsed times in the footer.
    pub fn tick(&mut self) {
        if let Some(footer) = &mut self.footer {
            footer.tick();
        }
    }

    /// Prints the closing summary; gives the exit status.
    pub fn finish(&mut self) -> i32 {
        // What did not finish is not "done".
        self.progress = None;
        if let Some(footer) = &mut self.footer {
            footer.clear();
        }
        let mut summary = String::new();
        if !self.failures.is_empty() {
            summary += &count(self.failures.len(), "\nSummary: %s task failed:", "\nSummary: %s tasks failed:");
            for (task, log) in &self.failures {
                summary += &format!("\n  {task}");
                if let Some(log) = log {
                    if self.footer.is_some() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) {
                        summary += &format!("\n    log: \x1b]8;;file://{log}\x1b\\{log}\x1b]8;;\x1b\\");
                    } else {
                        summary += &format!("\n    log: {log}");
                    }
                }
            }
        }
        if self.warnings > 0 {
            summary += &count(self.warnings, "\nSummary: There was %s WARNING message.", "\nSummary: There were %s WARNING messages.");
        }
        if self.exit != 0 && self.errors > 0 {
            summary += &count(
                self.errors,
                "\nSummary: There was %s ERROR message, returning a non-zero exit code.",
                "\nSummary: There were %s ERROR messages, returning a non-zero exit code.",
            );
        }
        if !summary.is_empty() && self.options.quiet == 0 {
            stdout_line(&summary);
        }
        if self.interrupts > 0 {
            stdout_line("Execution was interrupted, returning a non-zero exit code.");
            if self.exit == 0 {
                self.exit = 1;
            }
        }
        self.exit
    }
}

/// The message for something nobody provides.
fn no_provider(item: &str, runtime: bool, dependees: &[String], reasons: &[String], close: &[String]) -> String {
    let r = if runtime { "R" } else { "" };
    let mut text = format!("Nothing {r}PROVIDES '{item}'");
    if !dependees.is_empty() {
        text += &format!(" (but {} {r}DEPENDS on or otherwise requires it)", dependees.join(", "));
    }
    if reasons.is_empty() && !close.is_empty() {
        let mut sorted: Vec<_> = close.to_vec();
        sorted.sort();
        sorted.dedup();
        text += &format!(". Close matches:\n  {}", sorted.join("\n  "));
    }
    for reason in reasons {
        text += &format!("\n{reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knotty() -> Knotty {
        Knotty::new(Options { quiet: 0, loglevel: level::NOTE, universe: false, domains: Vec::new() })
    }

    #[test]
    fn missing_provider_names_who_needs_it_and_what_is_close() {
        assert_eq!(
            no_provider("fo", false, &["a.bb".into()], &[], &["foo".into(), "fox".into(), "foo".into()]),
            "Nothing PROVIDES 'fo' (but a.bb DEPENDS on or otherwise requires it). Close matches:\n  foo\n  fox"
        );
        assert_eq!(no_provider("x", true, &[], &["x was skipped: y".into()], &["z".into()]), "Nothing RPROVIDES 'x'\nx was skipped: y");
    }

    #[test]
    fn counts_warnings_and_errors_for_the_exit_status() {
        let mut k = knotty();
        let mut record = LogRecord { level: level::WARNING, logger: "BitBake".into(), message: "w".into(), pid: 1, taskpid: None, fn_: None };
        k.event(&Event::Log(record.clone()));
        assert_eq!((k.warnings, k.errors, k.exit), (1, 0, 0));
        record.level = level::ERROR;
        k.event(&Event::Log(record));
        assert_eq!((k.warnings, k.errors, k.exit), (1, 1, 1));
        assert_eq!(k.finish(), 1);
    }

    #[test]
    fn a_command_that_did_not_begin_fails_without_a_summary() {
        let mut k = knotty();
        let error = LogRecord { level: level::ERROR, logger: "BitBake".into(), message: "w".into(), pid: 1, taskpid: None, fn_: None };
        k.event(&Event::Log(error.clone()));
        k.not_started(&[Event::Log(error)]);
        assert_eq!((k.errors, k.finish()), (0, 1));
    }

    #[test]
    fn an_interrupted_build_never_ends_with_success() {
        let mut k = knotty();
        k.interrupted();
        assert_eq!(k.finish(), 1);
    }
}
