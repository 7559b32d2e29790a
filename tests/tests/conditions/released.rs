//! A release at a terminal, and of what others trace.

use std::fs;
use std::process::Command;

use pipewatch_tests::{Program, pipewatch, require_root, scenario};
use serde_json::Value;

use crate::expect::RUN;

/// A holder that reads, and its write end.
fn hold() -> (Program, String, String) {
    require_root();
    let mut target = Program::ready(scenario(&["hold", "read"]));
    target.go();
    let fact = target.fact("holding");
    target.fact("reading");
    let (pid, fd) = (fact["pids"][0].to_string(), fact["fd"].to_string());
    (target, pid, fd)
}

/// Whether it can write still.
fn is_held(pid: &str, fd: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"));
    info.is_ok_and(|info| info.lines().any(|line| line == "flags:\t02000001"))
}

/// Starts a tool that must be installed, and waits until it traces the process.
fn tracing(mut tool: Command, pid: &str) -> Program {
    let name = tool.get_program().to_string_lossy().into_owned();
    let path = std::env::var_os("PATH").expect("a PATH");
    let installed = std::env::split_paths(&path).any(|folder| folder.join(&name).is_file());
    assert!(installed, "this test needs {name} (package {name})");
    tool.args(["-p", pid]);
    let tool = Program::start(tool);
    let is_traced = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a holder");
        status.contains(&format!("TracerPid:\t{}\n", tool.pid()))
    };
    while !is_traced() {
        std::thread::yield_now();
    }
    tool
}

fn of_a_traced_one(tool: Command) {
    let (_target, pid, fd) = hold();
    let name = tool.get_program().to_string_lossy().into_owned();
    let tracer = tracing(tool, &pid);
    for args in [["--yes"].as_slice(), &["--yes", "--force"]] {
        let args = [&["release", &pid, &fd], args].concat();
        let output = Program::run(pipewatch(&args));
        let about = format!("is traced by process {} ({name})", tracer.pid());
        output.assert_complaint(2, &about);
    }
    assert!(is_held(&pid, &fd));
}

#[test]
fn a_process_that_strace_traces() {
    of_a_traced_one(Command::new("strace"));
}

#[test]
fn a_process_that_gdb_holds() {
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-q", "--readnever"]);
    of_a_traced_one(gdb);
}

/// What is answered, and what comes of it.
fn asked(answer: &str) -> (Program, bool, i32) {
    let (target, pid, fd) = hold();
    let pipewatch = pipewatch(&["release", &pid, &fd]);
    let words = [pipewatch.get_program()].into_iter();
    let words = words.chain(pipewatch.get_args());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &words.join(" "), "/dev/null"]);
    let mut terminal = Program::start(terminal);
    // The question is on a line that does not end.
    terminal.wait_for_text("will be stopped", RUN);
    terminal.send_line(answer);
    let code = terminal.finish(RUN).code;
    let held = is_held(&pid, &fd);
    (target, held, code)
}

#[test]
fn agreed_to_at_a_terminal() {
    let (target, held, code) = asked("y");
    assert_eq!((held, code), (false, 0));
    assert_eq!(target.fact("returned")["bytes"], 0);
    assert_eq!(target.fact("lived")["result"], 1);
}

#[test]
fn not_agreed_to_at_a_terminal() {
    for answer in ["", "n", "yesterday"] {
        let (target, held, code) = asked(answer);
        assert_eq!((held, code), (true, 2), "after {answer:?}");
        let returned = |fact: &Value| fact["fact"] == "returned";
        assert!(!target.objects().iter().any(returned));
    }
}
