//! A pipewatch that watches.

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

/// The pipewatch under test.
pub fn pipewatch(args: &[&str]) -> Command {
    let path = std::env::var_os("PIPEWATCH_BIN").map_or_else(|| built("pipewatch"), PathBuf::from);
    assert!(
        path.exists(),
        "{} does not exist: run the tests by `cargo xtask test`, or `cargo build -p pipewatch` first",
        path.display()
    );
    let mut command = Command::new(path);
    command.args(args);
    command
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
        let program = Program::start(pipewatch);
        let started = program.wait_for("started", ATTACH, |record| record["type"] == "started");
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
