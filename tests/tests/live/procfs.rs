//! Without BPF, as an ordinary user who looks at processes of their own.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use pipewatch_tests::{
    Program, User, Watcher, assert_contains, paced, pipewatch_running, scenario,
};
use serde_json::{Value, json};

use crate::expect::{PATIENCE, RUN, hang_of, hold_ms, is_alarm, resolution};

/// A pipewatch that watches a program, and its first record.
fn watch(user: &User, target: &Program, args: &[&str]) -> (Program, Value) {
    let pid = target.pid().to_string();
    let args = [&["--format", "json", "-p", &pid], args].concat();
    let watcher = Program::start(user.pipewatch(&args));
    let started = started(&watcher);
    (watcher, started)
}

/// A scenario whose reader hangs, and what is to be said of it.
fn hung(user: &User, args: &[&str]) -> (Program, Value) {
    let mut target = user.start(&scenario(args));
    target.fact("ready");
    target.go();
    let mut known = target.fact("expect")["hang"].clone();
    target.fact("reading");
    without_history(&mut known);
    (target, known)
}

/// What only history tells is not to be known.
fn without_history(known: &mut Value) {
    for holder in known["holders"].as_array_mut().into_iter().flatten() {
        holder["via"] = json!({"kind": "unknown"});
    }
    known["certainty"] = json!("inferred");
    known["confidence"] = json!("likely");
    known["cause"] = json!("fork");
    known["pipe"]["created"] = Value::Null;
    known["timeline"] = json!([{"what": "read"}]);
}

