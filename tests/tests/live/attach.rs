//! What can be watched, and what cannot.

use std::fs;
use std::process::Command;

use pipewatch_tests::{Program, Watcher, pipewatch, require_root, scenario};
use serde_json::json;

use crate::expect::{self, RUN, THRESHOLD};

#[test]
fn every_process_of_the_host() {
    let mut target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::start(&["--all"]);
    assert_eq!(watcher.started["watching"], "all");
    target.go();
    let hang = expect::hang(&watcher, &target, THRESHOLD);
    expect::resolved(&watcher, &target, &hang);
}

#[test]
fn a_thread_id_stands_for_its_process() {
    let target = Program::ready(scenario(&["fork-race"]));
    let threads = fs::read_dir(format!("/proc/{}/task", target.pid())).expect("the threads");
    let tids = threads.map(|thread| thread.expect("a thread").file_name());
    let tid = tids
        .max()
        .expect("a thread")
        .into_string()
        .expect("a number");
    assert_ne!(tid, target.pid().to_string());
    let watcher = Watcher::start(&["-p", &tid]);
    assert_eq!(watcher.started["watching"], json!({"pids": [target.pid()]}));
}

#[test]
fn a_process_that_ends_while_being_attached() {
    require_root();
    let lives = ["0", "0.03", "0.1", "0.3"].map(|seconds| {
        let mut sleep = Command::new("sleep");
        sleep.arg(seconds);
        let target = Program::start(sleep);
        let watcher = Program::start(pipewatch(&["-p", &target.pid().to_string()]));
        (target, watcher)
    });
    for (target, watcher) in lives {
        let output = watcher.finish(RUN);
        if output.code != 0 {
            output.assert_complaint(2, &target.pid().to_string());
        }
    }
}

#[test]
fn a_kernel_without_btf() {
    require_root();
    let mut hidden = Command::new("unshare");
    hidden
        .args([
            "--mount",
            "sh",
            "-c",
            r#"mount -t tmpfs none /sys/kernel/btf && exec "$0" --all"#,
        ])
        .arg(pipewatch(&[]).get_program());
    let output = Program::run(hidden);
    output.assert_complaint(2, "/sys/kernel/btf/vmlinux");
}
