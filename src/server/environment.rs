//! `bitbake -e`: the configuration or one recipe with the history of every variable, and the same of
//! all recipes at once as a stream that `compat-tests/variables` compares.

use crate::bridge::trace;
use crate::commands::finish_configuration;
use crate::graphs::{default_task, plan};
use crate::basehashes::BaseHashes;
use crate::session::{Session, parse_variant};
use hz_data::{DataStore, RAW, RuntimeError};
use hz_events::{Event, Sink, emit, level, log};
use hz_graph::TargetOptions;
use hz_parse::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::FromRawFd;
use std::sync::{Arc, Mutex};

/// What is asked for cannot be shown with these options; told as the reference does.
pub fn refusal(targets: &[String], buildfile: Option<&str>) -> Option<&'static str> {
    let named = |name: &str| targets.iter().any(|t| t == name);
    if named("world") {
        Some("'world' is not a valid target for --environment.")
    } else if named("universe") {
        Some("'universe' is not a valid target for --environment.")
    } else if targets.len() > 1 {
        Some("Only one target can be used with the --environment option.")
    } else if buildfile.is_some() && !targets.is_empty() {
        Some("No target should be used with the --environment and --buildfile options.")
    } else {
        None
    }
}

/// `-e`, `-e TARGET`, `-e mc:NAME`, `-e -b FILE`; recipes are parsed if a target is named.
pub fn show(session: &mut Session) -> Result<()> {
    // Several (a program's; the command line refuses them) are as good as none.
    let target = if let [one] = &session.request.targets[..] { Some(one.clone()) } else { None };
    if let Some(pattern) = session.request.buildfile.clone() {
        session.renew()?;
        let (file, variant, mc) = hz_parse::realfn(&pattern);
        let found = crate::buildfile::matching(session, file, mc)?;
        let name = hz_parse::mcfn(&found, variant, mc);
        return show_recipe(session, mc, &name);
    }
    let Some(target) = target else {
        session.renew()?;
        return show_configuration(session, "");
    };
    let parts: Vec<&str> = target.split(':').collect();
    if let ["mc", mc] = parts[..]
        && !mc.is_empty()
    {
        session.renew()?;
        return show_configuration(session, mc);
    }
    let assumed = session.data().get_or_empty("ASSUME_PROVIDED")?;
    if assumed.split_whitespace().any(|name| name == target) {
        log(level::CRITICAL, "", format!("{target} is in ASSUME_PROVIDED"));
        return Err(Error::Handled);
    }
    let options = TargetOptions { halt: !session.request.keep_going, allow_incomplete: true };
    let found = plan(session, &session.request.targets, &default_task(session)?, options)?;
    let Some(first) = found.targets.first() else {
        return Err(Error::Other("IndexError: list index out of range".into()));
    };
    let (mc, name) = (first.mc.clone(), found.sets[&first.mc].mcfn(first.recipe).clone());
    drop(found);
    session.renew()?;
    show_recipe(session, &mc, &name)
}

fn show_configuration(session: &Session, mc: &str) -> Result<()> {
    let Some(store) = session.config.mcdata.get(mc) else {
        log(level::CRITICAL, "", format!("No multiconfig named \"{mc}\" found"));
        return Err(Error::Handled);
    };
    finish_configuration(store)?;
    print(session, store)
}

fn show_recipe(session: &Session, mc: &str, name: &str) -> Result<()> {
    let unread = || log(level::ERROR, "Parsing", format!("Unable to read {name}"));
    let Some(config) = session.config.mcdata.get(mc) else {
        unread();
        return Err(Error::Handled);
    };
    let variant = parse_variant(session, config, name, &BaseHashes::new(config)?).inspect_err(|_| unread())?;
    print(session, &variant.store)
}

fn print(session: &Session, store: &DataStore) -> Result<()> {
    for message in messages(session, store)? {
        emit(Event::Log(hz_events::LogRecord {
            level: level::PLAIN,
            logger: "BitBake".into(),
            message,
            pid: std::process::id() as i32,
            taskpid: None,
            fn_: None,
        }));
    }
    Ok(())
}

