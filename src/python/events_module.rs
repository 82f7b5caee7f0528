//! `_hz_events`: the way out for events that Python code fires (`bb.event.fire`) and for log
//! records of the `BitBake…` loggers, towards whoever reads `hz_events`.

use hz_events::{Event, LogRecord, TaskInfo};
use rustpython_vm::VirtualMachine;
use rustpython_vm::builtins::PyModuleDef;
use serde_json::{Map, Value};

/// The module's definition, for the VM's start-up.
pub fn module_def(ctx: &rustpython_vm::Context) -> &'static PyModuleDef {
    _hz_events::module_def(ctx)
}

/// The attributes of an event object, with typed access that never fails: an event of a class that
/// metadata made up may lack anything.
struct Attributes<'a>(&'a Map<String, Value>);

impl Attributes<'_> {
    fn text(&self, name: &str) -> String {
        self.optional(name).unwrap_or_default()
    }
    fn optional(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
    fn value(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }
    fn float(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Value::as_f64).unwrap_or_default()
    }
    /// A count; fractions are cut off, negative ones are 0.
    fn count(&self, name: &str) -> usize {
        self.float(name) as usize
    }
    fn truth(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(truth)) => *truth,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            _ => false,
        }
    }
    fn texts(&self, name: &str) -> Vec<String> {
        let Some(Value::Array(items)) = self.0.get(name) else { return Vec::new() };
        items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
    }
    fn task(&self, pid: i32) -> TaskInfo {
        let mc = self.text("_mc");
        let mcfn = if mc.is_empty() || mc == "default" { self.text("_fn") } else { format!("mc:{mc}:{}", self.text("_fn")) };
        TaskInfo {
            pid,
            package: self.text("_package"),
            task: self.text("_task"),
            mcfn,
            logfile: self.optional("logfile"),
            time: self.float("time"),
            message: self.text("_message"),
        }
    }
}

/// Does anybody read events of this class? Those that have a type of their own always are read.
fn wanted(class: &str) -> bool {
    hz_events::others_wanted() || !matches!(typed(class, Map::new(), 0), Event::Other { .. })
}

