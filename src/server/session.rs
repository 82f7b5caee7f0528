//! A command's frame: environment, build directory and its lock, the terminal, the VM, the
//! configuration; and what is put away at the end.

use crate::bridge::{call, fire, number, python, tell, text, texts};
use crate::lock::{BuildLock, holder};
use crate::parsing::{Parsed, parse_all, python_error, tell_failure};
use crate::{Request, Verb, commands, graphs, hashserv, signals};
use hz_data::DataStore;
use hz_events::{Event, Sink, level, log};
use hz_parse::{ConfigHooks, ConfigRequest, Configuration, Error, Result, clean_environment, find_topdir};
use hz_ui::{Knotty, Options};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The terminal, shared between the event sink and the loops that keep it alive; and the events
/// that native code emitted and class handlers of the metadata have not seen yet.
#[derive(Clone)]
pub struct Terminal(Arc<Mutex<Knotty>>, Arc<Mutex<Vec<Event>>>);

impl Terminal {
    pub fn lock(&self) -> MutexGuard<'_, Knotty> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
    /// The run queue's events since the last call, for the metadata's class handlers.
    pub fn take_queue_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.1.lock().unwrap_or_else(|e| e.into_inner()))
    }
    /// Tells of new interrupts; gives how many there have been.
    pub fn interrupts(&self, told: &mut u32) -> u32 {
        let now = signals::interrupts().min(2);
        while *told < now {
            self.lock().interrupted();
            *told += 1;
        }
        now
    }
}

impl Sink for Terminal {
    fn emit(&mut self, event: Event) {
        self.lock().event(&event);
        if crate::queue_events::wanted(&event) {
            self.1.lock().unwrap_or_else(|e| e.into_inner()).push(event);
        }
    }
}

/// Who holds the lock of the build directory this process stands in.
pub fn lock_holder() -> Option<i32> {
    holder(Path::new(&find_topdir(&environment())))
}

fn environment() -> IndexMap<String, String> {
    std::env::vars_os().map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned())).collect()
}

/// Runs a command; gives the exit status.
pub fn run(request: Request) -> i32 {
    signals::install();
    let universe = request.verb == Verb::Build && request.targets.iter().any(|t| t == "universe");
    let options = Options { quiet: request.quiet, loglevel: request.loglevel, universe, domains: request.domains.clone() };
    let terminal = Terminal(Arc::new(Mutex::new(Knotty::new(options))), Arc::default());
    hz_events::set_sink(Box::new(terminal.clone()));
    let told = match frame(&request, &terminal) {
        Ok(()) => 0,
        Err(Error::Handled) => 1,
        Err(error) => {
            match &error {
                Error::Python(e, _) => tell(e),
                other => log(level::ERROR, "", other.to_string()),
            }
            1
        }
    };
    let mut knotty = terminal.lock();
    if told != 0 {
        knotty.event(&Event::CommandExit { code: told });
    }
    knotty.finish()
}

/// The locale the reference insists on: tasks and file names depend on it.
fn check_locale() -> Result<()> {
    // SAFETY: setlocale in a process of one thread; the result is only compared with null.
    let found = unsafe {
        let found = !libc::setlocale(libc::LC_CTYPE, c"en_US.UTF-8".as_ptr()).is_null();
        libc::setlocale(libc::LC_CTYPE, c"C".as_ptr());
        found
    };
    if found {
        return Ok(());
    }
    log(level::CRITICAL, "", "Please make sure locale 'en_US.UTF-8' is available on your system");
    Err(Error::Handled)
}

