//! How a watch ends.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pipewatch_tests::{
    Program, Watcher, allowed, micros_of, paced, pipewatch, require_root, scenario, shell,
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
    assert_eq!(into_head(&mut target, ""), (0, String::new()));
}

/// Watches a target that hangs then, and reads no more than one line: how pipewatch ends,
/// and what it complains of.
fn into_head(target: &mut Program, options: &str) -> (i32, String) {
    let mut pipeline = Command::new("bash");
    let run =
        format!(r#""$0" {options} --format json -p "$1" | head -n 1; exit "${{PIPESTATUS[0]}}""#);
    pipeline
        .args(["-c", &run])
        .arg(pipewatch(&[]).get_program())
        .arg(target.pid().to_string());
    let pipeline = Program::start(pipeline);
    pipeline.wait_for("started", RUN, |record| record["type"] == "started");
    target.go();
    let output = pipeline.finish(RUN);
    (output.code, output.stderr)
}

/// The exit status is read all the same.
#[test]
fn at_the_first_hang_though_nobody_reads_the_output() {
    require_root();
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", "90000"]));
    let ended = into_head(&mut target, "--exit-on-hang");
    assert_eq!(ended, (1, String::new()));
}

/// Without it those two may wait for ever: who made their pipe is gone, and how they came
/// by its ends was not seen.
#[test]
fn a_look_counts_the_waits_that_it_cannot_judge() {
    require_root();
    let mut target = Program::ready(shell("sleep 99 | cat & exec sleep 99"));
    target.go();
    let pid = target.pid().to_string();
    let reads = |child: &str| {
        let call = std::fs::read_to_string(format!("/proc/{child}/syscall")).unwrap_or_default();
        call.starts_with(&format!("{} 0x0 ", libc::SYS_read))
    };
    let children = format!("/proc/{pid}/task/{pid}/children");
    let end = Instant::now() + paced(RUN);
    let asleep = || {
        let children = std::fs::read_to_string(&children).expect("a process");
        children.split_whitespace().any(reads)
    };
    while !asleep() {
        assert!(Instant::now() < end, "nobody reads");
        std::thread::yield_now();
    }
    // A wait that is shorter than the threshold is none yet.
    std::thread::sleep(Duration::from_secs(1));
    let output = Program::run(pipewatch(&["snapshot", "-p", &pid]));
    let counted = "0 hangs; 1 wait cannot be judged";
    assert!(output.stdout.contains(counted), "{output:?}");
    let output = Program::run(pipewatch(&["snapshot", "-p", &pid, "-v"]));
    assert!(
        output.stdout.contains("WAITING #1, not judged: cat"),
        "{output:?}"
    );
    let output = Program::run(pipewatch(&["snapshot", "-p", &pid, "--format", "json"]));
    let stopped = output.stdout.lines().last().unwrap_or_default();
    assert!(stopped.contains(r#""waits":1,"unjudged":1"#), "{stopped}");
}

fn assert_stopped(watcher: &Watcher, code: i32) {
    let output = watcher.finish(RUN);
    assert_eq!(output.code, code, "{output:?}");
    assert_eq!(watcher.last_record()["type"], "stopped", "{output:?}");
}