/// The typed event for a Python event of class `class` (dotted), or `Event::Other`.
pub fn typed(class: &str, attributes: Map<String, Value>, pid: i32) -> Event {
    let a = Attributes(&attributes);
    match class {
        "bb.event.ConfigParsed" => Event::ConfigParsed,
        "bb.event.CacheLoadStarted" => Event::CacheLoadStarted { total: a.count("total") },
        "bb.event.CacheLoadProgress" => Event::CacheLoadProgress { current: a.count("current"), total: a.count("total") },
        "bb.event.CacheLoadCompleted" => {
            Event::CacheLoadCompleted { total: a.count("total"), num_entries: a.count("num_entries") }
        }
        "bb.event.ParseStarted" => Event::ParseStarted { total: a.count("total") },
        "bb.event.ParseProgress" => Event::ParseProgress { current: a.count("current"), total: a.count("total") },
        "bb.event.ParseCompleted" => Event::ParseCompleted {
            cached: a.count("cached"),
            parsed: a.count("parsed"),
            skipped: a.count("skipped"),
            masked: a.count("masked"),
            virtuals: a.count("virtuals"),
            errors: a.count("errors"),
            total: a.count("total"),
        },
        "bb.event.ProcessStarted" => Event::ProcessStarted { name: a.text("processname"), total: a.count("total") },
        "bb.event.ProcessProgress" => Event::ProcessProgress { name: a.text("processname"), current: a.count("progress") },
        "bb.event.ProcessFinished" => Event::ProcessFinished { name: a.text("processname") },
        "bb.event.NoProvider" => Event::NoProvider {
            item: a.text("_item"),
            runtime: a.truth("_runtime"),
            dependees: a.texts("_dependees"),
            reasons: a.texts("_reasons"),
            close_matches: a.texts("_close_matches"),
        },
        "bb.event.MultipleProviders" => Event::MultipleProviders {
            item: a.text("_item"),
            candidates: a.texts("_candidates"),
            runtime: a.truth("_is_runtime"),
        },
        "bb.event.BuildStarted" => Event::BuildStarted { name: a.text("_name"), pkgs: a.value("_pkgs") },
        "bb.event.BuildCompleted" => Event::BuildCompleted {
            name: a.text("_name"),
            pkgs: a.value("_pkgs"),
            total: a.count("total"),
            failed: a.count("_failures"),
            interrupted: a.count("_interrupted"),
        },
        "bb.event.DiskFull" => Event::DiskFull {
            dev: a.text("_dev"),
            fs_type: a.text("_type"),
            free: a.float("_free") as u64,
            mount: a.text("_mountpoint"),
        },
        "bb.build.TaskStarted" => Event::TaskStarted(a.task(pid)),
        "bb.build.TaskSucceeded" => Event::TaskSucceeded(a.task(pid)),
        "bb.build.TaskFailed" => Event::TaskFailed { info: a.task(pid), errprinted: a.truth("errprinted") },
        "bb.build.TaskFailedSilent" => Event::TaskFailedSilent(a.task(pid)),
        "bb.build.TaskInvalid" => Event::TaskInvalid(a.task(pid)),
        "bb.build.TaskProgress" => {
            Event::TaskProgress { pid, progress: a.float("progress"), rate: a.optional("rate") }
        }
        "bb.runqueue.taskUniHashUpdate" => Event::TaskUniHashUpdate { tid: a.text("taskid"), unihash: a.text("unihash") },
        _ => Event::Other { class: class.to_owned(), attributes: Value::Object(attributes) },
    }
}

#[rustpython_vm::pymodule]
mod _hz_events {
    use super::{Event, LogRecord, Map, Value, VirtualMachine};
    use rustpython_vm::builtins::{PyBytes, PyDict, PyDictRef, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyStr, PyStrRef, PyTuple};
    use rustpython_vm::{AsObject, PyObject, PyObjectRef, PyResult};

    /// How deep objects in attributes are followed: events hold trees, but may hold a cycle.
    const DEPTH: usize = 12;

    /// The plain data in a Python object. What is none (stores, functions) is told as its text.
    fn plain(object: &PyObject, depth: usize, vm: &VirtualMachine) -> PyResult<Value> {
        if vm.is_none(object) {
            return Ok(Value::Null);
        }
        if object.is(&vm.ctx.true_value) || object.is(&vm.ctx.false_value) {
            return Ok(Value::Bool(object.is(&vm.ctx.true_value)));
        }
        if let Some(text) = object.downcast_ref::<PyStr>() {
            return Ok(Value::String(text.to_string_lossy().into_owned()));
        }
        if let Some(number) = object.downcast_ref::<PyInt>() {
            return Ok(match number.try_to_primitive::<i64>(vm) {
                Ok(number) => number.into(),
                Err(_) => Value::String(number.as_bigint().to_string()),
            });
        }
        if let Some(number) = object.downcast_ref::<PyFloat>() {
            return Ok(number.to_f64().into());
        }
        if let Some(bytes) = object.downcast_ref::<PyBytes>() {
            return Ok(String::from_utf8_lossy(bytes.as_bytes()).into_owned().into());
        }
        if depth > 0 {
            if let Some(dict) = object.downcast_ref::<PyDict>() {
                return map(dict, depth, vm).map(Value::Object);
            }
            let sequence = object.downcast_ref::<PyList>().is_some()
                || object.downcast_ref::<PyTuple>().is_some()
                || object.downcast_ref::<PySet>().is_some()
                || object.downcast_ref::<PyFrozenSet>().is_some();
            if sequence {
                let items: Vec<PyObjectRef> = object.try_to_value(vm)?;
                let items: PyResult<Vec<Value>> = items.iter().map(|item| plain(item, depth - 1, vm)).collect();
                return items.map(Value::Array);
            }
            if let Some(dict) = object.dict()
                && object.class().slots.call.load().is_none()
            {
                return map(&dict, depth, vm).map(Value::Object);
            }
        }
        Ok(Value::String(object.str(vm)?.to_string_lossy().into_owned()))
    }

