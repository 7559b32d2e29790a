//! Hangs that must be found, and told right.

use nix::sys::signal::Signal;
use pipewatch_tests::{
    Program, Watcher, assert_contains, pipewatch_running, python, require_root, scenario,
};
use serde_json::{Value, json};

use crate::expect::{self, PATIENCE, RUN, THRESHOLD, is_alarm, list};

/// Watches a target from before its pipe exists until its hang has come and gone.
fn comes_and_goes(target: std::process::Command) {
    let mut target = Program::ready(target);
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let hang = expect::hang(&watcher, &target, THRESHOLD);
    expect::resolved(&watcher, &target, &hang);
    assert_eq!(watcher.records("hang"), [hang]);
}

#[test]
fn the_bad_case_of_the_article() {
    comes_and_goes(python(&["bad.py", "2.5", "0.5"]));
}

#[test]
fn a_child_that_keeps_its_pair() {
    comes_and_goes(scenario(&["fork-no-close"]));
}

#[test]
fn a_child_that_answers_late() {
    comes_and_goes(scenario(&["slow-answer"]));
}

#[test]
fn the_race_of_two_threads() {
    comes_and_goes(scenario(&["fork-race"]));
}

#[test]
fn the_race_inside_popen() {
    let mut target = Program::ready(python(&["popen_race.py"]));
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let hung = target.wait_for("hung", 3 * PATIENCE, |fact| fact["fact"] == "hung");
    let hang = expect::hang_of(&watcher, &hung["reader_tid"]);
    let expected = json!({
        "verdict": "leaked",
        "cause": "fork-race",
        "confidence": "certain",
        "certainty": "exact",
        "reader": {"pid": target.pid(), "call": "read"},
        "holders": [{"relation": "child", "via": {"kind": "fork", "tid": hung["forker_tid"]}}],
    });
    assert_contains(&hang, &expected);
    for holder in list(&hang["holders"]) {
        assert!(
            list(&hung["workers"]).contains(&holder["pid"]),
            "{holder:#} is no worker"
        );
    }
    let resolved = expect::resolution(&watcher, &hang);
    assert_contains(
        &resolved,
        &json!({"outcome": "eof", "freed_by": {"how": "exit"}}),
    );
}

#[test]
fn one_leak_among_200_forks_of_50_threads() {
    let mut target = Program::ready(scenario(&["storm", "--hold-ms", &expect::hold_ms()]));
    let watcher = Watcher::of(&target, &["-v"]);
    target.go();
    let hang = expect::hang(&watcher, &target, THRESHOLD);

    let forked = target.fact("forked");
    assert_eq!(
        list(&forked["children"]).len(),
        199,
        "children besides the one that leaks"
    );
    for child in list(&forked["children"]) {
        watcher.wait_for("wait of a child", PATIENCE, |record| {
            record["verdict"] == "waiting" && record["reader"]["pid"] == *child
        });
    }

    expect::resolved(&watcher, &target, &hang);
    let output = watcher.finish(RUN);
    assert_eq!(output.code, 0, "{output:?}");
    if !expect::may_skip_programs() {
        assert_contains(
            &watcher.last_record(),
            &json!({"type": "stopped", "lost_events": 0}),
        );
        assert_eq!(watcher.records("lost"), [json!(null); 0]);
    }
    let alarms = watcher.objects().into_iter().filter(is_alarm);
    assert_eq!(alarms.collect::<Vec<_>>(), [hang]);
}

#[test]
fn lost_events_cost_no_hang() {
    let mut target = Program::ready(scenario(&["storm", "--hold-ms", &expect::hold_ms()]));
    let watcher = Watcher::of(&target, &["--buffer", "4KiB"]);
    // A fast pipewatch could follow even so.
    watcher.signal(Signal::SIGSTOP);
    target.go();
    let expected = &target.fact("expect")["hang"];
    watcher.signal(Signal::SIGCONT);
    let hang = expect::hang_of(&watcher, &expected["reader"]["tid"]);
    assert_contains(&hang, &expect::what_tables_show(expected));
    let lost = watcher.wait_for("a loss", PATIENCE, |record| record["type"] == "lost");
    assert_contains(&lost, &json!({"rescanned": true}));
    assert!(lost["events"].as_u64() > Some(0), "{lost:#}");
}

/// A fork hands on more entries than pipewatch is woken at, and these wake nobody.
#[test]
fn forks_with_many_pipes_do_not_fill_the_buffer() {
    require_root();
    let program = "\
import os, time
pipes = [os.pipe() for _ in range(200)]
for _ in range(50):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.03)
";
    // It has room for two of these forks: who is woken has the time to read each, who reads
    // five times a second loses most.
    let options = ["--format", "json", "--buffer", "64KiB"];
    let output = Program::run(pipewatch_running(&options, &python(&["-c", program])));
    let stopped = output.stdout.lines().last().expect("a record");
    let stopped: Value = serde_json::from_str(stopped).expect("a record");
    let count = |name: &str| stopped[name].as_u64().expect(name);
    assert!(count("events") > count("lost_events"), "{stopped:#}");
}
