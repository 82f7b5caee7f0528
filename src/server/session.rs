//! A command's frame: environment, build directory and its lock, the terminal, the VM, the
//! configuration; and what is put away at the end.

use crate::bridge::{call, fire, number, python, tell, text, texts};
use crate::lock::{BuildLock, holder};
use crate::parsing::{Begun, Parsed, parse_all, python_error, tell_failure};
use crate::{Request, Selection, Verb, buildfile, commands, environment, graphs, hashserv, profile, signals};
use hz_data::{DataStore, Origin, SetInfo, Value};
use hz_events::{Event, Sink, level, log};
use hz_meter::{Kind, span};
use hz_parse::{
    Collection, ConfigHooks, ConfigRequest, Configuration, Error, FileCollector, Result, clean_environment, find_topdir,
};
use hz_ui::{Knotty, Options};
use indexmap::IndexMap;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The terminal, shared between the event sink and the loops that keep it alive; the events that
/// native code emitted and class handlers of the metadata have not seen yet; and, where a program
/// rather than the terminal reads events, those that it has not taken yet.
#[derive(Clone)]
pub struct Terminal {
    knotty: Arc<Mutex<Knotty>>,
    queue: Arc<Mutex<Vec<Event>>>,
    held: Arc<Mutex<Option<VecDeque<Event>>>>,
    /// What the run queue logs below warnings is not for anybody.
    quiet_queue: Arc<AtomicBool>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Terminal {
    pub fn new(options: Options) -> Terminal {
        hz_events::set_others_wanted(false);
        Terminal { knotty: Arc::new(Mutex::new(Knotty::new(options))), queue: Arc::default(), held: Arc::default(), quiet_queue: Arc::default() }
    }
    pub fn lock(&self) -> MutexGuard<'_, Knotty> {
        locked(&self.knotty)
    }
    /// The run queue's events since the last call, for the metadata's class handlers.
    pub fn take_queue_events(&self) -> Vec<Event> {
        std::mem::take(&mut *locked(&self.queue))
    }
    /// From now on events wait for [`Terminal::take_held`] (true) or are shown (false). What waits
    /// already goes on waiting for it. Gives what was so before.
    pub fn hold(&self, on: bool) -> bool {
        hz_events::set_others_wanted(on);
        let mut held = locked(&self.held);
        let before = held.is_some();
        if on {
            held.get_or_insert_default();
        } else if let Some(rest) = held.take() {
            drop(held);
            let mut knotty = self.lock();
            rest.iter().for_each(|event| knotty.event(event));
        }
        before
    }
    /// Do events wait for a program?
    fn holds(&self) -> bool {
        locked(&self.held).is_some()
    }
    /// Events wait until the configuration is read: how they are shown depends on whether it can be used.
    fn hold_early(&self) {
        locked(&self.held).get_or_insert_default();
    }
    /// Shows what waited since [`Terminal::hold_early`]: as all that follows, or (no configuration, no
    /// command) as what there is to say before the program ends.
    fn release_early(&self, configured: bool) {
        let waiting = locked(&self.held).take().unwrap_or_default();
        let mut knotty = self.lock();
        if configured {
            waiting.iter().for_each(|event| knotty.event(event));
        } else {
            knotty.not_started(&waiting);
        }
    }
    /// Notes of the run queue get lost from now on (true) or no longer.
    pub fn quieten_queue(&self, on: bool) {
        self.quiet_queue.store(on, Ordering::Relaxed);
    }
    /// The first of the waiting events.
    pub fn take_held(&self) -> Option<Event> {
        locked(&self.held).as_mut()?.pop_front()
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
        if let Event::Log(record) = &event
            && record.level < level::WARNING
            && record.logger.starts_with("BitBake.RunQueue")
            && self.quiet_queue.load(Ordering::Relaxed)
        {
            return;
        }
        if crate::queue_events::wanted(&event) {
            locked(&self.queue).push(event.clone());
        }
        match &mut *locked(&self.held) {
            Some(held) => held.push_back(event),
            None => self.lock().event(&event),
        }
    }
}

/// Who holds the lock of the build directory this process stands in.
pub fn lock_holder() -> Option<i32> {
    holder(Path::new(&find_topdir(&environment())))
}

