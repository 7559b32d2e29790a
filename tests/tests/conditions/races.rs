//! What is judged changes meanwhile, as fast as it can.

use std::fs;
use std::process::Command;
use std::time::Duration;

use pipewatch_tests::{Program, Watcher, assert_contains, python, scenario};
use serde_json::{Value, json};

use crate::expect::{self, PATIENCE, RUN, is_alarm, list};
use crate::{alone, nice};

/// Some of them are hangs for a moment, and told if they are seen in time.
#[test]
fn readers_that_die_while_they_are_judged() {
    let mut target = Program::ready(python(&["dying.py"]));
    let watcher = Watcher::of(&target, &["--threshold", "100ms"]);
    target.go();
    let died = target.wait_for("the end", PATIENCE, |fact| fact["fact"] == "died");
    assert_eq!(watcher.finish(RUN).code, 0);
    let hangs = watcher.records("hang");
    assert!(hangs.len() > 1, "{} of {died}", hangs.len());
    for hang in &hangs {
        let reader = &hang["reader"]["pid"];
        assert_eq!(hang["verdict"], "self-held", "{hang:#}");
        assert!(list(&died["hanging"]).contains(reader), "{hang:#}");
        let end = expect::resolution(&watcher, hang);
        assert_eq!(end["outcome"], "reader-gone", "{end:#}");
    }
    assert_contains(&watcher.last_record(), &json!({"open": 0}));
}

#[test]
fn a_table_that_changes_while_a_hang_is_judged() {
    let _alone = alone();
    let hold = expect::hold_ms();
    let amid = scenario(&["fork-amid-churn", "--hold-ms", &hold]);
    let mut target = Program::ready(nice(&amid));
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let mut expected = expect::what_tables_show(&target.fact("expect")["hang"]);
    let hang = expect::hang_of(&watcher, &expected["reader"]["tid"]);
    // Whether the whole history was seen depends on how fast the machine is.
    expected["certainty"] = hang["certainty"].clone();
    assert_contains(&hang, &expected);
    let resolved = expect::resolution(&watcher, &hang);
    assert_eq!(resolved["outcome"], "eof", "{resolved:#}");
    assert_eq!(target.finish(RUN).code, 0);
    assert_eq!(watcher.records("hang").len(), 1);
}

#[test]
fn a_table_that_changes_while_a_healthy_wait_is_judged() {
    let _alone = alone();
    let amid = scenario(&["sentinel-amid-churn", "--hold-ms", "90000"]);
    let mut target = Program::ready(nice(&amid));
    let watcher = Watcher::of(&target, &["--threshold", "300ms"]);
    target.go();
    target.fact("reading");
    watcher.expect_silence("an alarm", Duration::from_secs(4), is_alarm);
}

/// In a namespace with so few process ids that each is used again many times a second.
#[test]
fn a_hang_among_ids_that_are_used_again_and_again() {
    let _alone = alone();
    let scenario = scenario(&[]);
    let scenario = scenario.get_program().to_str().expect("UTF-8");
    let script = r#"
        echo 330 > /proc/sys/kernel/pid_max
        nice -n 19 "$0" churn --now --hold-ms 5000 > /dev/null &
        exec "$0" fork-no-close --hold-ms 4000"#;
    let mut boxed = Command::new("unshare");
    boxed.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    boxed.args(["sh", "-c", script, scenario]);
    let mut target = Program::ready(boxed);
    // By its id outside, and with all there is.
    let init = child_of(target.pid());
    let watchers = [
        Watcher::start(&["-p", &init.to_string()]),
        Watcher::start(&["--all"]),
    ];
    target.go();
    let inside = target.fact("expect")["hang"].clone();
    for watcher in &watchers {
        let hang = watcher.wait_for("the hang", PATIENCE, |record| {
            is_alarm(record) && record["reader"]["pid"] == init
        });
        // A slow build loses events of this, and infers.
        assert_contains(&hang, &json!({"verdict": "leaked", "cause": "fork"}));
        let holder = &hang["holders"][0]["pid"];
        assert_eq!(id_inside(holder), inside["holders"][0]["pid"], "{hang:#}");
        let resolved = expect::resolution(watcher, &hang);
        assert_eq!(resolved["outcome"], "eof", "{resolved:#}");
        let of_box = |record: &&Value| record["reader"]["pid"] == init;
        assert_eq!(watcher.records("hang").iter().filter(of_box).count(), 1);
    }
}

fn child_of(pid: u32) -> u32 {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).expect("the children");
    children.trim().parse().expect("one child")
}

/// The id of a process in its own namespace.
fn id_inside(pid: &Value) -> Value {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let id = ids.and_then(|ids| ids.split_whitespace().next_back()?.parse::<u32>().ok());
    id.into()
}
