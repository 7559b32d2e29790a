//! What can be watched, and what cannot.

use std::fs;
use std::process::Command;

use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};
use pipewatch_tests::{
    Program, Watcher, allowed, assert_contains, micros_of, pipewatch, require_root, scenario,
};
use serde_json::{Value, json};

use crate::expect::{self, RUN, THRESHOLD};

/// A hang that began before anybody looked, and how long ago.
fn hung_before() -> (Program, Value) {
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", "60000"]));
    target.go();
    let mut known = target.fact("expect")["hang"].clone();
    target.fact("reading");
    // What only history tells is not to be known.
    for holder in known["holders"].as_array_mut().into_iter().flatten() {
        holder["via"] = json!({"kind": "unknown"});
    }
    known["certainty"] = json!("inferred");
    known["pipe"]["created"] = Value::Null;
    known["timeline"] = json!([{"what": "read"}]);
    (target, known)
}

#[test]
fn a_hang_that_was_there_before() {
    let (target, known) = hung_before();
    let watcher = Watcher::of(&target, &[]);
    let hang = expect::hang_of(&watcher, &known["reader"]["tid"]);
    let after_start = micros_of(&hang) - micros_of(&watcher.started);
    let in_time = THRESHOLD + allowed(expect::LATENCY);
    assert!(
        after_start <= in_time.as_micros() as i64,
        "{after_start} us after the start: {hang:#}"
    );
    assert_contains(&hang, &known);
}

#[test]
fn a_single_look_finds_what_hangs_now() {
    let (target, known) = hung_before();
    // A wait is a hang from the threshold on, which a look does not wait for.
    std::thread::sleep(THRESHOLD);
    let look = |args: &[&str]| {
        let looked = Program::start(pipewatch(
            &[&["snapshot", "--format", "json"], args].concat(),
        ));
        let output = looked.finish(RUN);
        let hangs = looked.objects().into_iter().filter(|object| {
            object["type"] == "hang" && object["reader"]["tid"] == known["reader"]["tid"]
        });
        (output.code, hangs.collect::<Vec<_>>())
    };
    let pid = target.pid().to_string();
    for args in [&["-p", &pid][..], &["--all"], &[]] {
        let (code, hangs) = look(args);
        assert_eq!(code, 1);
        assert_eq!(hangs.len(), 1);
        assert_contains(&hangs[0], &known);
    }
    let idle = Program::ready(scenario(&["good"]));
    assert_eq!(look(&["-p", &idle.pid().to_string()]), (0, Vec::new()));
}

/// A reader, and a child that has the write end so many times.
const MANY: &str = "\
import os, signal, sys
r, w = os.pipe()
if not os.fork():
    for _ in range(int(sys.argv[1])):
        os.dup(w)
    print('{\"fact\": \"ready\"}', flush=True)
    signal.pause()
os.close(w)
os.read(r, 1)
";

#[test]
fn all_descriptors_of_a_holder_are_told_however_many() {
    // The kernel has room for 200 of them at a time.
    for duplicates in [0, 150, 400] {
        let mut python = Command::new("python3");
        let target = Program::ready({
            python.args(["-c", MANY, &duplicates.to_string()]);
            python
        });
        // For the wait to be a hang, as above.
        std::thread::sleep(THRESHOLD);
        let pid = target.pid().to_string();
        let look = &["snapshot", "--format", "json", "-p", &pid];
        let looked = Program::start(pipewatch(look));
        assert_eq!(looked.finish(RUN).code, 1);
        let hang = looked.objects().into_iter().find(|it| it["type"] == "hang");
        let hang = hang.expect("a hang");
        let fds = hang["holders"][0]["fds"].as_array().map(Vec::len);
        // Both ends, and the duplicates.
        assert_eq!(fds, Some(2 + duplicates), "{hang:#}");
    }
}

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

/// As below a service manager, or after nohup: the reader has no parent of its own either.
#[test]
fn what_a_command_of_an_orphan_leaves_behind() {
    let mut shell = Command::new("sh");
    let script = r#"
        (x=$(sleep 90 3>&- & echo '{"fact": "left"}' >&3)) 3>&1 > /dev/null 2>&1 &
        echo "{\"fact\": \"reads\", \"pid\": $!}""#;
    shell.args(["-c", script]);
    let target = Program::start(shell);
    let reader = target.fact("reads")["pid"].clone();
    target.fact("left");
    let of_reader = [
        "--exit-on-hang",
        "--format",
        "json",
        "-p",
        &reader.to_string(),
    ];
    let watcher = Program::start(pipewatch(&of_reader));
    assert_eq!(watcher.finish(RUN).code, 1);
    let orphaned = json!({
        "verdict": "orphaned",
        "certainty": "inferred",
        "holders": [{"comm": "sleep", "fds": [{"fd": 1}]}],
    });
    let hang = expect::hang_of(&watcher, &reader);
    assert_contains(&hang, &orphaned);
}

#[test]
fn a_zombie_has_ended() {
    let mut child = Command::new("true").spawn().expect("true");
    let id = Id::Pid(Pid::from_raw(child.id().cast_signed()));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("its end");
    let pid = child.id().to_string();
    for args in [
        &["-p", &pid][..],
        &["snapshot", "-p", &pid],
        &["release", &pid, "3"],
    ] {
        Program::run(pipewatch(args)).assert_complaint(2, "has ended");
    }
    child.wait().expect("a zombie");
}