pub(crate) fn environment() -> IndexMap<String, String> {
    std::env::vars_os().map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned())).collect()
}

/// Runs a command; gives the exit status.
pub fn run(request: Request) -> i32 {
    profile::measured(|| run_measured(request))
}

fn run_measured(request: Request) -> i32 {
    signals::install();
    let universe = request.verb == Verb::Build && request.targets.iter().any(|t| t == "universe");
    let options = Options { quiet: request.quiet, loglevel: request.loglevel, universe, domains: request.domains.clone() };
    let terminal = Terminal::new(options);
    hz_events::set_sink(Box::new(terminal.clone()));
    let told = match frame(&request, &terminal, &mut Session::command) {
        Ok(()) => 0,
        Err(error) => {
            tell_error(&error);
            1
        }
    };
    let mut knotty = terminal.lock();
    if told != 0 {
        knotty.event(&Event::CommandExit { code: told });
    }
    knotty.finish()
}

/// Says what ended a command, unless it has been said.
pub(crate) fn tell_error(error: &Error) {
    match error {
        Error::Handled => {}
        Error::Python(e, _) => tell(e),
        other => log(level::ERROR, "", other.to_string()),
    }
}

/// What the program sets in every configuration, as release 2.18 shows it in histories.
const CONSOLELOG: Origin = ("cooker.py", 309, "initConfigurationData");
const CMDLINE: Origin = ("cooker.py", 311, "initConfigurationData");

/// Writes `-e` of all configurations and recipes to `out`; see [`environment::stream`]. Messages go
/// to standard error. Gives the exit status.
pub fn environments(request: Request, selection: &Selection, out: &mut dyn std::io::Write) -> i32 {
    signals::install();
    let options = Options { quiet: 0, loglevel: request.loglevel, universe: false, domains: Vec::new() };
    let terminal = Terminal::new(options);
    hz_events::set_sink(Box::new(terminal.clone()));
    match frame(&request, &terminal, &mut |session| environment::stream(session, selection, out)) {
        Ok(()) => 0,
        Err(error) => {
            tell_error(&error);
            terminal.lock().finish().max(1)
        }
    }
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

/// Can anything be read where the command was given?
pub(crate) fn check_place(caller: &IndexMap<String, String>) -> Result<()> {
    check_locale()?;
    let bbpath = caller.get("BBPATH").map(String::as_str);
    if ["bblayers.conf", "bitbake.conf"].iter().all(|file| hz_parse::find_config_file(file, bbpath).is_none()) {
        let message = "Unable to find conf/bblayers.conf or conf/bitbake.conf. BBPATH is unset and/or not in a build directory?";
        log(level::ERROR, "", message);
        return Err(Error::Handled);
    }
    Ok(())
}

fn frame(request: &Request, terminal: &Terminal, work: &mut dyn FnMut(&mut Session) -> Result<()>) -> Result<()> {
    let caller = environment();
    check_place(&caller).inspect_err(|_| terminal.lock().not_started([]))?;
    terminal.hold_early();
    let features = Features { tracking: true, skip_fragments: false };
    let opened = Session::open(request.clone(), terminal.clone(), caller, features).and_then(|mut session| match session.settle() {
        Ok(()) => Ok(session),
        Err(error) => {
            session.close();
            Err(error)
        }
    });
    match opened {
        Ok(mut session) => {
            terminal.release_early(true);
            let outcome = work(&mut session);
            session.close();
            // The process ends: clearing all of it away would take longer than some commands' work.
            session.lock = None;
            std::mem::forget(session);
            outcome
        }
        Err(error) => {
            tell_error(&error);
            terminal.release_early(false);
            Err(Error::Handled)
        }
    }
}

/// While this lives no garbage is looked for, and what was made meanwhile is never looked at: modules and functions,
/// which stay.
pub(crate) struct Uncollected(());

impl Uncollected {
    pub(crate) fn begin() -> Result<Uncollected> {
        python(|vm| call(vm, "gc", "disable", Vec::new())).map_err(python_error)?;
        Ok(Uncollected(()))
    }
}

impl Drop for Uncollected {
    fn drop(&mut self) {
        let done = python(|vm| {
            call(vm, "gc", "freeze", Vec::new())?;
            call(vm, "gc", "enable", Vec::new())
        });
        if let Err(error) = done {
            tell(&error);
        }
    }
}

/// What a session's configuration is read with.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Record where variables are set. knotty always asks for it.
    pub tracking: bool,
    /// `addfragments` does nothing (`bitbake-config-build` could not mend a fragment that fails).
    pub skip_fragments: bool,
}

