//! `_hz_cooker`: the cooker for Python programs in our VM (`bb.tinfoil`). One session a process,
//! opened and closed by the program; in between its commands run here, in the program's process.
//! `pylib/bb/_commands.py` makes the reference's commands of these.

use crate::{buildfile, commands, environment};
use crate::graphs::{self, RecipeSets};
use crate::raised::raised;
use crate::session::{Features, Session, Terminal};
use crate::{Request, Verb, queries};
use hz_data::RuntimeError;
use hz_events::{Event, level, log};
use hz_parse::Error;
use hz_ui::Options;
use rustpython_vm::builtins::{PyBaseExceptionRef, PyModuleDef};
use rustpython_vm::{Context, PyObjectRef, PyResult, VirtualMachine};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &Context) -> &'static PyModuleDef {
    _hz_cooker::module_def(ctx)
}

/// The open session and what was made from its recipes.
struct Cooker {
    session: Session,
    sets: Option<RecipeSets>,
    /// Files of the configuration may have changed since it was read.
    stale: bool,
}

thread_local! {
    /// None: not open, or a command is at work with it.
    static COOKER: RefCell<Option<Cooker>> = const { RefCell::new(None) };
    /// Apart from the cooker, since events are shown while a command is at work.
    static TERMINAL: RefCell<Option<Terminal>> = const { RefCell::new(None) };
    /// The program's function that sees events of a running command first; true if it keeps one.
    static LISTENER: RefCell<Option<PyObjectRef>> = const { RefCell::new(None) };
}

/// Has the program opened the cooker?
static OPEN: AtomicBool = AtomicBool::new(false);

pub fn is_open() -> bool {
    OPEN.load(Ordering::Relaxed)
}

/// Runs a command with the cooker. A command that is called from one (by an event's handler) fails.
fn with<R>(vm: &VirtualMachine, f: impl FnOnce(&mut Cooker) -> PyResult<R>) -> PyResult<R> {
    let Some(mut cooker) = COOKER.take() else {
        return Err(vm.new_runtime_error("the cooker is not open, or busy with another command"));
    };
    let result = f(&mut cooker);
    COOKER.set(Some(cooker));
    result
}

fn terminal(vm: &VirtualMachine) -> PyResult<Terminal> {
    TERMINAL.with_borrow(Clone::clone).ok_or_else(|| vm.new_runtime_error("the cooker is not open"))
}

/// An error as its exception; one that nobody has told yet is told.
fn told(vm: &VirtualMachine, error: Error) -> PyBaseExceptionRef {
    match error {
        Error::Handled | Error::Skip(_) | Error::Python(..) | Error::Data(..) | Error::Parse(_) => raised(vm, error),
        other => {
            log(level::ERROR, "", other.to_string());
            raised(vm, Error::Handled)
        }
    }
}

impl Cooker {
    /// The recipes, or an exception if they are not parsed yet.
    fn parsed<'a>(&'a self, vm: &VirtualMachine) -> PyResult<(&'a RecipeSets, &'a crate::parsing::Parsed)> {
        match (&self.sets, &self.session.parsed) {
            (Some(sets), Some(parsed)) => Ok((sets, parsed)),
            _ => Err(vm.new_runtime_error("recipes are not parsed yet")),
        }
    }

    fn view<R>(&self, mc: &str, vm: &VirtualMachine, f: impl FnOnce(queries::View) -> PyResult<R>) -> PyResult<R> {
        let (sets, _) = self.parsed(vm)?;
        let view = self.session.config.mcdata.get(mc).and_then(|data| queries::View::new(sets, data, mc, vm));
        f(view.ok_or_else(|| vm.new_key_error(vm.ctx.new_str(mc).into()))?)
    }

    fn parse(&mut self) -> hz_parse::Result<()> {
        if self.stale {
            self.sets = None;
            self.session.configure_again()?;
            self.stale = false;
        }
        if self.sets.is_none() {
            self.session.parse(true)?;
            self.sets = Some(graphs::recipe_sets(&self.session)?);
        }
        Ok(())
    }
}

/// Hands the waiting events of a running command to the program's function; those it leaves are
/// shown. Nothing without such a function.
///
/// # Errors
/// Whatever the function raises: the command ends.
pub fn deliver(terminal: &Terminal) -> Result<(), RuntimeError> {
    let Some(listener) = LISTENER.with_borrow(Clone::clone) else { return Ok(()) };
    while let Some(event) = terminal.take_held() {
        let kept = crate::bridge::python(|vm| {
            let object = python_event(&event, vm)?;
            listener.call((object,), vm)?.is_true(vm)
        })?;
        if !kept {
            terminal.lock().event(&event);
        }
    }
    Ok(())
}

