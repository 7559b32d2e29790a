//! `make test` under `pipewatch --exit-on-hang`, as CI has it.

use std::fs;
use std::process::Command;
use std::time::Instant;

use pipewatch_tests::{Program, assert_contains, pipewatch_running, require_root};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::expect::{PATIENCE, RUN, is_alarm};

/// A test starts a server, and reads up to the end what the script that does so prints.
/// The server keeps its standard output, so that end does not come.
const MAKEFILE: &str = "\
test: healthy hangs
healthy:
\t@echo test 1: $$(echo passed | cat)
hangs:
\t@echo test 2: $$(sh -c 'sleep 3600 2>/dev/null & echo started')
.PHONY: test healthy hangs
";

/// `pipewatch --exit-on-hang -- make test`, and the folder of its Makefile.
fn ci(options: &[&str]) -> (Command, TempDir) {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("Makefile"), MAKEFILE).expect("a Makefile");
    let mut make = Command::new("make");
    make.arg("-C").arg(folder.path()).args(["-j2", "test"]);
    let common = ["--format", "json", "--exit-on-hang", "-t", "500ms"];
    let ci = pipewatch_running(&[&common, options].concat(), &make);
    (ci, folder)
}

/// The command with process ids of its own.
fn in_container(command: &Command) -> Command {
    let mut container = Command::new("unshare");
    container.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    container
        .arg(command.get_program())
        .args(command.get_args());
    container
}

/// The one hang that is told, by a run that fails for it.
fn hang_of(ci: &Program) -> Value {
    let output = ci.finish(RUN);
    assert_eq!(output.code, 1, "{output:?}");
    let mut hangs = ci.objects();
    hangs.retain(is_alarm);
    assert_eq!(hangs.len(), 1, "{output:?}");
    assert_contains(
        &hangs[0],
        &json!({"reader": {"comm": "sh", "call": "read"}, "holders": [{"comm": "sleep"}]}),
    );
    let stopped = ci.objects().pop().expect("a record");
    assert_contains(&stopped, &json!({"type": "stopped", "reason": "hang"}));
    assert!(output.stdout.contains("test 1: passed"), "{output:?}");
    assert!(output.stderr.contains("sent SIGTERM"), "{output:?}");
    hangs.remove(0)
}

#[test]
fn a_test_that_would_hang_for_ever_fails() {
    let (command, _folder) = ci(&[]);
    let ci = Program::start(command);
    let hang = hang_of(&ci);
    assert_eq!(hang["verdict"], "orphaned");

    // What make has started goes with it, and what stays was told.
    let told = format!("{} (sleep)", hang["holders"][0]["pid"]);
    let end = Instant::now() + PATIENCE;
    loop {
        let left = ci.group();
        if matches!(&left[..], [stat] if stat.starts_with(&told)) {
            break;
        }
        assert!(Instant::now() < end, "left: {left:?}");
    }
}

#[test]
fn so_it_does_in_a_container() {
    let (command, _folder) = ci(&[]);
    let ci = Program::start(in_container(&command));
    hang_of(&ci);
    let started = &ci.objects()[0];
    assert_eq!(started["backend"], "procfs", "{started:#}");
    let limits = started["limits"].to_string();
    assert!(limits.contains("pid namespace"), "{started:#}");
}

#[test]
fn probes_are_refused_in_a_container() {
    let (command, _folder) = ci(&["--backend", "tracepoint"]);
    Program::run(in_container(&command)).assert_complaint(125, "pid namespace");
}
