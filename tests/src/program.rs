//! A running program and everything it has printed so far.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::schema::faults;

/// A program in a process group of its own, which is killed when this is
/// dropped. It stays a zombie until then, so that neither its pid nor its group
/// can come to mean another process.
pub struct Program {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    seen: Arc<Seen>,
    /// Ends with the program.
    end: Option<JoinHandle<()>>,
}

/// What the threads that read from the program have seen.
#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stdout: String,
    objects: Vec<Value>,
    /// The first record that is not as docs/output.schema.json has it.
    wrong: Option<String>,
    stdout_ended: bool,
    stderr: String,
    stderr_ended: bool,
    code: Option<i32>,
}

/// How a program ended, and all it printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit status as a shell gives it: 128 + N for signal N.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Panics unless the program ended with this code, one line that says what
    /// is wrong, about this, and one line that says what to do, and nothing
    /// else.
    pub fn assert_complaint(&self, code: i32, about: &str) {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let complains = matches!(lines[..], [error, hint]
            if error.starts_with("error: ") && error.contains(about) && hint.starts_with("hint: "));
        assert!(
            complains && self.code == code && self.stdout.is_empty(),
            "no complaint about {about} with exit status {code}: {self:#?}"
        );
    }
}

impl Program {
    /// Starts `command` with all three standard streams connected to the test.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts `command` without reading what it prints: it may leave processes behind that
    /// would keep whoever does from the end of it.
    pub fn unread(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let seen = Arc::new(Seen::default());
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pid = Pid::from_raw(child.id() as i32);
        spawn(&seen, move |seen| read_stdout(seen, stdout));
        spawn(&seen, move |seen| read_stderr(seen, stderr));
        let end = spawn(&seen, move |seen| await_end(seen, pid));
        Self {
            command: format!("{command:?}"),
            child,
            stdin,
            seen,
            end: Some(end),
        }
    }

    /// Runs `command` to its end, which must come before any person would lose
    /// patience.
    pub fn run(command: Command) -> Output {
        Self::start(command).finish(Duration::from_secs(60))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to its standard input.
    pub fn send_line(&mut self, line: &str) {
        self.send(&format!("{line}\n"));
    }

    /// Writes to its standard input.
    pub fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("a piped stdin");
        write!(stdin, "{text}")
            .unwrap_or_else(|error| panic!("cannot tell {}: {error}", self.command));
    }

