//! A recorded trace tells the same again.

use pipewatch_tests::{Program, Watcher, assert_contains, pipewatch, scenario};
use serde_json::{Value, json};

use crate::expect::{self, RUN, THRESHOLD};

/// The records of a run.
fn records(mut objects: Vec<Value>) -> Vec<Value> {
    objects.retain(|object| object["type"].is_string());
    objects
}

#[test]
fn a_trace_replays_to_the_same_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let path = trace.to_str().expect("a path in UTF-8");
    let mut target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, &["--record", path]);
    target.go();
    let hang = expect::hang(&watcher, &target, THRESHOLD);
    expect::resolved(&watcher, &target, &hang);
    assert_eq!(watcher.finish(RUN).code, 0);

    let replayed = Program::start(pipewatch(&["replay", path, "--format", "json"]));
    assert_eq!(replayed.finish(RUN).code, 0);
    assert_eq!(records(replayed.objects()), records(watcher.objects()));
}

#[test]
fn a_trace_that_breaks_off_is_no_all_clear() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path in UTF-8");
    let mut target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, &["--record", path]);
    target.go();
    expect::hang(&watcher, &target, THRESHOLD);
    // What was reported is in the trace, though pipewatch can write no more.
    watcher.signal(nix::sys::signal::Signal::SIGKILL);

    let replayed = Program::start(pipewatch(&["replay", path, "--format", "json"]));
    let output = replayed.finish(RUN);
    assert!(output.stderr.contains("breaks off"), "{output:?}");
    let records = replayed.objects();
    assert!(records.iter().any(expect::is_alarm), "{output:?}");
    let last = records.last().expect("records");
    assert_contains(
        last,
        &json!({"type": "stopped", "open": 1, "reason": "trace-ends"}),
    );
}