fn started(watcher: &Program) -> Value {
    watcher.wait_for("started", RUN, |record| record["type"] == "started")
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Waits until the main thread of a program sleeps in a read of a descriptor
/// that is not the standard input.
fn wait_until_it_reads(target: &Program) {
    let number = nix::libc::SYS_read.to_string();
    wait_until_it_sleeps(target, |call, first| call == number && first != "0x0");
}

/// Waits until the main thread of a program sleeps in the call that is wanted, by its number
/// and its first argument.
fn wait_until_it_sleeps(target: &Program, wanted: impl Fn(&str, &str) -> bool) {
    let file = format!("/proc/{}/syscall", target.pid());
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let line = fs::read_to_string(&file).expect("a process of ours");
        let mut words = line.split_whitespace();
        if let (Some(call), Some(first)) = (words.next(), words.next())
            && wanted(call, first)
        {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it does not sleep so within {PATIENCE:?}");
}

#[test]
fn a_forked_pair_and_its_end() {
    let user = User::new();
    let (target, known) = hung(&user, &["fork-no-close", "--hold-ms", &hold_ms()]);
    let (watcher, started) = watch(&user, &target, &[]);
    assert_eq!(started["backend"], "procfs");
    let limits = started["limits"].to_string();
    for word in ["not permitted", "/proc", "processes of others"] {
        assert!(limits.contains(word), "no {word} in {limits}");
    }
    let hang = hang_of(&watcher, &known["reader"]["tid"]);
    assert_contains(&hang, &known);
    let resolved = resolution(&watcher, &hang);
    assert_contains(&resolved, &json!({"outcome": "eof", "freed_by": null}));
}

#[test]
fn a_reader_that_holds_its_own_writer() {
    let user = User::new();
    let mut perl = Command::new("perl");
    perl.args(["-e", "pipe(R, W); sysread(R, $x, 1)"]);
    let target = user.start(&perl);
    wait_until_it_reads(&target);
    let (watcher, _) = watch(&user, &target, &[]);
    let hang = hang_of(&watcher, &target.pid().into());
    let expected = json!({
        "verdict": "self-held",
        "confidence": "likely",
        "certainty": "inferred",
        "holders": [{"pid": target.pid(), "relation": "self"}],
    });
    assert_contains(&hang, &expected);
}

#[test]
fn an_output_that_something_in_the_background_has() {
    let user = User::new();
    let target = user.start(&shell("echo $(sleep 90 &)"));
    wait_until_it_reads(&target);
    let (watcher, _) = watch(&user, &target, &[]);
    let hang = hang_of(&watcher, &target.pid().into());
    let expected = json!({
        "verdict": "orphaned",
        "reader": {"call": "read"},
        "holders": [{"comm": "sleep", "fds": [{"fd": 1, "mode": "w", "cloexec": false}]}],
    });
    assert_contains(&hang, &expected);
}

#[test]
fn the_writer_lets_go_while_it_is_watched() {
    let user = User::new();
    let seconds = paced(Duration::from_secs(6)).as_secs();
    let script = format!("(sleep 90 & exec sleep {seconds}) | (read line; sleep 90)");
    let target = user.start(&shell(&script));
    let (watcher, _) = watch(&user, &target, &["-v"]);
    let healthy = watcher.wait_for("a healthy wait", PATIENCE, |record| {
        record["type"] == "hang" && record["verdict"] == "waiting"
    });
    let reader = &healthy["reader"]["tid"];
    let hang = watcher.wait_for("a hang", PATIENCE, |record| {
        record["type"] == "hang" && is_alarm(record) && record["reader"]["tid"] == *reader
    });
    assert_contains(&hang, &json!({"id": healthy["id"], "verdict": "orphaned"}));
}

#[test]
fn a_slow_pipeline_is_silent() {
    let user = User::new();
    let target = user.start(&shell("sleep 90 | cat"));
    let (watcher, _) = watch(&user, &target, &["-v"]);
    watcher.wait_for("a healthy wait", PATIENCE, |record| {
        record["type"] == "hang" && record["verdict"] == "waiting"
    });
    watcher.expect_silence("an alarm", Duration::from_secs(3), is_alarm);
}

#[test]
fn a_writer_of_another_user_is_not_taken_for_none() {
    let user = User::new();
    let mut reader = user.command(&Command::new("cat"));
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    reader.stdin(theirs);
    let mut reader = reader.spawn().expect("cat");
    let args = ["--format", "json", "-v", "-p", &reader.id().to_string()];
    let watcher = Program::start(user.pipewatch(&args));
    let wait = watcher.wait_for("a healthy wait", PATIENCE, |record| {
        record["type"] == "hang" && record["reader"]["pid"] == reader.id()
    });
    assert_contains(&wait, &json!({"verdict": "waiting", "holders": []}));
    drop(ours);
    reader.wait().expect("the end of cat");
    assert_eq!(watcher.finish(RUN).code, 0);
}

#[test]
fn a_single_look() {
    let user = User::new();
    let (target, known) = hung(&user, &["fork-no-close", "--hold-ms", "90000"]);
    let pid = target.pid().to_string();
    for args in [&["-p", &pid][..], &["--all"]] {
        let args = [&["snapshot", "--format", "json"], args].concat();
        let looked = Program::start(user.pipewatch(&args));
        assert_eq!(looked.finish(RUN).code, 1);
        let hang = hang_of(&looked, &known["reader"]["tid"]);
        assert_contains(&hang, &known);
    }
    let idle = user.start(&scenario(&["good"]));
    idle.fact("ready");
    let looked = user.pipewatch(&["snapshot", "-p", &idle.pid().to_string()]);
    assert_eq!(Program::run(looked).code, 0);
}

/// Nobody needs to be in a plain read for waits in other calls to be seen.
#[test]
fn a_single_look_at_one_that_polls() {
    let user = User::new();
    for wait in [
        "p = select.poll(); p.register(r, select.POLLIN); p.poll()",
        "select.select([r], [], [])",
        "e = select.epoll(); e.register(r, select.EPOLLIN); e.poll()",
    ] {
        let script = format!(
            r#"
import os, select, time
r, w = os.pipe()
if os.fork() == 0:
    time.sleep(90)
    os._exit(0)
os.close(w)
print('{{"fact": "polls"}}', flush=True)
{wait}"#
        );
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", &script]);
        let target = user.start(&python);
        target.fact("polls");
        // All that is left to it; a page that must be read in has no number.
        wait_until_it_sleeps(&target, |call, _| call.parse::<u32>().is_ok());
        let pid = target.pid().to_string();
        let looked = user.pipewatch(&["snapshot", "--format", "json", "-p", &pid]);
        let looked = Program::start(looked);
        assert_eq!(looked.finish(RUN).code, 1, "{wait}");
        let known = json!({"verdict": "leaked", "reader": {"pid": target.pid()}});
        let hang = looked.wait_for("hang", RUN, is_alarm);
        assert_contains(&hang, &known);
    }
}

#[test]
fn a_command_of_ones_own() {
    let user = User::new();
    let scenario = scenario(&["fork-no-close", "--now", "--hold-ms", &hold_ms()]);
    let mut reachable = Command::new(user.reachable(&scenario));
    reachable.args(scenario.get_args());
    let watcher = user.start(&pipewatch_running(&["--format", "json"], &reachable));
    let mut known = watcher.fact("expect")["hang"].clone();
    without_history(&mut known);
    let hang = hang_of(&watcher, &known["reader"]["tid"]);
    assert_contains(&hang, &known);
    assert_eq!(watcher.finish(RUN).code, 0);

    let expectations = [(3, "exit 3"), (137, "kill -KILL $$")];
    for (code, script) in expectations {
        let output = Program::run(user.command(&pipewatch_running(&[], &shell(script))));
        assert_eq!(output.code, code, "{output:?}");
    }
}

#[test]
fn a_trace_replays_to_the_same_hangs() {
    let user = User::new();
    let (target, known) = hung(&user, &["fork-no-close", "--hold-ms", &hold_ms()]);
    let trace = user.folder().join("trace");
    let path = trace.to_str().expect("a path in UTF-8");
    let (watcher, _) = watch(&user, &target, &["--record", path]);
    let hang = hang_of(&watcher, &known["reader"]["tid"]);
    resolution(&watcher, &hang);
    watcher.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(watcher.finish(RUN).code, 0);
    let replayed = Program::start(user.pipewatch(&["replay", path, "--format", "json"]));
    assert_eq!(replayed.finish(RUN).code, 0);
    assert_eq!(replayed.objects(), watcher.objects());
}

#[test]
fn what_is_not_permitted_is_told() {
    let user = User::new();
    let own = Pid::this().to_string();
    for (code, args) in [
        (2, &["-p", &own][..]),
        (2, &["snapshot", "-p", &own]),
        (2, &["--backend", "tracepoint", "--all"]),
        (2, &["snapshot", "--backend", "tracepoint"]),
        (125, &["--backend", "tracepoint", "--", "true"]),
    ] {
        Program::run(user.pipewatch(args)).assert_complaint(code, "not permitted");
    }
}

#[test]
fn root_may_ask_for_it_too() {
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", &hold_ms()]));
    let watcher = Watcher::of(&target, &["--backend", "procfs"]);
    assert_eq!(watcher.started["backend"], "procfs");
    assert!(
        !watcher.started["limits"]
            .to_string()
            .contains("not permitted")
    );
    target.go();
    let mut known = target.fact("expect")["hang"].clone();
    without_history(&mut known);
    let hang = hang_of(&watcher, &known["reader"]["tid"]);
    assert_contains(&hang, &known);
    resolution(&watcher, &hang);
}

#[test]
fn a_holder_of_ones_own_is_released() {
    let user = User::new();
    let (target, known) = hung(&user, &["fork-no-close", "--hold-ms", "60000"]);
    let release = |pid: &Value, fd: &Value| {
        let args = ["release", &pid.to_string(), &fd.to_string(), "--yes"];
        Program::run(user.pipewatch(&args))
    };
    release(&json!(1), &json!(1)).assert_complaint(2, "not permitted");
    let holder = &known["holders"][0];
    let output = release(&holder["pid"], &holder["fds"][1]["fd"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(target.fact("returned")["bytes"], 0);
}