/// Takes the lock of the build directory, waiting for whoever has it.
fn take_lock(topdir: &Path, terminal: &Terminal) -> Result<BuildLock> {
    let lock = BuildLock::take(
        topdir,
        |pid| {
            let who = pid.map_or("another BitBake".to_string(), |pid| format!("another BitBake (process {pid})"));
            // At once, also where events wait for a program.
            terminal.lock().event(&Event::Log(hz_events::LogRecord {
                level: level::NOTE,
                logger: "BitBake".into(),
                message: format!("Waiting for {who} to leave {}", topdir.display()),
                pid: std::process::id() as i32,
                taskpid: None,
                fn_: None,
            }));
        },
        || signals::interrupts() > 0,
    )
    .map_err(|e| Error::Other(format!("cannot lock {}: {e}", topdir.join("bitbake.lock").display())))?;
    lock.ok_or_else(|| {
        terminal.lock().interrupted();
        Error::Handled
    })
}

/// Where compiled metadata Python is kept.
pub(crate) fn pycache(topdir: &Path) -> PathBuf {
    topdir.join("cache/hitzeleiter-pycache")
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
        // The others are imported when somebody names them.
        for name in ["bb", "bb.utils", "bb.event", "bb.data", "bb.parse"] {
            span(Kind::Start, || format!("import {name}"), || vm.import(&vm.ctx.new_str(name), 0))?;
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
                call(vm, "bb.parse", "init_fetcher", vec![d.clone()])?;
            }
            span(Kind::Other, || "init_parser".into(), || call(vm, "bb.parse", "init_parser", vec![d]))?;
            Ok(())
        })
        .map_err(python_error)
    }
}

fn read_configuration(source: &ConfigRequest) -> Result<Configuration> {
    let (config, definitions) = hz_python::record_definitions(|| hz_parse::parse_base_configuration(source, &mut Hooks));
    let mut config = config?;
    config.code = hz_python::digest_of_code(&definitions);
    Ok(config)
}

/// The cooker opened on a build directory, until [`Session::close`]: for one command of `bitbake`, or
/// for the many of a program that uses `bb.tinfoil`.
pub struct Session {
    pub request: Request,
    pub terminal: Terminal,
    pub config: Configuration,
    pub parsed: Option<Parsed>,
    /// Interrupts the terminal has been told of.
    pub told: u32,
    hashserv: Option<hashserv::Child>,
    source: ConfigRequest,
    lock: Option<BuildLock>,
}

impl Session {
    /// Goes to the build directory, locks it and reads the configuration. `caller` is the user's
    /// environment, of which [`check_place`] was asked; this process's becomes the cleaned one.
    ///
    /// # Errors
    /// Whatever the configuration has wrong; the lock is free again then.
    pub fn open(request: Request, terminal: Terminal, caller: IndexMap<String, String>, features: Features) -> Result<Session> {
        let topdir = PathBuf::from(find_topdir(&caller));
        let lock = take_lock(&topdir, &terminal)?;
        set_environment(&clean_environment(&caller));
        if std::env::set_current_dir(&topdir).is_err() {
            return Err(Error::Other(format!("cannot enter {}", topdir.display())));
        }
        span(Kind::Start, || "start of the VM".into(), || crate::program::start_python(vec!["bitbake".into()], Some(pycache(&topdir))));
        let _uncollected = Uncollected::begin()?;
        set_up_python(&request)?;
        let source = ConfigRequest {
            runtime: hz_python::shared(),
            prefiles: request.prefiles.clone(),
            postfiles: request.postfiles.clone(),
            tracking: features.tracking,
            skip_fragments: features.skip_fragments,
            env: hz_parse::told_environment(&caller),
            worker: false,
        };
        let config = span(Kind::Configuration, || "configuration".into(), || read_configuration(&source))?;
        Ok(Session { request, terminal, config, parsed: None, told: 0, hashserv: None, source, lock: Some(lock) })
    }

