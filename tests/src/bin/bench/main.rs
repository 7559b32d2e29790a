//! Measurements of pipewatch, each as a table for docs/performance.md: `cargo xtask
//! bench` runs them and writes them there. What is measured together is measured
//! in interleaved rounds; ratios and medians count, since times differ from machine to
//! machine.

mod crowd;
mod forked;
mod host;
mod instructions;
mod latency;
mod operations;
mod probes;
mod resources;
mod storm;
mod table;
mod worker;

use std::{env, io, process::ExitCode};

use pipewatch_tests::require_root;

/// A measurement: its name, and what prints its table.
type Measurement = (&'static str, fn() -> io::Result<()>);

const MEASUREMENTS: [Measurement; 7] = [
    ("operations", operations::measure),
    ("probes", probes::measure),
    ("host", host::measure),
    ("latency", latency::measure),
    ("resources", resources::measure),
    ("storm", storm::measure),
    ("instructions", instructions::measure),
];

fn main() -> ExitCode {
    require_root();
    let wanted: Vec<String> = env::args().skip(1).collect();
    let known = |name: &String| MEASUREMENTS.iter().any(|(known, _)| known == name);
    if wanted.is_empty() || !wanted.iter().all(known) {
        let names = MEASUREMENTS.map(|(name, _)| name).join(", ");
        let wanted = wanted.join(" ");
        eprintln!("error: not all of these are measurements: {wanted}\nhint: name some of {names}");
        return ExitCode::from(2);
    }
    for (name, measure) in MEASUREMENTS {
        if !wanted.iter().any(|it| it == name) {
            continue;
        }
        eprintln!("bench: {name}");
        println!("<!-- bench {name}: begin -->");
        if let Err(error) = measure() {
            eprintln!("error: {name}: {error}");
            return ExitCode::FAILURE;
        }
        println!("<!-- bench {name}: end -->");
    }
    ExitCode::SUCCESS
}
