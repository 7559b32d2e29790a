//! What works here, as pipewatch finds out.

use pipewatch_tests::{Program, pipewatch, require_root};
use serde_json::Value;

use crate::expect::RUN;

/// What the doctor found, check by check.
fn checks() -> Vec<Value> {
    require_root();
    let doctor = Program::start(pipewatch(&["doctor", "--format", "json"]));
    assert_eq!(doctor.finish(RUN).code, 0);
    doctor.objects()
}

fn check<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let mut checks = checks.iter();
    let found = checks.find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no check of {name}"))
}

#[test]
fn the_kernel_has_what_each_hook_relies_on() {
    let checks = checks();
    let hooks = check(&checks, "hooks");
    assert_eq!(hooks["ok"], true, "{hooks:#}");
}

#[test]
fn what_it_says_would_be_used_is_used() {
    let checks = checks();
    let backend = check(&checks, "backend");
    let found = backend["found"].as_str().expect("words");
    let args = [
        "--backend",
        "auto",
        "--format",
        "json",
        "--all",
        "--duration",
        "1ms",
    ];
    let watcher = Program::start(pipewatch(&args));
    assert_eq!(watcher.finish(RUN).code, 0);
    let objects = watcher.objects();
    let used = objects[0]["backend"].as_str().expect("a name");
    assert!(found.starts_with(used), "{found}, and {used} is used");
}
