//! Events of the run queue for class handlers of the metadata (buildstats samples the system when a
//! task starts). The queue emits them natively; here they become the Python objects handlers know.

use hz_data::{DataStore, RuntimeError};
use hz_events::Event;
use serde_json::{Value, json};

/// Is this one that class handlers may ask for?
pub fn wanted(event: &Event) -> bool {
    describe(event).is_some()
}

/// Class of `bb` and its facts.
fn describe(event: &Event) -> Option<(&str, Value)> {
    let task = |class, task: &hz_events::TaskRef, stats: &hz_events::Stats, more: Value| {
        Some((class, json!({ "tid": task.tid, "hash": task.taskhash, "stats": stats, "more": more })))
    };
    match event {
        Event::RunQueueTaskStarted { task: t, stats, noexec } => task("runQueueTaskStarted", t, stats, json!({ "noexec": noexec })),
        Event::SceneQueueTaskStarted { task: t, stats, noexec } => task("sceneQueueTaskStarted", t, stats, json!({ "noexec": noexec })),
        Event::RunQueueTaskCompleted { task: t, stats } => task("runQueueTaskCompleted", t, stats, json!({})),
        Event::SceneQueueTaskCompleted { task: t, stats } => task("sceneQueueTaskCompleted", t, stats, json!({})),
        Event::RunQueueTaskSkipped { task: t, stats, reason } => task("runQueueTaskSkipped", t, stats, json!({ "reason": reason })),
        Event::SceneQueueTaskFailed { task: t, stats, exitcode } => task("sceneQueueTaskFailed", t, stats, json!({ "exitcode": exitcode })),
        Event::RunQueueTaskFailed { task: t, stats, exitcode, fakeroot_log } => {
            task("runQueueTaskFailed", t, stats, json!({ "exitcode": exitcode, "fakeroot_log": fakeroot_log }))
        }
        Event::SceneQueueComplete { stats } => Some(("sceneQueueComplete", json!({ "stats": stats, "more": {} }))),
        Event::Other { class, attributes } if class == "bb.event.MonitorDiskEvent" => Some(("MonitorDiskEvent", attributes.clone())),
        _ => None,
    }
}

/// The event's class where class handlers find it.
fn class_of(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::RunQueueTaskStarted { .. } => "bb.runqueue.runQueueTaskStarted",
        Event::SceneQueueTaskStarted { .. } => "bb.runqueue.sceneQueueTaskStarted",
        Event::RunQueueTaskCompleted { .. } => "bb.runqueue.runQueueTaskCompleted",
        Event::SceneQueueTaskCompleted { .. } => "bb.runqueue.sceneQueueTaskCompleted",
        Event::RunQueueTaskSkipped { .. } => "bb.runqueue.runQueueTaskSkipped",
        _ => return None,
    })
}

/// Fires the event at the class handlers that want it, with the store of the default multiconfig.
pub fn fire(event: &Event, store: &DataStore) -> Result<(), RuntimeError> {
    // Of these there are thousands, mostly for nobody.
    if class_of(event).is_some_and(|class| !hz_python::runtime::has_handlers(class)) {
        return Ok(());
    }
    let Some((class, facts)) = describe(event) else { return Ok(()) };
    crate::bridge::python(|vm| {
        let d = hz_python::store::wrap(store, vm)?;
        let args = vec![crate::bridge::text(vm, class), crate::bridge::text(vm, &facts.to_string()), d];
        crate::bridge::call(vm, "bb._cooker", "fire_queue_event", args).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hz_events::{Stats, TaskRef};

    #[test]
    fn task_events_carry_their_facts() {
        let task = TaskRef { tid: "a.bb:do_x".into(), mcfn: "a.bb".into(), task: "do_x".into(), taskhash: "h".into() };
        let event = Event::RunQueueTaskStarted { task, stats: Stats::default(), noexec: true };
        let (class, facts) = describe(&event).unwrap();
        assert_eq!((class, facts["tid"].as_str(), facts["more"]["noexec"].as_bool()), ("runQueueTaskStarted", Some("a.bb:do_x"), Some(true)));
        assert!(!wanted(&Event::CommandCompleted));
        assert_eq!(class_of(&event), Some(format!("bb.runqueue.{class}").as_str()));
    }
}