    /// Reads the configuration again, since its files may have changed. What was parsed is forgotten.
    pub fn configure_again(&mut self) -> Result<()> {
        self.parsed = None;
        hz_parse::forget_statements();
        // Handlers belong to the classes of the old configuration.
        python(|vm| call(vm, "bb.event", "forget_handlers", Vec::new())).map_err(python_error)?;
        self.config = read_configuration(&self.source)?;
        Ok(())
    }

    /// The default multiconfig's store.
    pub fn data(&self) -> &DataStore {
        self.config.data()
    }

    /// Starts what the configuration asks for and puts in what only the program knows.
    fn settle(&mut self) -> Result<()> {
        self.provide_hashserv()?;
        self.set_command_line()?;
        // Recipes are parsed without remembering who set what.
        for store in self.config.mcdata.values() {
            store.disable_tracking();
        }
        Ok(())
    }

    /// Sees to the hash equivalence server if the configuration asks for one and there is none yet.
    fn provide_hashserv(&mut self) -> Result<()> {
        if self.data().get("BB_HASHSERVE")?.as_deref() == Some("auto") {
            // The one of an earlier configuration ends first: they would share a socket.
            self.hashserv = None;
            let at_once = self.request.verb == Verb::Build && !self.request.targets.is_empty();
            self.hashserv = hashserv::provide(&self.config, at_once)?;
        }
        Ok(())
    }

    /// Is the hash equivalence server that is asked a child of this process?
    pub fn has_own_hashserv(&self) -> bool {
        self.hashserv.is_some()
    }

    /// What was called, for BB_CMDLINE.
    pub fn set_command_line(&self) -> Result<()> {
        let command = self.request.command.iter().map(|word| Value::str(word.as_str())).collect();
        self.data().set_var("BB_CMDLINE", Value::List(Arc::new(command)), &SetInfo::internal(CMDLINE))?;
        Ok(())
    }

    /// The configuration as it was read, with its history: what is shown is not what parsing left
    /// behind. The name of the console log stays. A program's cooker that keeps no history reads the
    /// configuration once more, now with it; what was parsed stays known.
    pub fn renew(&mut self) -> Result<()> {
        let console = self.data().get_or_empty("BB_CONSOLELOG")?;
        if self.source.tracking {
            self.config.reset();
        } else {
            let parsed = self.parsed.take();
            self.source.tracking = true;
            let read = self.configure_again();
            self.source.tracking = false;
            self.parsed = parsed;
            read?;
        }
        // The reference goes on with the history of all but the default multiconfig after it has read
        // them, and so sees there that it tells them the address once more.
        for (_, store) in self.config.mcdata.iter().filter(|(mc, _)| !mc.is_empty()) {
            hashserv::tell_again(store)?;
        }
        if !console.is_empty() {
            self.data().set_var("BB_CONSOLELOG", console, &SetInfo::internal(CONSOLELOG))?;
        }
        self.set_command_line()
    }

    /// The layers, for commands that parse one recipe file only; no appends are known then.
    pub fn begin_without_recipes(&mut self) -> Result<Vec<Collection>> {
        self.renice()?;
        let collections = hz_parse::handle_collections(self.data())?;
        let collectors = self.config.mcdata.keys().map(|mc| (mc.clone(), FileCollector::new(&collections, mc))).collect();
        self.parsed = Some(Parsed { recipes: IndexMap::new(), collectors, files: IndexMap::new(), layers: collections.clone(), priorities: IndexMap::new() });
        Ok(collections)
    }

    /// Finds all recipe files and their appends and parses none.
    pub fn list_recipes(&mut self) -> Result<IndexMap<hz_diagnostics::Str, Vec<String>>> {
        self.begin_without_recipes()?;
        let Some(parsed) = &mut self.parsed else { return Ok(IndexMap::new()) };
        for (mc, store) in &self.config.mcdata {
            if let Some(collector) = parsed.collectors.get_mut(mc) {
                parsed.files.insert(mc.clone(), collector.collect(store)?.files);
            }
        }
        Ok(parsed.files.clone())
    }

    /// The layer of a recipe file.
    pub fn layer_of(&self, file: &str, mc: &str) -> Option<hz_diagnostics::Str> {
        self.parsed.as_ref()?.collectors.get(mc)?.collection(file).map(|c| c.name.clone())
    }

