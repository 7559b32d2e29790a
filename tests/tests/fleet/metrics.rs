//! Metrics of a run, and who asks for them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use pipewatch_tests::{Program, Watcher, pipewatch_running, require_root, scenario};

use crate::expect::{self, PATIENCE, RUN, THRESHOLD};
use crate::scrape::{address, connect, get, metrics, value};

const ANY_PORT: &[&str] = &["--metrics", "127.0.0.1:0"];

const RACE: &str = "pipewatch_hangs_total{verdict=\"leaked\",cause=\"fork-race\"}";
const OPEN: &str = "pipewatch_open_hangs";
const LONGEST: &str = "pipewatch_longest_open_hang_seconds";
const EVENTS: &str = "pipewatch_events_total";
const LOST: &str = "pipewatch_lost_events_total";
const WATCHED: &str = "pipewatch_watched_processes";

#[test]
fn a_hang_in_numbers() {
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", &expect::hold_ms()]));
    let watcher = Watcher::of(&target, ANY_PORT);
    let address = address(&watcher);
    let before = metrics(address);
    let backend = watcher.started["backend"].as_str().expect("a name");
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("pipewatch_build_info{{version=\"{version}\",backend=\"{backend}\"}}");
    assert_eq!(value(&before, &build), 1.0);
    assert_eq!((value(&before, OPEN), value(&before, LONGEST)), (0.0, 0.0));
    assert!(!before.contains(RACE), "{before}");

    target.go();
    let hang = expect::hang_of(&watcher, &target.fact("expect")["hang"]["reader"]["tid"]);
    let during = metrics(address);
    assert_eq!((value(&during, RACE), value(&during, OPEN)), (1.0, 1.0));
    let longest = value(&during, LONGEST);
    assert!(longest >= THRESHOLD.as_secs_f64(), "{during}");
    // It is as old as it is when somebody asks.
    assert!(value(&metrics(address), LONGEST) > longest);

    expect::resolution(&watcher, &hang);
    let after = metrics(address);
    assert_eq!((value(&after, RACE), value(&after, OPEN)), (1.0, 0.0));
    assert_eq!(value(&after, LONGEST), 0.0);
    // The child that was forked and its end, the pipe and its closes.
    assert!(value(&after, EVENTS) >= 4.0, "{after}");
    let stopped = watcher.wait_for("stopped", PATIENCE, |record| record["type"] == "stopped");
    assert!(value(&after, EVENTS) <= stopped["events"].as_f64().expect("a number"));
    assert!(value(&after, LOST) <= stopped["lost_events"].as_f64().expect("a number"));
    assert_eq!(watcher.finish(RUN).code, 0);
}

#[test]
fn who_is_watched_is_counted() {
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", &expect::hold_ms()]));
    let watcher = Watcher::of(&target, ANY_PORT);
    let address = address(&watcher);
    target.go();
    expect::hang_of(&watcher, &target.fact("expect")["hang"]["reader"]["tid"]);
    // The reader's process, and the one that holds its pipe.
    assert_eq!(value(&metrics(address), WATCHED), 2.0);
}

/// Descriptors that a process has open.
fn descriptors(of: &Program) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", of.pid())).expect("its descriptors");
    folder.count()
}

/// How a thread may go beyond its user, by name.
fn capabilities(of: &Program, name: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", of.pid())).expect("its threads");
    let status = threads.map(|thread| {
        let path = thread.expect("a thread").path().join("status");
        fs::read_to_string(path).expect("its status")
    });
    let named = status.filter(|status| status.starts_with(&format!("Name:\t{name}\n")));
    let sets = named.map(|status| {
        let lines = status.lines().filter(|line| line.starts_with("Cap"));
        lines.map(|line| line.to_owned() + "\n").collect()
    });
    sets.collect()
}

#[test]
fn who_answers_strangers_may_do_nothing_else() {
    let target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, ANY_PORT);
    // It has answered, so it has given them up.
    metrics(address(&watcher));
    let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    let none: String = sets
        .map(|set| format!("{set}:\t0000000000000000\n"))
        .concat();
    assert_eq!(capabilities(&watcher, "metrics"), [none]);
}

/// Two thousand connections come, hundreds at a time, that say too little; the last of
/// them.
fn slow_ones(address: SocketAddr) -> Vec<TcpStream> {
    let slow = || {
        let mut stream = connect(address);
        // It may be closed by now.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: slow");
        stream
    };
    let mut last = Vec::new();
    for _ in 0..10 {
        last = (0..200).map(|_| slow()).collect();
    }
    last
}

#[test]
fn many_who_say_nothing_hold_up_nobody() {
    // Until it is killed.
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", "600000"]));
    let watcher = Watcher::of(&target, ANY_PORT);
    let address = address(&watcher);
    metrics(address);
    let few = descriptors(&watcher);
    let first = std::thread::spawn(move || slow_ones(address));
    target.go();
    // As if nobody had come.
    expect::hang_of(&watcher, &target.fact("expect")["hang"]["reader"]["tid"]);
    first.join().expect("connections");
    let lean = watcher.resident_kb();
    let open = slow_ones(address);
    assert_eq!(value(&metrics(address), OPEN), 1.0);
    let (many, fat) = (descriptors(&watcher), watcher.resident_kb());
    assert!(many <= few + 130, "{many} descriptors after {few}");
    assert!(fat < lean + (4 << 10), "{fat} kB after {lean}");
    // Each is closed in the end, without an answer.
    for mut stream in open {
        let mut answer = String::new();
        // A reset is an end as well.
        let read = stream.read_to_string(&mut answer);
        let failure = read.map_err(|error| error.kind()).err();
        assert_ne!(failure, Some(ErrorKind::WouldBlock), "{answer}");
        assert_eq!(answer, "");
    }
}

#[test]
fn heads_without_end_are_cut_short() {
    let target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, ANY_PORT);
    let address = address(&watcher);
    let lean = {
        metrics(address);
        watcher.resident_kb()
    };
    for field in ["x".repeat(16 << 20), "x: y\r\n".repeat(2 << 20)] {
        let mut stream = connect(address);
        let head = format!("GET /metrics HTTP/1.1\r\n{field}\r\n\r\n");
        let sent = stream.write_all(head.as_bytes());
        assert!(sent.is_err(), "all of it was read");
    }
    for (path, status) in [("/", " 404 "), ("/metrics HTTP/1.1\r\nHost", " 400 ")] {
        let answer = get(address, path).expect_err("no metrics");
        assert!(answer.contains(status), "{answer}");
    }
    assert!(value(&metrics(address), WATCHED) >= 0.0);
    assert!(watcher.resident_kb() < lean + (8 << 10));
}

#[test]
fn a_port_in_use_is_told_before_anything_begins() {
    require_root();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("mark");
    let mut touch = std::process::Command::new("touch");
    touch.arg(&mark);
    let output = Program::run(pipewatch_running(&["--metrics", &address], &touch));
    output.assert_complaint(125, &address);
    assert!(!mark.exists(), "the command was started");
}
