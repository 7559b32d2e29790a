//! `make test` under `pipewatch --exit-on-hang`, as CI has it.

use std::fs;
use std::process::Command;
use std::time::Instant;

use pipewatch_tests::{Program, assert_contains, pipewatch_running, require_root};
use serde_json::json;

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

#[test]
fn a_test_that_would_hang_for_ever_fails() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("Makefile"), MAKEFILE).expect("a Makefile");
    let mut make = Command::new("make");
    make.arg("-C").arg(folder.path()).args(["-j2", "test"]);
    let options = ["--format", "json", "--exit-on-hang", "-t", "500ms"];
    let ci = Program::start(pipewatch_running(&options, &make));
    let output = ci.finish(RUN);
    assert_eq!(output.code, 1, "{output:?}");

    let mut hangs = ci.objects();
    hangs.retain(is_alarm);
    assert_eq!(hangs.len(), 1, "{output:?}");
    assert_contains(
        &hangs[0],
        &json!({
            "verdict": "orphaned",
            "reader": {"comm": "sh", "call": "read"},
            "holders": [{"comm": "sleep"}],
        }),
    );
    let stopped = ci.objects().pop().expect("a record");
    assert_contains(&stopped, &json!({"type": "stopped", "reason": "hang"}));
    assert!(output.stdout.contains("test 1: passed"), "{output:?}");
    assert!(output.stderr.contains("sent SIGTERM"), "{output:?}");

    // What make has started goes with it, and what stays was told.
    let told = format!("{} (sleep)", hangs[0]["holders"][0]["pid"]);
    let end = Instant::now() + PATIENCE;
    loop {
        let left = ci.group();
        if matches!(&left[..], [stat] if stat.starts_with(&told)) {
            break;
        }
        assert!(Instant::now() < end, "left: {left:?}");
    }
}
