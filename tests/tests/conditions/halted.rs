//! The waiting process is stopped, or frozen.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use pipewatch_tests::{Program, Watcher, assert_contains, scenario};
use serde_json::Value;
use tempfile::TempDir;

use crate::expect::{self, PATIENCE, RUN, THRESHOLD};

/// How a process is halted, and goes on.
trait Halt {
    fn halt(&self, target: &Program);
    fn go_on(&self, target: &Program);
}

struct Stop;

impl Halt for Stop {
    fn halt(&self, target: &Program) {
        target.signal(Signal::SIGSTOP);
    }

    fn go_on(&self, target: &Program) {
        target.signal(Signal::SIGCONT);
    }
}

/// A cgroup of a hierarchy that is mounted for it.
struct Freezer {
    root: TempDir,
    group: PathBuf,
}

impl Freezer {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let none = None::<&str>;
        mount(none, root.path(), Some("cgroup2"), MsFlags::empty(), none).expect("cgroup2");
        // All mounts show the same groups.
        let name = root.path().file_name().expect("a name of its own");
        let group = root.path().join(name);
        fs::create_dir(&group).expect("a cgroup");
        Self { root, group }
    }

    fn freeze(&self, frozen: u8) {
        fs::write(self.group.join("cgroup.freeze"), frozen.to_string()).expect("cgroup.freeze");
        let events = || fs::read_to_string(self.group.join("cgroup.events")).expect("its events");
        while !events().contains(&format!("frozen {frozen}")) {
            std::thread::yield_now();
        }
    }
}

impl Halt for Freezer {
    fn halt(&self, target: &Program) {
        let procs = self.group.join("cgroup.procs");
        fs::write(procs, target.pid().to_string()).expect("a process in the cgroup");
        self.freeze(1);
    }

    fn go_on(&self, _: &Program) {
        self.freeze(0);
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        // Only who is not frozen can be killed and leave.
        let _ = fs::write(self.group.join("cgroup.kill"), "1");
        let _ = fs::write(self.group.join("cgroup.freeze"), "0");
        while fs::remove_dir(&self.group).is_err() {
            std::thread::yield_now();
        }
        let _ = umount2(self.root.path(), MntFlags::MNT_DETACH);
    }
}

/// A reader that waits for a child; only the reader is halted.
fn reader(hold: &str) -> (Program, Watcher, Value) {
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", hold]));
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let expected = target.fact("expect")["hang"].clone();
    target.fact("reading");
    (target, watcher, expected)
}

/// Halted before the threshold: it is told at the latest when it goes on.
fn halted_before(halt: &dyn Halt) {
    let (target, watcher, expected) = reader(&expect::hold_ms());
    halt.halt(&target);
    std::thread::sleep(THRESHOLD + Duration::from_millis(500));
    halt.go_on(&target);
    let hang = expect::hang_of(&watcher, &expected["reader"]["tid"]);
    assert_contains(&hang, &expected);
    let resolved = expect::resolution(&watcher, &hang);
    assert_eq!(resolved["outcome"], "eof", "{resolved:#}");
    assert_eq!(target.finish(RUN).code, 0);
}

/// Halted when it was told already; the end of file comes meanwhile.
fn halted_after(halt: &dyn Halt) {
    let (target, watcher, expected) = reader("2000");
    let hang = expect::hang_of(&watcher, &expected["reader"]["tid"]);
    halt.halt(&target);
    target.fact("released");
    // Long enough to be looked at several times.
    std::thread::sleep(Duration::from_secs(3));
    halt.go_on(&target);
    let resolved = expect::resolution(&watcher, &hang);
    assert_eq!(resolved["outcome"], "eof", "{resolved:#}");
    assert_eq!(target.finish(RUN).code, 0);
    let one = watcher.records("hang");
    assert_eq!(one.len(), 1, "{one:#?}");
    watcher.wait_for("the end", PATIENCE, |record| record["type"] == "stopped");
}

#[test]
fn stopped_before_it_is_told() {
    halted_before(&Stop);
}

#[test]
fn stopped_after_it_is_told() {
    halted_after(&Stop);
}

#[test]
fn frozen_before_it_is_told() {
    halted_before(&Freezer::new());
}

#[test]
fn frozen_after_it_is_told() {
    halted_after(&Freezer::new());
}