/// The Python object of an event, made by `bb._revive` from its class and attributes.
fn python_event(event: &Event, vm: &VirtualMachine) -> PyResult {
    let text = serde_json::to_string(event).map_err(|e| vm.new_value_error(e.to_string()))?;
    crate::bridge::call(vm, "bb._revive", "event", vec![crate::bridge::text(vm, &text)])
}

#[rustpython_vm::pymodule]
mod _hz_cooker {
    use super::{COOKER, OPEN, Ordering, Cooker, Error, Event, Features, LISTENER, Options, Request, Session, TERMINAL, Terminal};
    use super::{Verb, buildfile, commands, deliver, environment, graphs, level, log, python_event, queries, raised, terminal, told, with};
    use crate::bridge::{text, texts};
    use crate::basehashes::BaseHashes;
    use indexmap::IndexMap;
    use rustpython_vm::builtins::{PyDictRef, PyStrRef};
    use rustpython_vm::function::OptionalArg;
    use rustpython_vm::{PyObjectRef, PyResult, VirtualMachine};

    /// An entry of an options dictionary.
    fn option<T>(options: &PyDictRef, name: &str, vm: &VirtualMachine) -> PyResult<Option<T>>
    where
        T: rustpython_vm::TryFromObject,
    {
        match options.get_item_opt(name, vm)? {
            Some(value) if !vm.is_none(&value) => value.try_into_value(vm).map(Some),
            _ => Ok(None),
        }
    }

    fn list_of_texts(object: &PyObjectRef, vm: &VirtualMachine) -> PyResult<Vec<String>> {
        vm.extract_elements_with(object, |item| Ok(item.str(vm)?.to_string()))
    }

    fn texts_option(options: &PyDictRef, name: &str, vm: &VirtualMachine) -> PyResult<Vec<String>> {
        match option::<PyObjectRef>(options, name, vm)? {
            Some(list) => list_of_texts(&list, vm),
            None => Ok(Vec::new()),
        }
    }

    /// Opens the cooker on the build directory of `environment` (the user's, a dict). Options:
    /// tracking, skip_fragments, quiet, debug, verbose, prefiles, postfiles, command (the program's words).
    /// From then on events wait for `next_event`.
    #[pyfunction]
    fn open(environment: PyDictRef, options: PyDictRef, vm: &VirtualMachine) -> PyResult<()> {
        if COOKER.with_borrow(Option::is_some) {
            return Err(vm.new_runtime_error("the cooker is open already"));
        }
        let number = |name: &str| Ok::<u8, _>(option::<u8>(&options, name, vm)?.unwrap_or(0));
        let truth = |name: &str| Ok::<bool, _>(option::<bool>(&options, name, vm)?.unwrap_or(false));
        let (quiet, debug, verbose) = (number("quiet")?, number("debug")?, truth("verbose")?);
        let loglevel = match (debug, verbose) {
            (0, false) => level::NOTE,
            (0, true) => level::VERBOSE,
            (n, _) => (level::DEBUG + 1).saturating_sub(u32::from(n)).max(1),
        };
        let request = Request {
            quiet,
            debug,
            verbose,
            loglevel,
            prefiles: texts_option(&options, "prefiles", vm)?,
            postfiles: texts_option(&options, "postfiles", vm)?,
            command: texts_option(&options, "command", vm)?,
            ..Request::default()
        };
        let mut env = IndexMap::new();
        for (name, value) in environment {
            env.insert(name.str(vm)?.to_string(), value.str(vm)?.to_string());
        }
        let terminal = Terminal::new(Options { quiet, loglevel, universe: false, domains: Vec::new() });
        terminal.hold(true);
        hz_events::set_sink(Box::new(terminal.clone()));
        TERMINAL.set(Some(terminal.clone()));
        let features = Features { tracking: truth("tracking")?, skip_fragments: truth("skip_fragments")? };
        OPEN.store(true, Ordering::Relaxed);
        let session = crate::session::check_place(&env)
            .and_then(|()| Session::open(request, terminal, env, features))
            .and_then(|session| session.set_command_line().map(|()| session))
            .inspect_err(|_| OPEN.store(false, Ordering::Relaxed))
            .map_err(|e| told(vm, e))?;
        COOKER.set(Some(Cooker { session, sets: None, stale: false }));
        Ok(())
    }

    /// Closes the cooker: its last events, and the lock is free. Events that wait still can be taken.
    #[pyfunction]
    fn close() {
        if let Some(mut cooker) = COOKER.take() {
            cooker.session.close();
            OPEN.store(false, Ordering::Relaxed);
        }
    }

