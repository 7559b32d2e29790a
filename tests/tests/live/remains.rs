//! What is left behind by a pipewatch that is killed, and what others notice of
//! one that is not: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use nix::sys::signal::Signal;
use pipewatch_tests::{Program, Watcher, pipewatch, pipewatch_running, require_root, scenario};
use serde_json::Value;

use crate::expect::{self, PATIENCE, RUN, THRESHOLD};

/// How many are killed while they start.
const KILLS: u32 = 20;

/// A program, map or link of BPF, by its id.
type Object = (&'static str, u32);

/// Those that the kernel has.
fn loaded() -> BTreeSet<Object> {
    let programs = loaded_programs().flatten().map(|it| ("program", it.id()));
    let maps = loaded_maps().flatten().map(|it| ("map", it.id()));
    let links = loaded_links().flatten().map(|it| ("link", it.id()));
    programs.chain(maps).chain(links).collect()
}

/// Those that live processes keep, by their descriptors or by another object that
/// they keep so.
fn held() -> BTreeSet<Object> {
    let mut held = BTreeSet::new();
    for process in fs::read_dir("/proc").expect("the processes").flatten() {
        // Others come and go.
        let descriptors = fs::read_dir(process.path().join("fdinfo"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let info = fs::read_to_string(descriptor.path()).unwrap_or_default();
            held.extend(info.lines().filter_map(object));
        }
    }
    for link in loaded_links().flatten() {
        if held.contains(&("link", link.id())) {
            held.insert(("program", link.program_id()));
        }
    }
    for program in loaded_programs().flatten() {
        if held.contains(&("program", program.id())) {
            let maps = program.map_ids().ok().flatten().unwrap_or_default();
            held.extend(maps.into_iter().map(|id| ("map", id)));
        }
    }
    held
}

fn object(line: &str) -> Option<Object> {
    let (name, id) = line.split_once(':')?;
    let kind = match name {
        "prog_id" => "program",
        "map_id" => "map",
        "link_id" => "link",
        _ => return None,
    };
    Some((kind, id.trim().parse().ok()?))
}

/// What else there may be of it.
fn traces() -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    let pinned = fs::read_dir("/sys/fs/bpf").into_iter().flatten().flatten();
    let pinned = pinned.map(|entry| entry.path().display().to_string());
    let trace = |line: &&str| line.contains("tracefs") || line.contains("bpf");
    let mounts = mounts.lines().filter(trace).map(str::to_owned);
    mounts.chain(pinned).collect()
}

/// Panics unless everything that is there now, and was not before, is somebody's,
/// or goes: the kernel frees it when nobody can be using it any more.
fn assert_nothing_is_left(before: &BTreeSet<Object>, what: &str) {
    let end = Instant::now() + PATIENCE;
    let nobodys = || -> BTreeSet<Object> {
        let held = held();
        let new = loaded().into_iter().filter(|it| !before.contains(it));
        new.filter(|it| !held.contains(it)).collect()
    };
    let mut left = nobodys();
    while !left.is_empty() {
        assert!(Instant::now() < end, "{what} left behind: {left:?}");
        let still = nobodys();
        left.retain(|it| still.contains(it));
    }
}

#[test]
fn killed_at_any_moment_of_its_start() {
    require_root();
    let (objects, others) = (loaded(), traces());
    let begun = Instant::now();
    let whole = Watcher::start(&["--all"]);
    let start = begun.elapsed();
    assert!(
        held().difference(&objects).count() > 0,
        "a pipewatch that watches has objects"
    );
    drop(whole);
    let mut unfinished = 0;
    for kill in 0..KILLS {
        let watcher = Program::start(pipewatch(&["--all", "--format", "json"]));
        // A moment of the start, and not of anything that could be waited for.
        std::thread::sleep(start * kill / KILLS);
        watcher.signal(Signal::SIGKILL);
        assert_eq!(watcher.finish(RUN).code, 137);
        unfinished += u32::from(watcher.objects().is_empty());
        assert_eq!(watcher.group(), [""; 0]);
    }
    assert_nothing_is_left(&objects, "one that was killed while it started");
    assert!(unfinished > KILLS / 2, "{unfinished} were killed in time");
    assert_eq!(traces(), others);
}

#[test]
fn killed_while_it_watches_and_tells() {
    require_root();
    let objects = loaded();
    let mut target = Program::ready(scenario(&["fork-no-close", "--hold-ms", "90000"]));
    let watcher = Watcher::of(&target, &["--threshold", "300ms"]);
    target.go();
    expect::hang(&watcher, &target, Duration::from_millis(300));
    watcher.signal(Signal::SIGKILL);
    assert_eq!(watcher.finish(RUN).code, 137);
    assert_nothing_is_left(&objects, "a pipewatch that had told a hang");
}

#[test]
fn a_command_goes_on_without_it() {
    require_root();
    let objects = loaded();
    let mut command = Command::new("sh");
    let script = r#"trap 'echo "{\"fact\":\"signal\"}"' HUP TERM INT
        echo '{"fact":"ready"}'; read go; echo '{"fact":"done"}'"#;
    command.args(["-c", script]);
    let mut watcher = Program::start(pipewatch_running(&["--format", "json"], &command));
    watcher.fact("ready");
    watcher.wait_for("started", RUN, |record| record["type"] == "started");
    watcher.signal(Signal::SIGKILL);
    assert_nothing_is_left(&objects, "a pipewatch that had started a command");
    watcher.go();
    watcher.fact("done");
    let told = watcher.objects();
    assert!(!told.iter().any(|it| it["fact"] == "signal"), "{told:?}");
}

#[test]
fn several_at_once_tell_the_same() {
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", &expect::hold_ms()]));
    let of_target = || Watcher::of(&target, &[]);
    let mut watchers: Vec<Watcher> = (0..3).map(|_| of_target()).collect();
    watchers.extend((0..2).map(|_| Watcher::start(&["--all"])));
    target.go();
    let told = |watcher: &Watcher| expect::hang(watcher, &target, THRESHOLD);
    let hangs: Vec<Value> = watchers.iter().map(told).collect();
    for (watcher, hang) in watchers.iter().zip(&hangs) {
        expect::resolved(watcher, &target, hang);
    }
}
