//! As `live`, under conditions that are harder, or need other tools.

#[path = "../live/expect.rs"]
#[allow(dead_code, reason = "each target uses the part it needs")]
mod expect;

mod halted;
mod lagging;
mod losses;
mod make;
mod memory;
mod races;
mod released;
mod terminal;
mod top;
mod traced;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of what keeps all cores busy, one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command that gives way to whatever else there is to do.
fn nice(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(command.get_program());
    nice.args(command.get_args());
    nice
}
