//! What takes minutes: `cargo xtask soak` runs it, and writes its tables into
//! docs/reliability.md.
//!
//! `soak losses` enacts all shapes while events are lost, `soak load MINUTES` lets a
//! mixed load run, and shapes among it.

mod load;
mod losses;
mod planted;
#[path = "../bench/table.rs"]
#[allow(dead_code, reason = "each program uses the part it needs")]
mod table;

use std::{env, process::ExitCode, time::Duration};

use pipewatch_tests::require_root;

fn main() -> ExitCode {
    require_root();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let complaints = match words[..] {
        ["losses"] => losses::run(),
        ["load", minutes] => match minutes.parse::<u64>() {
            Ok(minutes) => load::run(Duration::from_secs(60 * minutes)),
            Err(error) => {
                eprintln!("error: {minutes} is no number of minutes: {error}");
                return ExitCode::from(2);
            }
        },
        _ => {
            eprintln!("error: what is to be done?\nhint: soak losses, or soak load MINUTES");
            return ExitCode::from(2);
        }
    };
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    ExitCode::from(u8::from(!complaints.is_empty()))
}
