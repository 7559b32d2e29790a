//! As `live`, under conditions that are harder, or need other tools.

#[path = "../live/expect.rs"]
#[allow(dead_code, reason = "each target uses the part it needs")]
mod expect;

mod halted;
mod memory;
mod races;
mod terminal;
mod traced;
