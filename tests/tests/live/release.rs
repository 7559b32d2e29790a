//! A holder is made to close its leaked write end, and goes on as if nothing had been.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipewatch_tests::{Output, Program, assert_contains, paced, pipewatch, require_root, scenario};
use serde_json::{Value, json};

use crate::expect::{RUN, list};

/// A scenario whose reader waits, and who keeps it waiting.
struct Held {
    target: Program,
    holders: Vec<u32>,
    /// The write end, and the read end.
    fds: [String; 2],
}

fn hold(how: &str) -> Held {
    require_root();
    let hold_ms = paced(Duration::from_secs(5)).as_millis().to_string();
    let mut target = Program::ready(scenario(&["hold", how, "--hold-ms", &hold_ms]));
    target.go();
    let fact = target.fact("holding");
    target.fact("reading");
    let pids = list(&fact["pids"]).iter();
    Held {
        holders: pids
            .map(|pid| pid.as_u64().expect("a pid") as u32)
            .collect(),
        fds: ["fd", "read"].map(|end| fact[end].to_string()),
        target,
    }
}

impl Held {
    fn holder(&self) -> u32 {
        self.holders[0]
    }

    fn release(&self, args: &[&str]) -> Output {
        release(self.holder(), &self.fds[0], args)
    }

    /// Until the holder sleeps in its read.
    fn wait_until_it_reads(&self) {
        let path = format!("/proc/{}/syscall", self.holder());
        let read = format!("{} ", libc::SYS_read);
        while !fs::read_to_string(&path)
            .expect("a holder")
            .starts_with(&read)
        {
            thread::yield_now();
        }
    }

    /// The kernel stops it again right after it was let go.
    fn assert_stopped(&self) {
        let end = Instant::now() + paced(Duration::from_secs(5));
        while self.status("State:") != "T (stopped)" {
            assert!(Instant::now() < end, "{}", self.status("State:"));
            thread::yield_now();
        }
    }

    /// What one line of the holder's status says.
    fn status(&self, field: &str) -> String {
        let path = format!("/proc/{}/status", self.holder());
        let status = fs::read_to_string(path).expect("a holder");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.expect("the field").trim().to_owned()
    }

    /// The reader has got its end of file, and the holder what it waited for.
    fn assert_lived(&self, result: i64) {
        assert_eq!(self.target.fact("returned")["bytes"], 0);
        let lived = self.target.fact("lived");
        assert_eq!(lived["result"], result, "{lived}");
    }

    fn link(&self, fd: &str) -> PathBuf {
        fs::read_link(format!("/proc/{}/fd/{fd}", self.holder())).expect("a descriptor")
    }

    /// How a descriptor of it is open, as fdinfo tells.
    fn flags(&self, fd: &str) -> String {
        let path = format!("/proc/{}/fdinfo/{fd}", self.holder());
        let info = fs::read_to_string(path).expect("a descriptor");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.expect("flags").trim().to_owned()
    }

    /// Nothing has been closed, and nobody traces the holder.
    fn assert_untouched(&self) {
        assert_eq!(self.flags(&self.fds[0]), "02000001");
        assert_eq!(self.status("TracerPid:"), "0");
        let facts = self.target.objects();
        assert!(facts.iter().all(|it| it["fact"] != "returned"), "{facts:?}");
    }
}

fn release(pid: u32, fd: &str, args: &[&str]) -> Output {
    let pid = pid.to_string();
    let args = [&["release", &pid, fd], args].concat();
    Program::run(pipewatch(&args))
}

/// The holder is in a system call, which goes on.
fn goes_on(how: &str, result: i64) {
    let held = hold(how);
    let output = held.release(&["--yes"]);
    assert_eq!(output.code, 0, "{output:?}");
    held.assert_lived(result);
    assert_eq!(held.target.finish(paced(Duration::from_secs(20))).code, 0);
}

/// The same, of a call that ends at a time: when it would have without.
fn ends_in_time(how: &str, result: i64) {
    let held = hold(how);
    let output = held.release(&["--yes"]);
    assert_eq!(output.code, 0, "{output:?}");
    held.assert_lived(result);
    held.target.fact("too-late");
    let facts = held.target.objects();
    let facts = facts.iter().filter_map(|object| object["fact"].as_str());
    let order: Vec<&str> = facts
        .filter(|fact| ["returned", "lived", "too-late"].contains(fact))
        .collect();
    assert_eq!(order, ["returned", "lived", "too-late"]);
}

#[test]
fn amid_a_read() {
    goes_on("read", 1);
}