    /// Files of the configuration or recipes may have changed.
    #[pyfunction]
    fn revalidate(vm: &VirtualMachine) -> PyResult<()> {
        with(vm, |cooker| {
            cooker.stale = true;
            Ok(())
        })
    }

    /// Reads the configuration again if it may have changed, and checks what its layers ask for.
    #[pyfunction]
    fn configure(vm: &VirtualMachine) -> PyResult<()> {
        with(vm, |cooker| {
            if cooker.stale {
                cooker.sets = None;
                cooker.session.configure_again().map_err(|e| told(vm, e))?;
                cooker.stale = false;
            }
            hz_parse::handle_collections(cooker.session.data()).map(drop).map_err(|e| told(vm, e))
        })
    }

    /// Parses all recipes, unless that is done.
    #[pyfunction]
    fn parse(vm: &VirtualMachine) -> PyResult<()> {
        with(vm, |cooker| cooker.parse().map_err(|e| told(vm, e)))
    }

    /// Where the console log goes and the like, once the configuration is known.
    #[pyfunction]
    fn configure_terminal(vm: &VirtualMachine) -> PyResult<()> {
        with(vm, |cooker| cooker.session.configure_terminal().map_err(|e| told(vm, e)))
    }

    /// From now on events wait for `next_event` (true) or are shown on the terminal (false). Gives
    /// what was so before.
    #[pyfunction]
    fn hold(on: bool, vm: &VirtualMachine) -> PyResult<bool> {
        Ok(terminal(vm)?.hold(on))
    }

    /// The next event that waits, or None.
    #[pyfunction]
    fn next_event(vm: &VirtualMachine) -> PyResult {
        match TERMINAL.with_borrow(|terminal| terminal.as_ref().and_then(Terminal::take_held)) {
            Some(event) => python_event(&event, vm),
            None => Ok(vm.ctx.none()),
        }
    }

    /// Shows a log record on the terminal, as the user interface does.
    #[pyfunction]
    fn show(level: u32, logger: PyStrRef, message: PyStrRef, vm: &VirtualMachine) -> PyResult<()> {
        let record = hz_events::LogRecord {
            level,
            logger: logger.to_string(),
            message: message.to_string(),
            pid: std::process::id() as i32,
            taskpid: None,
            fn_: None,
        };
        terminal(vm)?.lock().event(&Event::Log(record));
        Ok(())
    }

    /// Ends the user interface's run: prints its summary, gives its exit status.
    #[pyfunction]
    fn finish_interface(vm: &VirtualMachine) -> PyResult<i32> {
        Ok(terminal(vm)?.lock().finish())
    }

