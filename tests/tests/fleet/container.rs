//! Processes in groups that are named as a container's are.

use std::fs;
use std::path::PathBuf;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use pipewatch_tests::{Program, Watcher, assert_contains, pipewatch, scenario};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::expect::{self, RUN};

/// A group of a hierarchy that is mounted for it.
struct Group {
    root: TempDir,
    path: PathBuf,
}

impl Group {
    fn named(name: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let none = None::<&str>;
        mount(none, root.path(), Some("cgroup2"), MsFlags::empty(), none).expect("cgroup2");
        let path = root.path().join(name);
        fs::create_dir(&path).expect("a cgroup");
        Self { root, path }
    }

    fn take(&self, program: &Program) {
        fs::write(self.path.join("cgroup.procs"), program.pid().to_string()).expect("moved");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes may be about to end.
        while fs::remove_dir(&self.path).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY)) {
            std::thread::yield_now();
        }
        umount2(self.root.path(), MntFlags::MNT_DETACH).expect("umount");
    }
}

#[test]
fn a_hang_in_a_container_is_told_as_such_and_again_by_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let path = trace.to_str().expect("a path in UTF-8");
    // An id that no other run has.
    let id = format!("{:064x}", std::process::id());
    let name = format!("docker-{id}.scope");
    let group = Group::named(&name);
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", &expect::hold_ms()]));
    group.take(&target);
    let watcher = Watcher::of(&target, &["--record", path]);
    target.go();
    let hang = expect::hang_of(&watcher, &target.fact("expect")["hang"]["reader"]["tid"]);
    let cgroup = hang["reader"]["cgroup"].as_str().expect("a path");
    assert!(cgroup.ends_with(&format!("/{name}")), "{cgroup}");
    let home = json!({"cgroup": cgroup, "container": id, "pod": null});
    let expected = json!({
        "reader": home,
        "pipe": {"created": home},
        "holders": [home],
    });
    assert_contains(&hang, &expected);
    assert_contains(&hang["holders"][0]["via"], &home);
    expect::resolution(&watcher, &hang);
    assert_eq!(watcher.finish(RUN).code, 0);

    let replayed = Program::start(pipewatch(&["replay", path, "--format", "json"]));
    assert_eq!(replayed.finish(RUN).code, 0);
    let again = replayed.objects().into_iter().find(expect::is_alarm);
    assert_eq!(again, Some(hang));
    let text = Program::run(pipewatch(&["replay", path])).stdout;
    let shown = format!("in container {}", &id[..12]);
    assert_eq!(text.matches(&shown).count(), 1, "{text}");
}

#[test]
fn who_is_in_no_container_has_none() {
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", &expect::hold_ms()]));
    let watcher = Watcher::of(&target, &[]);
    target.go();
    let hang = expect::hang_of(&watcher, &target.fact("expect")["hang"]["reader"]["tid"]);
    for process in [&hang["reader"], &hang["holders"][0]] {
        assert_contains(process, &json!({"container": null, "pod": null}));
        assert!(process["cgroup"].is_string(), "{process:#}");
    }
    assert_ne!(hang["reader"], Value::Null);
}