    fn map(dict: &rustpython_vm::Py<PyDict>, depth: usize, vm: &VirtualMachine) -> PyResult<Map<String, Value>> {
        let mut map = Map::new();
        for (key, value) in dict.items_vec() {
            map.insert(key.str(vm)?.to_string_lossy().into_owned(), plain(&value, depth - 1, vm)?);
        }
        Ok(map)
    }

    /// Does anybody read events of the dotted class name?
    #[pyfunction]
    fn wanted(class_name: PyStrRef) -> bool {
        super::wanted(&class_name.to_string_lossy())
    }

    /// Sends an event of the dotted class name with the object's attributes to the readers.
    #[pyfunction]
    fn emit_ui(class_name: PyStrRef, attributes: PyDictRef, pid: i32, vm: &VirtualMachine) -> PyResult<()> {
        let attributes = map(&attributes, DEPTH, vm)?;
        let pid = if pid == 0 { std::process::id() as i32 } else { pid };
        hz_events::emit(super::typed(&class_name.to_string_lossy(), attributes, pid));
        Ok(())
    }

    /// Sends a log record. `taskpid` 0: of no task; `fn_`: recipe file or None.
    #[pyfunction]
    fn log(level: u32, logger: PyStrRef, message: PyStrRef, pid: i32, taskpid: i32, fn_: Option<PyStrRef>) {
        hz_events::emit(Event::Log(LogRecord {
            level,
            logger: logger.to_string_lossy().into_owned(),
            message: message.to_string_lossy().into_owned(),
            pid,
            taskpid: (taskpid != 0).then_some(taskpid),
            fn_: fn_.map(|name| name.to_string_lossy().into_owned()),
        }));
    }

    /// Is there anybody who takes events?
    #[pyfunction]
    fn active() -> bool {
        hz_events::has_sink()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(class: &str, attributes: Value) -> Event {
        let Value::Object(attributes) = attributes else { panic!() };
        typed(class, attributes, 42)
    }

    #[test]
    fn typed_classes_are_wanted_in_any_case() {
        hz_events::set_others_wanted(false);
        assert!(wanted("bb.build.TaskStarted") && !wanted("bb.event.RecipeParsed"));
        hz_events::set_others_wanted(true);
        assert!(wanted("bb.event.RecipeParsed"));
    }

    #[test]
    fn known_classes_are_typed() {
        let progress = event("bb.build.TaskProgress", json!({"pid": 0, "progress": 12.5, "rate": null}));
        assert!(matches!(progress, Event::TaskProgress { pid: 42, rate: None, progress } if progress == 12.5));
        let started = event("bb.event.ProcessStarted", json!({"processname": "Initialising tasks", "total": 100}));
        assert!(matches!(started, Event::ProcessStarted { name, total: 100 } if name == "Initialising tasks"));
        let task = event("bb.build.TaskFailed", json!({"_task": "do_x", "_fn": "/a.bb", "_mc": "m", "errprinted": true, "time": 1}));
        assert!(matches!(task, Event::TaskFailed { errprinted: true, info } if info.mcfn == "mc:m:/a.bb" && info.logfile.is_none()));
    }

    #[test]
    fn the_rest_keeps_its_attributes() {
        let other = event("bb.event.MetadataEvent", json!({"type": "X", "_localdata": [1]}));
        assert!(matches!(other, Event::Other { class, attributes } if class == "bb.event.MetadataEvent" && attributes["type"] == "X"));
    }
}