fn frame(request: &Request, terminal: &Terminal) -> Result<()> {
    check_locale()?;
    let caller = environment();
    let topdir = PathBuf::from(find_topdir(&caller));
    if hz_parse::find_config_file("bblayers.conf", caller.get("BBPATH").map(String::as_str)).is_none()
        && hz_parse::find_config_file("bitbake.conf", caller.get("BBPATH").map(String::as_str)).is_none()
    {
        let message = "Unable to find conf/bblayers.conf or conf/bitbake.conf. BBPATH is unset and/or not in a build directory?";
        log(level::ERROR, "", message);
        return Err(Error::Handled);
    }
    let lock = BuildLock::take(
        &topdir,
        |pid| {
            let who = pid.map_or("another BitBake".to_string(), |pid| format!("another BitBake (process {pid})"));
            log(level::NOTE, "", format!("Waiting for {who} to leave {}", topdir.display()));
        },
        || signals::interrupts() > 0,
    )
    .map_err(|e| Error::Other(format!("cannot lock {}: {e}", topdir.join("bitbake.lock").display())))?;
    let Some(_lock) = lock else {
        terminal.lock().interrupted();
        return Err(Error::Handled);
    };
    set_environment(&clean_environment(&caller));
    if std::env::set_current_dir(&topdir).is_err() {
        return Err(Error::Other(format!("cannot enter {}", topdir.display())));
    }
    crate::program::start_python(vec!["bitbake".into()], Some(topdir.join("cache/hitzeleiter-pycache")));
    set_up_python(request)?;
    let mut hooks = Hooks;
    let config_request = ConfigRequest {
        runtime: hz_python::shared(),
        prefiles: request.prefiles.clone(),
        postfiles: request.postfiles.clone(),
        // knotty always asks for it.
        tracking: true,
        skip_fragments: false,
        env: caller,
        worker: false,
    };
    let config = hz_parse::parse_base_configuration(&config_request, &mut hooks)?;
    let mut session = Session { request: request.clone(), terminal: terminal.clone(), config, parsed: None, told: 0, hashserv: None };
    let outcome = session.command();
    session.close();
    outcome
}

/// The command's own environment becomes the cleaned one.
fn set_environment(env: &IndexMap<String, String>) {
    let old: Vec<_> = std::env::vars_os().map(|(k, _)| k).filter(|k| !env.contains_key(&*k.to_string_lossy())).collect();
    // SAFETY: the process has one thread.
    unsafe {
        for name in old {
            std::env::remove_var(name);
        }
        for (name, value) in env {
            std::env::set_var(name, value);
        }
    }
}

fn set_up_python(request: &Request) -> Result<()> {
    python(|vm| {
        for name in ["bb", "bb.utils", "bb.event", "bb.data", "bb.parse", "bb.build", "bb.fetch2", "bb.siggen", "bb.runqueue"] {
            vm.import(&vm.ctx.new_str(name), 0)?;
        }
        let domains: Vec<&str> = request.domains.iter().map(|(d, _)| d.as_str()).collect();
        let levels = vec![vm.ctx.new_bool(request.verbose).into(), number(vm, request.debug.into()), texts(vm, domains)];
        call(vm, "bb.msg", "init_msgconfig", levels)?;
        Ok(())
    })
    .map_err(python_error)
}

struct Hooks;

impl ConfigHooks for Hooks {
    fn ready(&mut self, store: &DataStore, last: bool) -> Result<()> {
        python(|vm| {
            let d = hz_python::store::wrap(store, vm)?;
            if !last {
                call(vm, "bb.fetch2", "fetcher_init", vec![d.clone(), vm.ctx.new_bool(true).into()])?;
            }
            call(vm, "bb.parse", "init_parser", vec![d])?;
            Ok(())
        })
        .map_err(python_error)
    }
}

/// A command at work.
pub struct Session {
    pub request: Request,
    pub terminal: Terminal,
    pub config: Configuration,
    pub parsed: Option<Parsed>,
    /// Interrupts the terminal has been told of.
    pub told: u32,
    hashserv: Option<hashserv::Child>,
}

impl Session {
    /// The default multiconfig's store.
    pub fn data(&self) -> &DataStore {
        self.config.data()
    }

    fn command(&mut self) -> Result<()> {
        self.configure_terminal()?;
        if self.request.targets.is_empty() {
            let targets = self.data().get_or_empty("BBTARGETS")?;
            self.request.targets = targets.split_whitespace().map(str::to_string).collect();
            if self.request.targets.is_empty() && self.request.verb == Verb::Graph {
                self.terminal.lock().refuse("Please specify a package name for dependency graph generation.");
                return Err(Error::Handled);
            }
            if self.request.targets.is_empty() && self.request.verb == Verb::Build {
                self.terminal.lock().say("Nothing to do.  Use 'bitbake world' to build everything, or run 'bitbake --help' for usage information.");
                return Err(Error::Handled);
            }
        }
        match self.request.verb {
            Verb::Environment if self.request.targets.is_empty() => commands::show_environment(self, None),
            Verb::Environment => {
                self.parse()?;
                commands::show_environment_of_target(self)
            }
            Verb::Parse => self.parse(),
            Verb::Graph => {
                self.parse()?;
                graphs::write_graph(self)
            }
            Verb::Versions => {
                self.parse()?;
                graphs::show_versions(self)
            }
            Verb::Build => {
                self.parse()?;
                commands::build(self)
            }
        }
    }