/// The texts the command shows, each ended by a line end: the files read, variables and shell
/// functions, then each Python function.
fn messages(session: &Session, store: &DataStore) -> Result<Vec<String>> {
    let mut files = Vec::new();
    session.data().includes_emit(&mut files).map_err(hz_data::DataError::from)?;
    let mut variables = Vec::new();
    hz_data::emit::emit_env(&mut variables, store, true)?;
    let mut all: Vec<String> = [files, variables].into_iter().map(|t| String::from_utf8_lossy(&t).into_owned()).collect();
    let mut names = store.keys()?;
    names.sort();
    for name in names {
        let set = |flag: &str| store.get_flag(&name, flag, RAW).ok().flatten().is_some_and(|v| v.is_true());
        if set("func") && set("python") {
            let body = store.get_raw(&name).map_or_else(|| "None".into(), |v| v.to_text());
            all.push(format!("\npython {name} () {{\n{body}}}\n"));
        }
    }
    Ok(all)
}

/// Which of all environments to show.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only recipe files whose path matches this expression, and no configuration.
    pub only: String,
    /// Only these multiconfigs; empty: all.
    pub mcs: Vec<String>,
    /// Recipes parsed at a time.
    pub jobs: usize,
}

/// Warnings and errors of the process.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Sink for Kept {
    fn emit(&mut self, event: Event) {
        if let Event::Log(record) = event
            && record.level >= level::WARNING
        {
            self.0.lock().unwrap_or_else(|e| e.into_inner()).push(record.message);
        }
    }
}

fn io_error(what: &str) -> impl Fn(std::io::Error) -> Error + '_ {
    move |e| Error::Other(format!("{what}: {e}"))
}

/// Runs `work` in a forked process with a file to write to.
struct Apart {
    pid: i32,
    file: File,
}

impl Apart {
    fn start(work: impl FnOnce(&mut File) -> Result<()>) -> Result<Apart> {
        // SAFETY: a new descriptor that nobody else has.
        let mut file = unsafe {
            match libc::memfd_create(c"environment".as_ptr(), libc::MFD_CLOEXEC) {
                -1 => return Err(io_error("memfd_create")(std::io::Error::last_os_error())),
                fd => File::from_raw_fd(fd),
            }
        };
        match hz_python::fork().map_err(io_error("fork"))? {
            hz_python::ForkResult::Parent(pid) => Ok(Apart { pid, file }),
            hz_python::ForkResult::Child => {
                let status = i32::from(work(&mut file).is_err());
                // SAFETY: ends the child without running what the parent will run.
                unsafe { libc::_exit(status) }
            }
        }
    }

    /// Waits for the end; what was written, or how it failed.
    fn finish(mut self) -> Result<Vec<u8>> {
        let mut status = 0;
        // SAFETY: plain call on our own child.
        unsafe { libc::waitpid(self.pid, &mut status, 0) };
        if status != 0 {
            return Err(Error::Other(format!("a process ended with status {status:#x}")));
        }
        let mut out = Vec::new();
        self.file.rewind().and_then(|()| self.file.read_to_end(&mut out)).map_err(io_error("reading back"))?;
        Ok(out)
    }
}

/// Writes what `-e` shows of every configuration and every recipe to `out`, in the format that
/// `compat-tests/environments.py` describes. Nothing of one recipe is seen by the next: each is parsed
/// in a process of its own.
///
/// # Errors
/// Configurations that cannot be used, and processes that end before their time. A recipe that cannot
/// be shown says so in its record.
pub fn stream(session: &mut Session, selection: &Selection, out: &mut dyn Write) -> Result<()> {
    let only = fancy_regex::Regex::new(&selection.only).map_err(|e| Error::Other(format!("--only: {e}")))?;
    let files = session.list_recipes()?;
    session.renew()?;
    let session = &*session;
    for (mc, paths) in files {
        if !selection.mcs.is_empty() && !selection.mcs.iter().any(|m| **m == *mc) {
            continue;
        }
        if selection.only.is_empty() {
            record(session, &mc, "", out)?;
        }
        let mut waiting = paths.iter().filter(|path| only.is_match(path).unwrap_or(false));
        let mut running = std::collections::VecDeque::new();
        loop {
            while running.len() < selection.jobs.max(1)
                && let Some(path) = waiting.next()
            {
                running.push_back(Apart::start(|file| recipe(session, &mc, path, file))?);
            }
            let Some(first) = running.pop_front() else { break };
            out.write_all(&first.finish()?).and_then(|()| out.flush()).map_err(io_error("writing"))?;
        }
    }
    Ok(())
}

