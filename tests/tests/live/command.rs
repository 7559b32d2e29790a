//! `pipewatch -- COMMAND`.

use std::process::Command;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pipewatch_tests::{
    Program, Watcher, assert_contains, pipewatch, pipewatch_running, require_root, scenario,
};
use serde_json::{Value, json};

use crate::expect::{self, RUN, THRESHOLD};

const AT_ONCE: &[&str] = &["fork-no-close", "--now"];

#[test]
fn a_command_is_watched_from_its_first_instruction() {
    let watcher = Watcher::running(&scenario(AT_ONCE));
    let hang = expect::hang(&watcher, &watcher, THRESHOLD);
    expect::resolved(&watcher, &watcher, &hang);
    assert_eq!(watcher.finish(RUN).code, 0);
    assert_contains(
        &watcher.last_record(),
        &json!({"type": "stopped", "hangs": 1, "resolved": 1, "open": 0}),
    );
}

#[test]
fn records_go_to_the_file_and_the_output_is_the_commands() {
    require_root();
    let file = tempfile::NamedTempFile::new().expect("an output file");
    let path = file.path().to_str().expect("a path in UTF-8");
    let options = ["--format", "json", "-t", "300ms", "-o", path];
    let command = pipewatch_running(&options, &scenario(AT_ONCE));
    let output = Program::run(command);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output.stdout.lines().all(|line| line.contains(r#""fact""#)),
        "{output:?}"
    );
    let records = std::fs::read_to_string(path).expect("the records");
    let types = records.lines().map(|line| {
        let record: Value = serde_json::from_str(line).expect("a record");
        record["type"].as_str().expect("a type").to_owned()
    });
    assert_eq!(
        types.collect::<Vec<_>>(),
        ["started", "hang", "resolved", "stopped"]
    );
}

#[test]
fn the_commands_exit_status_is_passed_on() {
    require_root();
    let expectations: [(i32, &[&str]); 5] = [
        (0, &["true"]),
        (3, &["sh", "-c", "exit 3"]),
        (137, &["sh", "-c", "kill -KILL $$"]),
        (127, &["/no/such/program"]),
        (126, &["/etc/passwd"]),
    ];
    let running = expectations.map(|(code, command)| {
        let program = Program::start(pipewatch(&[&["--"], command].concat()));
        (code, program)
    });
    for (code, program) in running {
        let output = program.finish(RUN);
        assert_eq!(output.code, code, "{output:?}");
    }
}

#[test]
fn a_signal_is_forwarded_to_the_command() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"trap 'exit 7' TERM; echo '{"fact":"ready"}'; while :; do sleep 0.1; done"#,
    ]);
    let watcher = Watcher::running(&command);
    watcher.fact("ready");
    watcher.signal(Signal::SIGTERM);
    assert_eq!(watcher.finish(RUN).code, 7);
    assert_eq!(watcher.last_record()["type"], "stopped");
}

#[test]
fn who_outlives_the_command_is_named_and_who_keeps_its_output_open() {
    let script = r#"sleep 3600 & kept=$!; sleep 3600 >/dev/null 2>&1 &
        echo "{\"fact\": \"left\", \"kept\": $kept, \"silent\": $!}""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let watcher = Watcher::running(&command);
    let left = watcher.fact("left");
    let [kept, silent] = ["kept", "silent"].map(|who| left[who].to_string());
    let behind = watcher.wait_for_complaint("left behind", RUN);
    let waits = watcher.wait_for_complaint("keeps it open", RUN);
    end(&kept);
    end(&silent);
    assert!(behind.contains(&format!("sleep (pid {kept})")), "{behind}");
    assert!(
        behind.contains(&format!("sleep (pid {silent})")),
        "{behind}"
    );
    assert!(waits.contains(&kept) && !waits.contains(&silent), "{waits}");
    assert_eq!(watcher.finish(RUN).code, 0);
    assert_contains(
        &watcher.last_record(),
        &json!({"type": "stopped", "reason": "command-ended"}),
    );
}

fn end(pid: &str) {
    let pid = Pid::from_raw(pid.parse().expect("a pid"));
    kill(pid, Signal::SIGKILL).expect("a process");
}

/// What it leaves behind is the hang.
#[test]
fn a_command_that_is_ended_for_a_hang_leaves_its_cause_behind() {
    let script = r#"(x=$(sleep 3600 & echo "{\"fact\": \"holds\", \"pid\": $!}" >&3)) 3>&1"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let watcher = Program::start(pipewatch_running(&["--exit-on-hang"], &command));
    let holder = watcher.fact("holds")["pid"].to_string();
    let behind = watcher.wait_for_complaint("left behind", RUN);
    end(&holder);
    assert!(
        behind.contains(&format!("sleep (pid {holder})")),
        "{behind}"
    );
    assert!(
        watcher.finish(RUN).stderr.contains("sent SIGTERM"),
        "{behind}"
    );
}

#[test]
fn a_command_that_does_not_end_for_a_hang_is_named() {
    let script = "trap '' TERM; x=$(sleep 4 & echo)";
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let watcher = Program::start(pipewatch_running(&["--exit-on-hang"], &command));
    let output = watcher.finish(RUN);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stderr.contains("goes on in spite of that"),
        "{output:?}"
    );
    assert!(output.stderr.contains("kill -KILL"), "{output:?}");
}

#[test]
fn a_command_that_outlasts_the_time_to_watch_is_named() {
    let mut command = Command::new("sleep");
    command.arg("5");
    let watcher = Program::start(pipewatch_running(&["--duration", "300ms"], &command));
    let output = watcher.finish(RUN);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stderr.contains("goes on"), "{output:?}");
}
