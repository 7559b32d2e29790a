//! What enacts a shape.

use std::path::Path;
use std::process::Command;

use super::{Shape, shapes};
use crate::built;

/// Source text, and in which language. All find in `$S` how many seconds to
/// hold the pipe: about four, and no other shape has the same number.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// For bash; `$0` is the name of the shape.
    Bash(&'static str),
    /// For Python 3, after [`PYTHON`].
    Python(&'static str),
    /// For Node.
    Node(&'static str),
    /// For Perl.
    Perl(&'static str),
    /// A shell command that `tests/java/Spawn.java` starts and reads from.
    Java(&'static str),
    /// The command of the scenario program that has the name of the shape.
    Scenario,
}

/// What all shapes in Python need.
const PYTHON: &str = r"
import ctypes, os, select, signal, socket, subprocess, sys, threading, time
S = float(os.environ['S'])
libc = ctypes.CDLL(None)

def doze():
    time.sleep(S)

def child(life):
    pid = os.fork()
    if pid == 0:
        life()
        os._exit(0)
    return pid

def leak():
    r, w = os.pipe()
    child(doze)
    os.close(w)
    return r
";

/// How long the scenario program holds a pipe.
const HOLD_MS: &str = "4000";

impl Script {
    /// The program that reads it.
    pub fn interpreter(&self) -> &'static str {
        match self {
            Self::Bash(_) => "bash",
            Self::Python(_) => "python3",
            Self::Node(_) => "node",
            Self::Perl(_) => "perl",
            Self::Java(_) => "java",
            Self::Scenario => "scenario",
        }
    }

    /// Whether it takes as long as several others to start.
    pub fn is_heavy(&self) -> bool {
        matches!(self, Self::Node(_) | Self::Java(_))
    }
}

impl Shape {
    /// Its number, from 1.
    fn number(&self) -> usize {
        let place = shapes().position(|shape| shape.name == self.name);
        place.map_or(0, |place| place + 1)
    }

    /// The value of `$S`.
    pub(super) fn seconds(&self) -> String {
        format!("4.{:03}", self.number())
    }

    /// What enacts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.script.interpreter());
        match self.script {
            Script::Bash(script) => command.args(["-c", script, self.name]),
            Script::Python(script) => {
                command.args(["-c", &format!("{PYTHON}\n{script}"), self.name])
            }
            Script::Node(script) | Script::Perl(script) => command.args(["-e", script, self.name]),
            Script::Java(script) => command
                .args(["-XX:TieredStopAtLevel=1", "-Xshare:auto"])
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("java/Spawn.java"))
                .args([self.name, script]),
            Script::Scenario => {
                command = Command::new(built("scenario"));
                command.args([self.name, "--now", "--hold-ms", HOLD_MS])
            }
        };
        command
            .env("S", self.seconds())
            // They would make a make of ours a part of the make that runs the
            // tests, and a git of ours look at the hooks of its user.
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("TMUX");
        command
    }
}