/// The records of one recipe file: itself, then its variants.
fn recipe(session: &Session, mc: &str, path: &str, out: &mut File) -> Result<()> {
    let variants = record(session, mc, &hz_parse::mcfn(path, "", mc), out)?;
    for (n, variant) in variants.iter().enumerate() {
        if !variants[..n].contains(variant) {
            record(session, mc, &hz_parse::mcfn(path, variant, mc), out)?;
        }
    }
    Ok(())
}

/// The record of one target; gives the variants it names.
fn record(session: &Session, mc: &str, target: &str, out: &mut dyn Write) -> Result<Vec<String>> {
    let answer = Apart::start(|file| {
        let kept = Kept::default();
        hz_events::set_sink(Box::new(kept.clone()));
        let shown = one(session, mc, target);
        let told = kept.0.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let (variants, text, failed) = match shown {
            Ok((variants, text)) => (variants, text, None),
            Err(e) => (Vec::new(), String::new(), Some(reason(&e))),
        };
        let head = serde_json::json!({ "variants": variants, "failed": failed, "messages": told, "length": text.len() });
        writeln!(file, "{head}").and_then(|()| file.write_all(text.as_bytes())).map_err(io_error("writing"))
    })?
    .finish()?;
    let end = answer.iter().position(|b| *b == b'\n').unwrap_or(answer.len());
    let mut head: serde_json::Value = serde_json::from_slice(&answer[..end]).map_err(|e| Error::Other(e.to_string()))?;
    let variants = head.as_object_mut().and_then(|h| h.remove("variants")).unwrap_or_default();
    let name = if target.is_empty() && !mc.is_empty() { format!("mc:{mc}") } else { target.to_string() };
    head["target"] = name.into();
    writeln!(out, "{head}").and_then(|()| out.write_all(&answer[(end + 1).min(answer.len())..])).map_err(io_error("writing"))?;
    Ok(variants.as_array().into_iter().flatten().filter_map(|v| v.as_str()).map(Into::into).collect())
}

fn one(session: &Session, mc: &str, target: &str) -> Result<(Vec<String>, String)> {
    let config = &session.config.mcdata[mc];
    let store = if target.is_empty() {
        finish_configuration(config)?;
        config.clone()
    } else {
        parse_variant(session, config, target, &BaseHashes::new(config)?)?.store
    };
    let text = messages(session, &store)?.into_iter().flat_map(|m| [m, "\n".into()]).collect();
    let extended = store.get_or_empty("BBCLASSEXTEND")?;
    Ok((hz_versions::words(&extended).map(Into::into).collect(), text))
}

fn reason(error: &Error) -> String {
    // What has been told already is an exception of this name to the reference.
    let told = || "bb.BBHandledException".to_string();
    match error {
        Error::Handled => told(),
        Error::Python(e, _) => match &**e {
            RuntimeError::Handled => told(),
            RuntimeError::Python(e) => trace(e),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_was_told_has_the_name_of_its_exception() {
        assert_eq!(reason(&Error::Handled), "bb.BBHandledException");
        assert_eq!(reason(&Error::Python(Box::new(RuntimeError::Handled), None)), "bb.BBHandledException");
        assert_eq!(reason(&Error::Other("why".into())), Error::Other("why".into()).to_string());
    }

    #[test]
    fn what_cannot_be_shown_is_refused_in_the_order_of_the_reference() {
        let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(refusal(&list(&["a"]), None), None);
        assert_eq!(refusal(&[], Some("x.bb")), None);
        assert!(refusal(&list(&["universe", "world"]), None).unwrap().starts_with("'world'"));
        assert!(refusal(&list(&["a", "universe"]), None).unwrap().starts_with("'universe'"));
        assert!(refusal(&list(&["a", "b"]), Some("x.bb")).unwrap().starts_with("Only one target"));
        assert!(refusal(&list(&["a"]), Some("x.bb")).unwrap().starts_with("No target"));
    }
}