    fn renice(&self) -> Result<()> {
        if let Ok(nice) = self.data().get_or_empty("BB_NICE_LEVEL")?.trim().parse::<i32>() {
            // SAFETY: plain call.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
        }
        Ok(())
    }

    fn command(&mut self) -> Result<()> {
        self.configure_terminal()?;
        if self.request.verb != Verb::Environment
            && let Some(pattern) = self.request.buildfile.clone()
        {
            return buildfile::build(self, &pattern, false);
        }
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
        if self.request.verb == Verb::Environment
            && let Some(message) = environment::refusal(&self.request.targets, self.request.buildfile.as_deref())
        {
            self.terminal.lock().refuse(message);
            return Err(Error::Handled);
        }
        match self.request.verb {
            Verb::Environment => {
                if !self.request.targets.is_empty() {
                    self.parse(false)?;
                }
                environment::show(self)
            }
            Verb::Parse => self.parse(false),
            Verb::Graph => {
                self.parse(false)?;
                graphs::write_graph(self)
            }
            Verb::Versions => {
                self.parse(false)?;
                graphs::show_versions(self)
            }
            Verb::Build => {
                self.parse(false)?;
                commands::build(self)
            }
        }
    }

    pub fn configure_terminal(&mut self) -> Result<()> {
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

    /// Starts what the configuration asks for and parses all recipes. A command ends where BBFILES is
    /// empty; programs go on with no recipes (`nowhere_is_fine`).
    pub fn parse(&mut self, nowhere_is_fine: bool) -> Result<()> {
        self.provide_hashserv()?;
        let mcdata: Vec<DataStore> = self.config.mcdata.values().cloned().collect();
        python(|vm| {
            let d = hz_python::store::wrap(self.data(), vm)?;
            span(Kind::Other, || "init_parser".into(), || call(vm, "bb.parse", "init_parser", vec![d])).map(drop)
        })
        .map_err(python_error)?;
        self.renice()?;
        let collections = hz_parse::handle_collections(self.data())?;
        // Programs see events one by one, and between them do what they like.
        let begun = if self.terminal.holds() { None } else { Begun::begin(&self.config, &collections) };
        for store in &mcdata {
            fire(store, "bb.event.SanityCheck", |vm| Ok(vec![vm.ctx.new_bool(false).into()])).map_err(python_error)?;
        }
        let terminal = self.terminal.clone();
        let told = std::cell::Cell::new(self.told);
        let parsed = parse_all(&self.config, &collections, nowhere_is_fine, begun, &|| {
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

    /// Puts away what the session started; failures are told, not returned.
    pub fn close(&mut self) {
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
        if let Err(e) = hz_python::codes::save() {
            log(level::DEBUG, "Cache", format!("cannot keep compiled code: {e}"));
        }
    }
}

/// Parses one recipe variant again in this process, complete, for `-e`. The layer is looked for with
/// the variant in the name, as the reference does here: a variant is of no layer.
pub fn parse_variant(session: &Session, config: &DataStore, mcfn: &str, finalise: &dyn hz_parse::Finalise) -> Result<hz_parse::Variant> {
    let (_, _, mc) = hz_parse::realfn(mcfn);
    parse_in(session.parsed.as_ref().and_then(|p| p.collectors.get(mc)), mcfn, config, mcfn, finalise)
}

/// The same for tasks, with the layers' view of recipe files given.
pub fn parse_variant_in(
    collector: Option<&FileCollector>, config: &DataStore, mcfn: &str, finalise: &dyn hz_parse::Finalise,
) -> Result<hz_parse::Variant> {
    parse_in(collector, hz_parse::realfn(mcfn).0, config, mcfn, finalise)
}

fn parse_in(
    collector: Option<&FileCollector>, of_layer: &str, config: &DataStore, mcfn: &str, finalise: &dyn hz_parse::Finalise,
) -> Result<hz_parse::Variant> {
    let (file, _, _) = hz_parse::realfn(mcfn);
    let appends = collector.map(|c| c.appends_of(file)).unwrap_or_default();
    let layer = collector.and_then(|c| c.collection(of_layer)).map(|c| c.name.clone());
    hz_parse::parse_recipe(config, mcfn, &appends, layer.as_deref(), finalise).inspect_err(|e| tell_failure(file, e))
}