    /// The configuration's store of a multiconfig.
    #[pyfunction]
    fn store(mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| match cooker.session.config.mcdata.get(&*mc.to_string()) {
            Some(store) => hz_python::store::wrap(store, vm),
            None => Err(vm.new_key_error(mc.into())),
        })
    }

    /// Renews the configuration's stores: what a program changed in them is gone.
    #[pyfunction]
    fn reset(vm: &VirtualMachine) -> PyResult<()> {
        with(vm, |cooker| {
            cooker.session.config.reset();
            Ok(())
        })
    }

    /// The layers' collections: (name, pattern, expression, priority).
    #[pyfunction]
    fn collections(vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| {
            let found = hz_parse::handle_collections(cooker.session.data()).map_err(|e| told(vm, e))?;
            let rows = found.iter().map(|c| {
                let row = vec![text(vm, &c.name), text(vm, &c.pattern), text(vm, &c.pattern), vm.ctx.new_int(c.priority).into()];
                vm.ctx.new_tuple(row).into()
            });
            Ok(vm.ctx.new_list(rows.collect()).into())
        })
    }

    /// A table of the recipe cache by name; None if there is none of that name.
    #[pyfunction]
    fn table(name: PyStrRef, mc: PyStrRef, vm: &VirtualMachine) -> PyResult<Option<PyDictRef>> {
        with(vm, |cooker| cooker.view(&mc.to_string(), vm, |view| view.table(&name.to_string())))
    }

    #[pyfunction]
    fn all_providers(mc: PyStrRef, vm: &VirtualMachine) -> PyResult<PyDictRef> {
        with(vm, |cooker| cooker.view(&mc.to_string(), vm, |view| view.all_providers()))
    }

    #[pyfunction]
    fn find_providers(mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| cooker.view(&mc.to_string(), vm, |view| view.find_providers()))
    }

    #[pyfunction]
    fn find_best_provider(name: PyStrRef, mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| cooker.view(&mc.to_string(), vm, |view| view.find_best_provider(&name.to_string())))
    }

    #[pyfunction]
    fn runtime_providers(name: PyStrRef, mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| cooker.view(&mc.to_string(), vm, |view| view.runtime_providers(&name.to_string())))
    }

    #[pyfunction]
    fn skipped(mc: PyStrRef, vm: &VirtualMachine) -> PyResult<Vec<PyObjectRef>> {
        with(vm, |cooker| {
            let (sets, parsed) = cooker.parsed(vm)?;
            Ok(queries::skipped(vm, sets, parsed, &mc.to_string()))
        })
    }

    /// Runs `f` with what is known of a multiconfig's files.
    fn files<R>(mc: &PyStrRef, vm: &VirtualMachine, f: impl FnOnce(&hz_parse::FileCollector) -> R) -> PyResult<R> {
        with(vm, |cooker| match cooker.parsed(vm)?.1.collectors.get(&*mc.to_string()) {
            Some(collector) => Ok(f(collector)),
            None => Err(vm.new_key_error(mc.clone().into())),
        })
    }

    /// Recipe -> recipes of the same file name that it hides.
    #[pyfunction]
    fn overlayed(mc: PyStrRef, vm: &VirtualMachine) -> PyResult<PyDictRef> {
        let found = files(&mc, vm, |collector| collector.overlayed.clone())?;
        let dict = vm.ctx.new_dict();
        for (recipe, hidden) in found {
            dict.set_item(&*recipe, texts(vm, hidden), vm)?;
        }
        Ok(dict)
    }

    /// The appends that apply to a recipe file.
    #[pyfunction]
    fn file_appends(file: PyStrRef, mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        files(&mc, vm, |collector| texts(vm, collector.appends_of(&file.to_string())))
    }

    /// All appends: (name of the recipe file it wants, path).
    #[pyfunction]
    fn all_appends(mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        files(&mc, vm, |collector| {
            let row = |(wants, path): &(String, String)| vm.ctx.new_tuple(vec![text(vm, wants), text(vm, path)]).into();
            vm.ctx.new_list(collector.appends().iter().map(row).collect()).into()
        })
    }

    /// All recipe files.
    #[pyfunction]
    fn recipe_files(mc: PyStrRef, vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| match cooker.parsed(vm)?.1.files.get(&*mc.to_string()) {
            Some(files) => Ok(texts(vm, files)),
            None => Err(vm.new_key_error(mc.into())),
        })
    }

    /// Parses one recipe, named as `[mc:…:][virtual:…:]PATH`, with the given appends (None: those
    /// that apply), in a copy of `config` (None: of the configuration). Gives its store.
    #[pyfunction]
    fn parse_recipe(
        name: PyStrRef, appends: Option<PyObjectRef>, config: Option<PyObjectRef>, vm: &VirtualMachine,
    ) -> PyResult {
        with(vm, |cooker| {
            let name = name.to_string();
            let (file, _, mc) = hz_parse::realfn(&name);
            let session = &cooker.session;
            let store = match &config {
                Some(d) => hz_python::store::unwrap(d, vm)?.clone(),
                None => match session.config.mcdata.get(mc) {
                    Some(store) => store.clone(),
                    None => return Err(vm.new_key_error(vm.ctx.new_str(mc).into())),
                },
            };
            let collector = session.parsed.as_ref().and_then(|parsed| parsed.collectors.get(mc));
            let appends = match &appends {
                Some(list) => list_of_texts(list, vm)?,
                None => collector.map(|c| c.appends_of(file)).unwrap_or_default(),
            };
            let layer = collector.and_then(|c| c.collection(file)).map(|c| c.name.clone());
            let finalise = BaseHashes::new(session.data()).map_err(|e| told(vm, e))?;
            let variant = hz_parse::parse_recipe(&store, &name, &appends, layer.as_deref(), &finalise).map_err(|e| {
                crate::parsing::tell_failure(file, &e);
                raised(vm, Error::Handled)
            })?;
            hz_python::store::wrap(&variant.store, vm)
        })
    }

    /// A copy of the configuration with its keys expanded and its anonymous functions run.
    #[pyfunction]
    fn finalize(vm: &VirtualMachine) -> PyResult {
        with(vm, |cooker| {
            let copy = cooker.session.data().create_copy();
            commands::finish_configuration(&copy).map_err(|e| told(vm, e))?;
            hz_python::store::wrap(&copy, vm)
        })
    }

    /// Runs a command of `bitbake` on `targets`: "build", "graph" (writes the files of -g), "tree"
    /// (fires DepTreeGenerated), "targets" (fires TargetsTreeGenerated), "signatures" (of the tasks in
    /// `options`; fires GetTaskSignatureResult), "versions" (-s), "environment" (-e) or "file" (-b).
    /// `task` None: the default one. `listener`, if given, sees every event before the terminal and
    /// keeps those it returns true for. `options`: buildfile, internal, inherits, tasks. Gives whether
    /// it went well.
    #[pyfunction]
    fn run(
        what: PyStrRef, targets: PyObjectRef, task: Option<PyStrRef>, listener: OptionalArg<Option<PyObjectRef>>,
        options: OptionalArg<PyDictRef>, vm: &VirtualMachine,
    ) -> PyResult<bool> {
        let targets = list_of_texts(&targets, vm)?;
        let what = what.to_string();
        let options = options.into_option().unwrap_or_else(|| vm.ctx.new_dict());
        let buildfile = option::<PyStrRef>(&options, "buildfile", vm)?.map(|file| file.to_string());
        let inherits = option::<PyStrRef>(&options, "inherits", vm)?.map(|class| class.to_string());
        let internal = option::<bool>(&options, "internal", vm)?.unwrap_or(false);
        let tasks = texts_option(&options, "tasks", vm)?;
        with(vm, |cooker| {
            // One recipe file, or the configuration alone, is looked at without the others.
            let alone = what == "file" || what == "environment" && targets.is_empty();
            if !alone {
                cooker.parse().map_err(|e| told(vm, e))?;
            } else if cooker.stale {
                cooker.session.configure_again().map_err(|e| told(vm, e))?;
                cooker.stale = false;
            }
            let listener = listener.flatten();
            let terminal = cooker.session.terminal.clone();
            let before = listener.is_some().then(|| terminal.hold(true));
            LISTENER.set(listener);
            let session = &mut cooker.session;
            session.request.targets = targets;
            session.request.cmd = task.map(|t| t.to_string());
            session.request.verb = match what.as_str() {
                "build" | "file" => Verb::Build,
                "environment" => Verb::Environment,
                _ => Verb::Graph,
            };
            session.request.buildfile = if what == "environment" { buildfile.clone() } else { None };
            let outcome = match what.as_str() {
                "build" => commands::build(session),
                "file" => buildfile::build(session, &buildfile.unwrap_or_default(), internal),
                "graph" => graphs::write_graph(session),
                "tree" => graphs::depend_tree(session).and_then(|tree| fire_json(session, "bb.event.DepTreeGenerated", &tree)),
                "targets" => graphs::targets_tree(session, inherits.as_deref())
                    .and_then(|tree| fire_json(session, "bb.event.TargetsTreeGenerated", &tree)),
                "signatures" => graphs::task_signatures(session, &tasks).and_then(|found| {
                    let rows = found.iter().map(|(pn, task, hash)| serde_json::json!([&**pn, &**task, &**hash])).collect();
                    fire_json(session, "bb.event.GetTaskSignatureResult", &rows)
                }),
                "versions" => graphs::show_versions(session),
                "environment" => environment::show(session),
                other => Err(Error::Other(format!("no such command: {other}"))),
            };
            session.request.targets.clear();
            session.request.cmd = None;
            session.request.buildfile = None;
            let well = outcome.is_ok();
            match outcome {
                Ok(()) => hz_events::emit(Event::CommandCompleted),
                Err(error) => {
                    match &error {
                        Error::Handled => {}
                        Error::Python(e, _) => crate::bridge::tell(e),
                        other => log(level::ERROR, "", other.to_string()),
                    }
                    hz_events::emit(Event::CommandFailed { message: String::new() });
                }
            }
            if what == "environment" || what == "file" {
                // They leave another configuration, or other recipes, behind than they were given.
                cooker.sets = None;
                cooker.stale = true;
            }
            let delivered = deliver(&terminal);
            LISTENER.set(None);
            if let Some(before) = before {
                terminal.hold(before);
            }
            delivered.map_err(|e| hz_python::errors::from_runtime(vm, &e))?;
            Ok(well)
        })
    }

    /// Fires the event of `class` that carries `contents`.
    fn fire_json(session: &Session, class: &str, contents: &serde_json::Value) -> hz_parse::Result<()> {
        crate::bridge::fire(session.data(), class, |vm| {
            let contents = crate::bridge::call(vm, "json", "loads", vec![text(vm, &contents.to_string())])?;
            Ok(vec![contents])
        })
        .map_err(crate::parsing::python_error)
    }
}
