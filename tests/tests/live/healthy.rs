//! Waits that must never be reported as hangs.

use std::fs;
use std::time::Duration;

use pipewatch_tests::{Program, Watcher, python, scenario, shell};
use serde_json::Value;

use crate::expect::{PATIENCE, is_alarm};

const LASTING: Duration = Duration::from_secs(6);

#[test]
fn healthy_waits_are_silent() {
    let log = tempfile::NamedTempFile::new().expect("a log file");
    fs::write(log.path(), "x\n").expect("a log line");
    let tail = format!("tail -f {} | grep x", log.path().display());
    let mut targets = [
        python(&["good.py"]),
        python(&["pool.py"]),
        scenario(&["good"]),
        scenario(&["sentinel", "--hold-ms", "90000"]),
        shell("sleep 5 | cat; sleep 90 | cat"),
        shell("yes | head > /dev/null; sleep 90"),
        shell(&tail),
    ]
    .map(Program::ready);
    let pids: Vec<String> = targets
        .iter()
        .map(|target| target.pid().to_string())
        .collect();
    let watch: Vec<&str> = pids.iter().flat_map(|pid| ["-p", pid]).collect();
    let quiet = Watcher::start(&watch);
    let verbose = Watcher::start(&[watch.as_slice(), &["-v"]].concat());

    targets.iter_mut().for_each(Program::go);
    quiet.expect_silence("a report", LASTING, |record| record["type"] == "hang");
    assert_eq!(verbose.objects().into_iter().find(is_alarm), None);

    // The silence was not for want of looking: -v tells of the waits.
    let waits_of = |what: &str, is_it: &dyn Fn(&Value) -> bool| {
        verbose.wait_for(what, PATIENCE, |record| {
            record["verdict"] == "waiting" && is_it(&record["reader"])
        });
    };
    waits_of("a wait of cat", &|reader| reader["comm"] == "cat");
    waits_of("a wait of grep", &|reader| reader["comm"] == "grep");
    waits_of("a wait of the pool's results", &|reader| {
        reader["pid"] == targets[1].pid()
    });
    waits_of("a wait for the sentinel", &|reader| {
        reader["pid"] == targets[3].pid()
    });
}
