//! Programs to be watched. Each says `ready`, and starts its shape when told to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::built;
use crate::pace::paced;
use crate::program::Program;

/// A fact comes within this, and no situation is held longer.
const SOON: Duration = Duration::from_secs(10);

/// A situation of the scenario program: its name and options.
pub fn scenario(args: &[&str]) -> Command {
    let mut command = Command::new(built("scenario"));
    command.args(args);
    command
}

/// A program of `tests/py`: its file name and arguments.
pub fn python(args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command
        .arg("-B")
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("py"));
    command
}

/// A shell script that starts when told to.
pub fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!(r#"echo '{{"fact":"ready"}}'; read go; {script}"#),
    ]);
    command
}

impl Program {
    /// Starts a program of this module and waits until it is ready.
    pub fn ready(command: Command) -> Self {
        let program = Self::start(command);
        program.fact("ready");
        program
    }

    /// Starts the shape.
    pub fn go(&mut self) {
        self.send_line("go");
    }

    /// The named fact, which must come soon.
    pub fn fact(&self, name: &str) -> Value {
        self.wait_for(name, paced(SOON), |object| object["fact"] == name)
    }
}