#[test]
fn amid_a_read_and_signals() {
    goes_on("read-amid-signals", 1);
}

#[test]
fn amid_a_poll() {
    goes_on("poll", 1);
}

#[test]
fn amid_a_select() {
    goes_on("select", 1);
}

#[test]
fn amid_an_epoll() {
    goes_on("epoll", 1);
}

#[test]
fn amid_a_futex() {
    goes_on("futex", 0);
}

#[test]
fn amid_a_wait_for_a_signal() {
    goes_on("sigwait", Signal::SIGUSR1 as i64);
}

#[test]
fn amid_a_sleep() {
    ends_in_time("nanosleep", 0);
}

#[test]
fn amid_a_poll_with_a_limit() {
    ends_in_time("poll-timeout", 0);
}

#[test]
fn amid_a_futex_with_a_limit() {
    ends_in_time("futex-timeout", -i64::from(libc::ETIMEDOUT));
}

#[test]
fn amid_threads_that_run() {
    goes_on("threads", 1);
}

#[test]
fn amid_calls_that_never_sleep() {
    goes_on("calls", 0);
}

#[test]
fn whoever_is_stopped_stays_so() {
    let held = hold("read");
    held.wait_until_it_reads();
    let holder = Pid::from_raw(held.holder() as i32);
    kill(holder, Signal::SIGSTOP).expect("a holder");
    let output = held.release(&["--yes"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(held.target.fact("returned")["bytes"], 0);
    held.assert_stopped();
    // The number stays taken, by a copy of the read end.
    let [write, read] = &held.fds;
    assert_eq!(held.flags(write), "02000000");
    assert_eq!(held.link(write), held.link(read));
    kill(holder, Signal::SIGCONT).expect("a holder");
    held.assert_lived(1);
}

#[test]
fn whoever_is_stopped_amid_computing_is_not_made_to_run() {
    let held = hold("computes");
    let holder = Pid::from_raw(held.holder() as i32);
    kill(holder, Signal::SIGSTOP).expect("a holder");
    held.release(&["--yes"])
        .assert_refusal("stopped outside of");
    held.assert_untouched();
    held.assert_stopped();
}

#[test]
fn a_signal_waits_until_whoever_is_stopped_goes_on() {
    let held = hold("read");
    held.wait_until_it_reads();
    let holder = Pid::from_raw(held.holder() as i32);
    kill(holder, Signal::SIGSTOP).expect("a holder");
    held.assert_stopped();
    kill(holder, Signal::SIGTERM).expect("a holder");
    held.release(&["--yes"]).assert_complaint(2, "a signal");
    held.assert_untouched();
    held.assert_stopped();
}

#[test]
fn whoever_makes_no_call_is_let_go() {
    let held = hold("computes");
    held.release(&["--yes"]).assert_refusal("no thread of");
    held.assert_untouched();
    assert_eq!(held.status("State:"), "R (running)");
}

#[test]
fn whoever_has_written_may_do_so_again() {
    let held = hold("writes");
    held.release(&["--yes"])
        .assert_refusal("may be meant to write");
    held.assert_untouched();
    let output = held.release(&["--yes", "--force"]);
    assert_eq!(output.code, 0, "{output:?}");
    held.assert_lived(1);
}

/// It has let go of the read end by a call of its own, so it knows the pipe, and waits
/// for its reader, so that neither can go on. Nothing is there that could take the number.
#[test]
fn whoever_is_stuck_is_no_heir() {
    let held = hold("bare");
    held.wait_until_it_reads();
    held.release(&["--yes"]).assert_complaint(2, "by mistake");
    held.assert_untouched();
    let output = held.release(&["--yes", "--force", "--format", "json"]);
    assert_eq!(output.code, 0, "{output:?}");
    let record = serde_json::from_str(&output.stdout).expect("a record");
    assert_contains(&record, &json!({"went_on": true, "stand_in": null}));
    held.assert_lived(1);
}

#[test]
fn a_filter_of_system_calls_may_kill() {
    let held = hold("filter");
    held.wait_until_it_reads();
    held.release(&["--yes"]).assert_complaint(2, "seccomp");
    held.assert_untouched();
    let output = held.release(&["--yes", "--force"]);
    assert_eq!(output.code, 0, "{output:?}");
    held.assert_lived(1);
}

#[test]
fn a_filter_that_does_kill() {
    let held = hold("kill-filter");
    held.wait_until_it_reads();
    held.release(&["--yes", "--force"]).assert_refusal("SIGSYS");
    assert_eq!(held.target.fact("returned")["bytes"], 0);
}

#[test]
fn strict_seccomp_would_kill() {
    let held = hold("strict");
    held.wait_until_it_reads();
    for args in [["--yes"].as_slice(), &["--yes", "--force"]] {
        held.release(args).assert_complaint(2, "strict");
        held.assert_untouched();
    }
}

#[test]
fn the_reader_waits_as_long_as_anybody_holds_it() {
    let held = hold("two");
    let fd = &held.fds[0];
    let args = ["--yes", "--format", "json"];
    let [first, second] = held.holders[..] else {
        panic!("two holders")
    };
    let told = |output: &Output| -> Value {
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let output = release(first, fd, &args);
    assert_eq!(output.code, 1, "{output:?}");
    let expected = json!({
        "type": "released", "pid": first, "went_on": false, "stand_in": held.fds[1].parse::<u32>().expect("a number"),
        "readers": [{"pid": held.target.pid(), "call": "read", "went_on": false}],
        "holders": [{"pid": second, "fd": fd.parse::<u32>().expect("a number")}],
    });
    assert_contains(&told(&output), &expected);
    let output = release(second, fd, &args);
    assert_eq!(output.code, 0, "{output:?}");
    let expected = json!({
        "type": "released", "pid": second, "went_on": true,
        "readers": [{"went_on": true}], "holders": [],
    });
    assert_contains(&told(&output), &expected);
}

/// What a report advises to run at once.
fn advised(held: &Held) -> Option<String> {
    let pid = held.target.pid().to_string();
    let args = ["--pid", &pid, "--exit-on-hang", "--format", "json"];
    let watching = Program::start(pipewatch(&args));
    let hang = watching.wait_for("hang", RUN, |it| it["type"] == "hang");
    let hint = hang["hint"].as_str().expect("a hint");
    let (_, command) = hint.split_once(" now: pipewatch ")?;
    Some(command.to_owned())
}

#[test]
fn what_is_advised_is_accepted() {
    let held = hold("read");
    let command = advised(&held).expect("a command");
    assert_eq!(
        command,
        format!("release {} {}", held.holder(), held.fds[0])
    );
    let output = held.release(&["--yes"]);
    assert_eq!(output.code, 0, "{output:?}");
    held.assert_lived(1);
}

#[test]
fn what_would_be_refused_is_not_advised() {
    let held = hold("bare");
    held.wait_until_it_reads();
    assert_eq!(advised(&held), None);
    held.release(&["--yes"]).assert_complaint(2, "by mistake");
}

#[test]
fn what_is_no_write_end_is_refused() {
    let held = hold("read");
    let [write, read] = &held.fds;
    let of = |pid, fd: &str| release(pid, fd, &["--yes", "--force"]);
    of(held.holder(), read).assert_complaint(2, "read end");
    of(held.holder(), "1000").assert_complaint(2, "no descriptor 1000");
    of(std::process::id(), "1000").assert_complaint(2, "no descriptor 1000");
    // The kernel's limit, which no process id reaches.
    of(4_194_304, write).assert_complaint(2, "4194304");
    let null = fs::File::open("/dev/null").expect("a file");
    let null = std::os::fd::AsRawFd::as_raw_fd(&null).to_string();
    of(std::process::id(), &null).assert_complaint(2, "no end of a pipe");
    held.assert_untouched();
}

#[test]
fn nobody_there_to_be_asked() {
    let held = hold("read");
    let output = held.release(&[]);
    output.assert_refusal("no terminal");
    assert!(output.stderr.contains("--yes"), "{output:?}");
    held.assert_untouched();
    // What would be refused is, before anybody is asked.
    release(held.holder(), &held.fds[1], &[]).assert_complaint(2, "read end");
}

#[test]
fn what_was_released_is_told_to_be_no_write_end_any_more() {
    let held = hold("two");
    // The other one keeps the reader waiting, and so both alive.
    assert_eq!(held.release(&["--yes"]).code, 1);
    let again = held.release(&["--yes"]);
    again.assert_complaint(2, "is a read end");
    assert!(again.stderr.contains("released before"), "{again:?}");
}

trait Refused {
    fn assert_refusal(&self, about: &str);
}

impl Refused for Output {
    /// It is told what would be done, perhaps, and then why it is not.
    fn assert_refusal(&self, about: &str) {
        let error = self.stderr.lines().rev().nth(1);
        let told = error.is_some_and(|line| line.starts_with("error: ") && line.contains(about));
        assert!(
            told && self.code == 2 && self.stdout.is_empty(),
            "no refusal about {about}: {self:#?}"
        );
    }
}
