//! How a watch ends.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use pipewatch_tests::{
    Program, Watcher, allowed, micros_of, pipewatch, require_root, scenario, shell,
};

use crate::expect::{self, RUN};

#[test]
fn with_the_target() {
    ends(0, |target, _| target.go());
}

#[test]
fn by_sigint() {
    ends(0, |_, watcher| watcher.signal(Signal::SIGINT));
}

#[test]
fn by_sigterm() {
    ends(0, |_, watcher| watcher.signal(Signal::SIGTERM));
}

/// Watches a program that ends when told to, and ends the watch.
fn ends(code: i32, end: impl FnOnce(&mut Program, &Watcher)) {
    let mut target = Program::ready(shell("exit 5"));
    let watcher = Watcher::of(&target, &[]);
    end(&mut target, &watcher);
    assert_stopped(&watcher, code);
}

#[test]
fn after_the_duration() {
    let duration = Duration::from_millis(700);
    let target = Program::ready(shell("exit 5"));
    let watcher = Watcher::of(&target, &["--duration", "700ms"]);
    assert_stopped(&watcher, 0);
    let lasted = micros_of(&watcher.last_record()) - micros_of(&watcher.started);
    let most = duration + allowed(expect::LATENCY);
    let meant = duration.as_micros() as i64..most.as_micros() as i64;
    assert!(meant.contains(&lasted), "lasted {lasted} us");
}

#[test]
fn at_the_first_hang() {
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", "90000"]));
    let watcher = Watcher::of(&target, &["--exit-on-hang", "--threshold", "300ms"]);
    target.go();
    expect::hang(&watcher, &target, Duration::from_millis(300));
    assert_stopped(&watcher, 1);
}

#[test]
fn when_nobody_reads_the_output() {
    require_root();
    let mut target = Program::ready(scenario(&["fork-no-close"]));
    let mut pipeline = Command::new("bash");
    pipeline
        .args([
            "-c",
            r#"set -o pipefail; "$0" --format json -p "$1" | head -n 1"#,
        ])
        .arg(pipewatch(&[]).get_program())
        .arg(target.pid().to_string());
    let pipeline = Program::start(pipeline);
    pipeline.wait_for("started", RUN, |record| record["type"] == "started");
    target.go();
    let output = pipeline.finish(RUN);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
}

fn assert_stopped(watcher: &Watcher, code: i32) {
    let output = watcher.finish(RUN);
    assert_eq!(output.code, code, "{output:?}");
    assert_eq!(watcher.last_record()["type"], "stopped", "{output:?}");
}
