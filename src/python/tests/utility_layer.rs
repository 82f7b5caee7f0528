//! The utility layer as metadata sees it: `utility_layer.py` runs in our VM, and what Python code
//! fires arrives at the readers of events.

use hz_events::{Event, Sink};
use rustpython_vm::compiler::Mode;
use std::sync::{Arc, Mutex};

struct Keep(Arc<Mutex<Vec<Event>>>);

impl Sink for Keep {
    fn emit(&mut self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn run(text: &str, file: &str) {
    hz_python::enter(|vm| {
        let scope = vm.new_scope_with_main().expect("__main__");
        let code = vm.compile(text, Mode::Exec, file).map_err(|e| e.into_pyexception(vm, Some(text)));
        if let Err(error) = code.and_then(|code| vm.run_code_obj(code, scope)) {
            vm.print_exception(&error);
            panic!("{file} failed");
        }
    });
}

/// One test: the VM belongs to the thread that starts it.
#[test]
fn the_utility_layer() {
    run(include_str!("utility_layer.py"), "utility_layer.py");

    let events = Arc::new(Mutex::new(Vec::new()));
    hz_events::set_sink(Box::new(Keep(events.clone())));
    run(
        r#"
import logging
import bb, bb.event
bb.event.fire(bb.event.ProcessStarted("Initialising tasks", 100), None)
bb.event.fire(bb.event.MetadataEvent("Kind", {"a": [1, (2.5, None)], "b": {"x"}}), None)
bb.event.LogHandler().handle(logging.LogRecord("BitBake.Fetcher", 30, "f", 1, "no %s", ("luck",), None))
"#,
        "events.py",
    );
    let events = events.lock().unwrap();
    assert!(matches!(&events[0], Event::ProcessStarted { name, total: 100 } if name == "Initialising tasks"));
    let Event::Other { class, attributes } = &events[1] else { panic!("{:?}", events[1]) };
    assert_eq!(class, "bb.event.MetadataEvent");
    assert_eq!(attributes["_localdata"], serde_json::json!({"a": [1, [2.5, null]], "b": ["x"]}));
    let Event::Log(record) = &events[2] else { panic!("{:?}", events[2]) };
    assert_eq!((record.level, &*record.logger, &*record.message), (30, "BitBake.Fetcher", "no luck"));
    assert_eq!(record.taskpid, None);
}
