//! A pipewatch that watches.

use std::env;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::Value;

use crate::built;
use crate::program::Program;

/// How long pipewatch may take to attach: the kernel lets one after the other
/// when many come and go.
const ATTACH: Duration = Duration::from_secs(60);

const JSON: &[&str] = &["--format", "json"];

/// The pipewatch under test. Where PIPEWATCH_BACKEND names one, it is to use
/// that backend.
pub fn pipewatch(args: &[&str]) -> Command {
    let path = env::var_os("PIPEWATCH_BIN").map_or_else(|| built("pipewatch"), PathBuf::from);
    assert!(
        path.exists(),
        "{} does not exist: run the tests by `cargo xtask test`, or `cargo build -p pipewatch` first",
        path.display()
    );
    let mut command = Command::new(path);
    match env::var("PIPEWATCH_BACKEND") {
        Ok(backend) => command.args(with_backend(args, &backend)),
        Err(_) => command.args(args),
    };
    command
}

/// The arguments with a backend, unless they name one or take none.
fn with_backend<'a>(args: &[&'a str], backend: &'a str) -> Vec<&'a str> {
    let mut args = args.to_vec();
    let place = match args[..] {
        ["demo" | "doctor" | "replay", ..] => None,
        ["snapshot" | "top" | "release", ..] => Some(1),
        _ => Some(0),
    };
    if let Some(place) = place.filter(|_| !args.contains(&"--backend")) {
        args.splice(place..place, ["--backend", backend]);
    }
    args
}

/// `pipewatch ARGS -- COMMAND`.
pub fn pipewatch_running(args: &[&str], command: &Command) -> Command {
    let mut pipewatch = pipewatch(args);
    pipewatch
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    pipewatch
}

/// Fails the test that calls it unless it may load BPF programs.
pub fn require_root() {
    assert!(
        geteuid().is_root(),
        "this test loads BPF programs into the kernel and needs root: run `sudo cargo xtask test`"
    );
}

/// A pipewatch that has attached and prints records.
pub struct Watcher {
    program: Program,
    /// Its first record.
    pub started: Value,
}

impl Watcher {
    /// Starts pipewatch with these arguments and waits until it sees everything.
    pub fn start(args: &[&str]) -> Self {
        Self::attach(pipewatch(&[JSON, args].concat()))
    }

    /// Lets pipewatch start the command. What the command prints comes between
    /// the records.
    pub fn running(command: &Command) -> Self {
        Self::attach(pipewatch_running(JSON, command))
    }

    fn attach(pipewatch: Command) -> Self {
        require_root();
        let mut args = pipewatch.get_args();
        let backend = args
            .find(|arg| *arg == "--backend")
            .and_then(|_| args.next())
            .map(|backend| backend.to_string_lossy().into_owned());
        let program = Program::start(pipewatch);
        let started = program.wait_for("started", ATTACH, |record| record["type"] == "started");
        if let Some(backend) = backend {
            assert_eq!(started["backend"], backend, "of {started:#}");
        }
        Self { program, started }
    }

    /// Watches one program.
    pub fn of(target: &Program, args: &[&str]) -> Self {
        Self::start(&[&["-p", &target.pid().to_string()], args].concat())
    }

    /// All records so far of one type.
    pub fn records(&self, kind: &str) -> Vec<Value> {
        let mut records = self.objects();
        records.retain(|record| record["type"] == kind);
        records
    }

    /// The last of the records so far.
    pub fn last_record(&self) -> Value {
        let is_record = |object: &Value| object["type"].is_string();
        let last = self.objects().into_iter().rfind(is_record);
        last.expect("a record")
    }
}

impl Deref for Watcher {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_given_to_what_takes_one() {
        let expectations: &[(&[&str], &[&str])] = &[
            (&["-p", "1"], &["--backend", "kprobe", "-p", "1"]),
            (&["--", "true"], &["--backend", "kprobe", "--", "true"]),
            (
                &["snapshot", "--all"],
                &["snapshot", "--backend", "kprobe", "--all"],
            ),
            (&["--backend", "procfs"], &["--backend", "procfs"]),
            (&["doctor"], &["doctor"]),
            (&["replay", "trace"], &["replay", "trace"]),
        ];
        for (args, expected) in expectations {
            assert_eq!(with_backend(args, "kprobe"), *expected);
        }
    }
}
