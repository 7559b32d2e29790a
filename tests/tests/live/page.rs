//! The page for a ticket (`--html`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pipewatch_tests::{NOBODY, Program, Watcher, pipewatch, require_root, scenario, shell};

use crate::expect::{self, RUN, THRESHOLD};

/// Waits until the page has this on it: it is written once a second.
fn wait_for(path: &Path, words: &str) {
    let patience = Instant::now() + RUN;
    while !fs::read_to_string(path).expect("a page").contains(words) {
        assert!(Instant::now() < patience, "no {words} within {RUN:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn assert_page(path: &Path, words: &[&str]) {
    let page = fs::read_to_string(path).expect("a page");
    for word in words.iter().chain(&["<!DOCTYPE html>", "</html>"]) {
        assert!(page.contains(word), "no {word} in {page}");
    }
    let mode = fs::metadata(path).expect("a page").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn it_is_there_while_the_run_goes_on_and_complete_at_its_end() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    // Where pipewatch may put no more files once it has given up its privileges.
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("chown");
    let page = folder.path().join("page.html");
    let path = page.to_str().expect("a path in UTF-8");
    // The run goes on as long as this one.
    let mut other = Program::ready(shell("exit 5"));
    let mut target = Program::ready(scenario(&["fork-race"]));
    let pid = other.pid().to_string();
    let watcher = Watcher::of(&target, &["-p", &pid, "--html", path]);
    target.go();
    let hang = expect::hang(&watcher, &target, THRESHOLD);
    wait_for(&page, "HANG #1");
    expect::resolved(&watcher, &target, &hang);
    wait_for(&page, "RESOLVED #1");
    assert_page(&page, &["still watching"]);
    other.go();
    assert_eq!(watcher.finish(RUN).code, 0);
    assert_page(&page, &["HANG #1", "RESOLVED #1", "as all watched ended"]);
}

#[test]
fn a_signal_leaves_a_complete_page() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let path = page.to_str().expect("a path in UTF-8");
    let mut target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, &["--html", path]);
    target.go();
    expect::hang(&watcher, &target, THRESHOLD);
    watcher.signal(Signal::SIGTERM);
    assert_eq!(watcher.finish(RUN).code, 0);
    assert_page(&page, &["1 hang, 1 still open", "by a signal"]);
}

#[test]
fn the_demo_makes_a_sample() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let path = page.to_str().expect("a path in UTF-8");
    let output = Program::run(pipewatch(&["demo", "--html", path]));
    assert_eq!(output.code, 0, "{output:?}");
    assert_page(&page, &["HANG #1", "RESOLVED #1"]);
}

#[test]
fn a_look_has_a_page_too() {
    require_root();
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let path = page.to_str().expect("a path in UTF-8");
    let target = Program::ready(scenario(&["fork-race"]));
    let pid = target.pid().to_string();
    let output = Program::run(pipewatch(&["snapshot", "-p", &pid, "--html", path]));
    assert_eq!(output.code, 0, "{output:?}");
    assert_page(&page, &["nothing hung", "after one look"]);
}
