//! What is watched is traced by somebody else too.

use std::fs;
use std::process::Command;
use std::time::Duration;

use pipewatch_tests::{Program, Watcher, assert_contains, scenario};
use serde_json::Value;

use crate::expect::{self, PATIENCE, RUN, THRESHOLD, is_alarm};

/// `strace -f` with these further arguments, and where it writes to.
fn strace(args: &[&str]) -> (Command, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=read", "-o"]);
    strace.arg(file.path()).args(args);
    (strace, file)
}

/// Starts a tool that must be installed.
fn tool(command: Command) -> Program {
    let name = command.get_program().to_string_lossy().into_owned();
    let path = std::env::var_os("PATH").expect("a PATH");
    let installed = std::env::split_paths(&path).any(|folder| folder.join(&name).is_file());
    assert!(installed, "this test needs {name} (package {name})");
    Program::start(command)
}

#[test]
fn by_strace_from_the_start() {
    let mut scenario = scenario(&["fork-race", "--hold-ms", &expect::hold_ms()]);
    scenario.arg("--now");
    let words: Vec<&str> = [scenario.get_program()]
        .into_iter()
        .chain(scenario.get_args())
        .map(|word| word.to_str().expect("UTF-8"))
        .collect();
    let watcher = Watcher::start(&["--all"]);
    let (command, log) = strace(&words);
    let target = tool(command);
    let hang = expect::hang(&watcher, &target, THRESHOLD);
    expect::resolved(&watcher, &target, &hang);
    assert_eq!(target.finish(RUN).code, 0);
    let log = fs::read_to_string(log.path()).expect("what strace saw");
    let tid = hang["reader"]["tid"].to_string();
    let read = format!("read({},", hang["reader"]["fd"]);
    // Ids stand in a column.
    let mut words = log.lines().map(|line| line.split_whitespace());
    let seen = words
        .any(|mut words| words.next() == Some(tid.as_str()) && words.next() == Some(read.as_str()));
    assert!(seen, "strace missed the read:\n{log}");
}

/// Starts a hang, lets somebody attach before it can be told, and checks that it is
/// told and ends as it would have.
fn attached_amid(attach: impl FnOnce(&str) -> Program) {
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", "6000"]));
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let expected = target.fact("expect")["hang"].clone();
    target.fact("reading");
    let _tracer = attach(&target.pid().to_string());
    let hang = expect::hang_of(&watcher, &expected["reader"]["tid"]);
    assert_contains(&hang, &expected);
    let resolved = expect::resolution(&watcher, &hang);
    assert_eq!(resolved["outcome"], "eof", "{resolved:#}");
    assert_eq!(target.finish(RUN).code, 0);
}

#[test]
fn by_strace_that_comes_while_it_hangs() {
    attached_amid(|pid| {
        let (command, _log) = strace(&["-p", pid]);
        tool(command)
    });
}

#[test]
fn by_gdb_that_holds_it_for_a_while() {
    attached_amid(|pid| {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "--readnever", "-p", pid]);
        for command in ["bt", "shell sleep 1.5", "detach"] {
            gdb.args(["-ex", command]);
        }
        tool(gdb)
    });
}

/// A healthy wait stays one.
#[test]
fn a_healthy_wait_of_a_traced_process() {
    let sentinel = scenario(&["sentinel", "--hold-ms", "90000"]);
    let mut target = Program::ready(sentinel);
    let watcher = Watcher::of(&target, &["-v", "--threshold", "300ms"]);
    target.go();
    target.fact("reading");
    let (command, _log) = strace(&["-p", &target.pid().to_string()]);
    let _tracer = tool(command);
    let is_wait = |record: &Value| record["verdict"] == "waiting";
    watcher.wait_for("a healthy wait", PATIENCE, is_wait);
    watcher.expect_silence("an alarm", Duration::from_secs(1), is_alarm);
}
