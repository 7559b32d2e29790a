//! What every reported hang must satisfy.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pipewatch_tests::{Program, Watcher, allowed, assert_contains, micros_of, paced};
use serde_json::{Value, json};

/// The threshold where none is given.
pub const THRESHOLD: Duration = Duration::from_secs(1);
/// How late a record may be.
pub const LATENCY: Duration = Duration::from_millis(250);
/// How long a record may be under way.
const DELIVERY: Duration = Duration::from_millis(500);
/// When to stop waiting for a record, late or not.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// When to give up on a pipewatch that starts, does its job and ends: four that start
/// at once take an emulated machine more than a minute.
pub const RUN: Duration = Duration::from_secs(90);

/// Waits for the hang that `target` announces and checks it: content, time, and
/// that nobody else is blamed.
pub fn hang(watcher: &Watcher, target: &Program, threshold: Duration) -> Value {
    let expected = &target.fact("expect")["hang"];
    let reading = target.fact("reading");
    let hang = hang_of(watcher, &expected["reader"]["tid"]);
    assert_on_time(&hang, &reading, threshold);
    let of_tables;
    let expected = if may_skip_programs() && is_after_a_loss(&hang) {
        of_tables = what_tables_show(expected);
        &of_tables
    } else {
        expected
    };
    assert_contains(&hang, expected);
    assert_eq!(list(&hang["holders"]).len(), 1, "holders of {hang:#}");
    let blocked_ms = hang["reader"]["blocked_ms"].as_u64();
    let least = threshold.as_millis() as u64;
    assert!(
        blocked_ms >= Some(least),
        "blocked for {blocked_ms:?} of {hang:#}"
    );
    hang
}

/// Whether this kernel skips a program that it has preempted itself: one that can
/// preempt the kernel at any place, as those of Debian do since Linux 6.18
/// (docs/kernels.md). One that can be told whether to (`PREEMPT_DYNAMIC`) has logged
/// that at boot.
pub fn may_skip_programs() -> bool {
    let name = nix::sys::utsname::uname().expect("the kernel's name");
    if !name.version().to_string_lossy().contains("PREEMPT") {
        return false;
    }
    let log = Command::new("dmesg").output().expect("dmesg");
    let log = String::from_utf8_lossy(&log.stdout);
    let mut told = log
        .lines()
        .filter_map(|line| line.split_once("Dynamic Preempt: "));
    told.next()
        .is_none_or(|(_, mode)| !matches!(mode.trim(), "none" | "voluntary"))
}

fn is_after_a_loss(hang: &Value) -> bool {
    let why = hang["why"].as_str();
    why.is_some_and(|why| why.contains("events were lost on the way"))
}

/// The part of an expected hang that no loss of events can hide.
pub fn what_tables_show(expected: &Value) -> Value {
    let holders = list(&expected["holders"]).iter();
    let holders = holders.map(|holder| json!({"pid": holder["pid"], "fds": holder["fds"]}));
    json!({
        "verdict": expected["verdict"],
        "certainty": "inferred",
        "reader": expected["reader"],
        "holders": holders.collect::<Vec<_>>(),
    })
}

/// How long an end is held that pipewatch must see held though it may be late.
pub fn hold_ms() -> String {
    paced(Duration::from_secs(4)).as_millis().to_string()
}

/// Waits for the report about a thread that is no healthy wait.
pub fn hang_of(watcher: &Program, tid: &Value) -> Value {
    watcher.wait_for("hang", PATIENCE, |record| {
        is_alarm(record) && record["reader"]["tid"] == *tid
    })
}

/// Waits for the end of a hang that `target` brings about, in the way it says
/// it does, and checks it.
pub fn resolved(watcher: &Watcher, target: &Program, hang: &Value) {
    let released = target.fact("released");
    let resolved = resolution(watcher, hang);
    assert_on_time(&resolved, &released, Duration::ZERO);
    if may_skip_programs() && released["how"] != "write" && resolved["freed_by"].is_null() {
        // The wake-up that would name who freed it was lost, which is told.
        watcher.wait_for("lost", PATIENCE, |record| record["type"] == "lost");
        let outcomes = [json!("eof"), json!("reader-gone")];
        assert!(outcomes.contains(&resolved["outcome"]), "{resolved:#}");
        return;
    }
    let expected = match released["how"].as_str() {
        Some("write") => json!({"outcome": "data", "freed_by": null}),
        how => {
            json!({"outcome": "eof", "freed_by": {"pid": hang["holders"][0]["pid"], "how": how}})
        }
    };
    assert_contains(&resolved, &expected);
}

/// Waits for the end of a hang.
pub fn resolution(watcher: &Program, hang: &Value) -> Value {
    let is_it = |record: &Value| record["type"] == "resolved" && record["id"] == hang["id"];
    watcher.wait_for("resolved", PATIENCE, is_it)
}

/// Whether a record reports a hang, not a healthy wait.
pub fn is_alarm(record: &Value) -> bool {
    record["type"] == "hang" && record["verdict"] != "waiting"
}

/// The elements of a list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A record that has just come is from `after` the fact, at most LATENCY later,
/// and came when it says.
fn assert_on_time(record: &Value, fact: &Value, after: Duration) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    let lateness = micros_of(record) - micros_of(fact) - after.as_micros() as i64;
    let in_time = 0..=allowed(LATENCY).as_micros() as i64;
    assert!(
        in_time.contains(&lateness),
        "{lateness} us late: {record:#}\nafter {fact}"
    );
    let delay = now.as_micros() as i64 - micros_of(record);
    assert!(
        delay < allowed(DELIVERY).as_micros() as i64,
        "came {delay} us after its time: {record:#}"
    );
}