    /// How much of its memory is resident, in kilobytes.
    pub fn resident_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).expect("a process that has not been reaped");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{} has ended", self.command))
    }

    /// What `/proc/PID/stat` says of the processes of its group that have not ended.
    pub fn group(&self) -> Vec<String> {
        let leader = self.pid().to_string();
        let processes = fs::read_dir("/proc").expect("the processes").flatten();
        let stats = processes.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
        let of_group = stats.filter(|stat| {
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            let mut fields = fields.split(' ');
            fields.next() != Some("Z") && fields.nth(1) == Some(&leader)
        });
        of_group.collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("a process that has not been reaped");
    }

    /// The JSON objects it has printed so far, one per line, in order.
    pub fn objects(&self) -> Vec<Value> {
        self.state().objects.clone()
    }

    /// The first object it prints, or has printed, that `is_it` accepts.
    pub fn wait_for(&self, what: &str, within: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        let find = |state: &State| state.objects.iter().find(|object| is_it(object)).cloned();
        let state = self.wait(within, |state| find(state).is_some() || state.stdout_ended);
        find(&state).unwrap_or_else(|| self.fail(state, &format!("no {what} within {within:?}")))
    }

    /// Waits until it has printed a line with this in it.
    pub fn wait_for_text(&self, text: &str, within: Duration) {
        let state = self.wait(within, |state| {
            state.stdout.contains(text) || state.stdout_ended
        });
        if !state.stdout.contains(text) {
            self.fail(state, &format!("no {text:?} within {within:?}"));
        }
    }

    /// Waits until it has written a line with this in it to standard error, and gives it.
    pub fn wait_for_complaint(&self, text: &str, within: Duration) -> String {
        let find = |state: &State| {
            let mut lines = state.stderr.lines();
            lines.find(|line| line.contains(text)).map(str::to_owned)
        };
        let state = self.wait(within, |state| find(state).is_some() || state.stderr_ended);
        find(&state).unwrap_or_else(|| self.fail(state, &format!("no {text:?} within {within:?}")))
    }

    /// Panics if it prints, or has printed, an object that `is_bad` accepts, or
    /// if it ends before `lasting` is over.
    pub fn expect_silence(&self, what: &str, lasting: Duration, is_bad: impl Fn(&Value) -> bool) {
        let find = |state: &State| state.objects.iter().find(|object| is_bad(object)).cloned();
        let state = self.wait(lasting, |state| find(state).is_some() || state.stdout_ended);
        if let Some(bad) = find(&state) {
            self.fail(state, &format!("{what}, which should not be: {bad:#}"));
        }
        if state.stdout_ended {
            self.fail(
                state,
                &format!("an end before {lasting:?} of silence were over"),
            );
        }
    }

    /// Waits for its end and for the end of its output.
    pub fn finish(&self, within: Duration) -> Output {
        let ended =
            |state: &State| state.code.is_some() && state.stdout_ended && state.stderr_ended;
        let state = self.wait(within, ended);
        if !ended(&state) {
            self.fail(state, &format!("no end within {within:?}"));
        }
        Output {
            code: state.code.expect("a status"),
            stdout: state.stdout.clone(),
            stderr: state.stderr.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.seen.state.lock().expect("a reader that did not panic");
        self.checked(state)
    }

    fn wait(&self, within: Duration, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let (state, _) = self
            .seen
            .changed
            .wait_timeout_while(self.state(), within, |state| {
                state.wrong.is_none() && !until(state)
            })
            .expect("a reader that did not panic");
        self.checked(state)
    }

    /// What was seen, unless a record is wrong, whatever the test looks for.
    fn checked<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match state.wrong.clone() {
            None => state,
            Some(complaint) => self.fail(state, &complaint),
        }
    }

    fn fail(&self, state: MutexGuard<State>, complaint: &str) -> ! {
        let report = format!(
            "{complaint}\nof {}\nexit status: {:?}\n--- stdout\n{}--- stderr\n{}---",
            self.command, state.code, state.stdout, state.stderr
        );
        drop(state);
        panic!("{report}")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The group still exists: its leader has not been reaped.
        killpg(Pid::from_raw(self.pid() as i32), Signal::SIGKILL).expect("a group of our own");
        self.end.take().map(JoinHandle::join);
        self.child.wait().expect("a child of our own");
    }
}

impl Seen {
    fn note(&self, change: impl FnOnce(&mut State)) {
        change(
            &mut self
                .state
                .lock()
                .expect("a test that did not panic while it looked"),
        );
        self.changed.notify_all();
    }
}

fn spawn(seen: &Arc<Seen>, work: impl FnOnce(&Seen) + Send + 'static) -> JoinHandle<()> {
    let seen = Arc::clone(seen);
    thread::spawn(move || work(&seen))
}

/// The lines of a stream, if it is read.
fn lines(stream: Option<impl Read>) -> impl Iterator<Item = String> {
    let lines = stream.map(|stream| BufReader::new(stream).split(b'\n'));
    let lines = lines.into_iter().flatten().map_while(Result::ok);
    lines.map(|line| String::from_utf8_lossy(&line).into_owned())
}

fn read_stdout(seen: &Seen, stdout: Option<impl Read>) {
    for line in lines(stdout) {
        seen.note(|state| {
            if let Ok(object) = serde_json::from_str(&line) {
                state.wrong = state.wrong.take().or_else(|| complaint(&object));
                state.objects.push(object);
            }
            state.stdout += &line;
            state.stdout.push('\n');
        });
    }
    seen.note(|state| state.stdout_ended = true);
}

/// What is wrong with an object, if it is a record.
fn complaint(object: &Value) -> Option<String> {
    let faults = object["type"].as_str().map(|_| faults(object))?;
    (!faults.is_empty()).then(|| {
        format!(
            "not as docs/output.schema.json has it:\n{}\nin {object:#}",
            faults.join("\n")
        )
    })
}

fn read_stderr(seen: &Seen, stderr: Option<impl Read>) {
    for line in lines(stderr) {
        seen.note(|state| {
            state.stderr += &line;
            state.stderr.push('\n');
        });
    }
    seen.note(|state| state.stderr_ended = true);
}

fn await_end(seen: &Seen, pid: Pid) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    let code = match waitid(Id::Pid(pid), look) {
        Ok(WaitStatus::Exited(_, code)) => code,
        Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
        other => panic!("waiting for {pid}: {other:?}"),
    };
    seen.note(|state| state.code = Some(code));
}