    fn configure_terminal(&mut self) -> Result<()> {
        let data = self.data();
        let logs = data.get("BBINCLUDELOGS")?.is_some_and(|t| !t.is_empty());
        let lines = data.get_or_empty("BBINCLUDELOGS_LINES")?.trim().parse().ok();
        let console = data.get("BB_CONSOLELOG")?.filter(|p| !p.is_empty() && !matches!(self.request.verb, Verb::Environment | Verb::Versions));
        if let Some(path) = &console {
            // The name holds the time: from now on it is this one.
            data.set_var("BB_CONSOLELOG", &**path, &Default::default())?;
        }
        let path = console.map(|p| PathBuf::from(&*p));
        if let Err(e) = self.terminal.lock().configure(path.as_deref(), logs, lines) {
            let name = path.map(|p| p.display().to_string()).unwrap_or_default();
            return Err(Error::Other(format!("cannot write the console log {name}: {e}")));
        }
        Ok(())
    }

    /// Starts what the configuration asks for and parses all recipes.
    fn parse(&mut self) -> Result<()> {
        self.hashserv = hashserv::start(&self.config)?;
        let mcdata: Vec<DataStore> = self.config.mcdata.values().cloned().collect();
        python(|vm| {
            let d = hz_python::store::wrap(self.data(), vm)?;
            call(vm, "bb.parse", "init_parser", vec![d])?;
            Ok(())
        })
        .map_err(python_error)?;
        if let Ok(nice) = self.data().get_or_empty("BB_NICE_LEVEL")?.trim().parse::<i32>() {
            // SAFETY: plain call.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        }
        let collections = hz_parse::handle_collections(self.data())?;
        for store in &mcdata {
            fire(store, "bb.event.SanityCheck", |vm| Ok(vec![vm.ctx.new_bool(false).into()])).map_err(python_error)?;
        }
        let terminal = self.terminal.clone();
        let told = std::cell::Cell::new(self.told);
        let parsed = parse_all(&self.config, &collections, &|| {
            let mut t = told.get();
            let now = terminal.interrupts(&mut t);
            told.set(t);
            now > 0
        });
        self.told = told.get();
        self.parsed = Some(parsed?);
        for (mc, store) in &self.config.mcdata {
            let stamps: Vec<(String, String)> = self
                .parsed
                .as_ref()
                .and_then(|p| p.recipes.get(mc))
                .into_iter()
                .flatten()
                .filter(|r| r.skipped.is_none())
                .map(|r| (r.mcfn.to_string(), r.stamp.to_string()))
                .collect();
            fire(store, "bb.event.ReachableStamps", |vm| {
                let dict = vm.ctx.new_dict();
                for (mcfn, stamp) in &stamps {
                    dict.set_item(mcfn.as_str(), text(vm, stamp), vm)?;
                }
                Ok(vec![dict.into()])
            })
            .map_err(python_error)?;
        }
        Ok(())
    }

    /// Puts away what the command started; failures are told, not returned.
    fn close(&mut self) {
        let done = python(|vm| {
            let parse = crate::bridge::module(vm, "bb.parse")?;
            if let Some(siggen) = vm.get_attribute_opt(&parse, vm.ctx.intern_str("siggen"))? {
                vm.call_method(&siggen, "exit", ())?;
            }
            Ok(())
        });
        if let Err(e) = done {
            tell(&e);
        }
        if let Err(e) = fire(self.data(), "bb.cooker.CookerExit", |_| Ok(Vec::new())) {
            tell(&e);
        }
        self.hashserv = None;
        hz_python::flush();
    }
}

/// Parses one recipe variant again in this process, complete, for `-e`.
pub fn parse_variant(session: &Session, config: &DataStore, mcfn: &str, finalise: &dyn hz_parse::Finalise) -> Result<hz_parse::Variant> {
    let (_, _, mc) = hz_parse::realfn(mcfn);
    parse_variant_in(session.parsed.as_ref().and_then(|p| p.collectors.get(mc)), config, mcfn, finalise)
}

/// The same with the layers' view of recipe files given.
pub fn parse_variant_in(
    collector: Option<&hz_parse::FileCollector>, config: &DataStore, mcfn: &str, finalise: &dyn hz_parse::Finalise,
) -> Result<hz_parse::Variant> {
    let (file, _, _) = hz_parse::realfn(mcfn);
    let appends = collector.map(|c| c.appends_of(file)).unwrap_or_default();
    let layer = collector.and_then(|c| c.collection(file)).map(|c| c.name.clone());
    hz_parse::parse_recipe(config, mcfn, &appends, layer.as_deref(), finalise).inspect_err(|e| tell_failure(file, e))
}
