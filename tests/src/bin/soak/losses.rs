//! All shapes, while a storm of other processes fills a buffer that is far too small.

use std::time::Duration;

use nix::sys::signal::Signal;
use pipewatch_tests::{Shape, Watcher, shapes};

use super::{
    planted::{UNSETTLED, about, enact, storm, verdict},
    table::{head, row},
};

/// The smallest there is: 26 events.
const BUFFER: &str = "4KiB";
/// How many are enacted at once.
const AT_ONCE: usize = 10;
/// When to give up on a record.
const PATIENCE: Duration = Duration::from_secs(60);
const STORM_MS: u128 = 3_600_000;
/// How often a hang is enacted that was not told: what is lost of it differs.
const TRIES: usize = 3;

/// Prints the table; what must not be is returned.
pub fn run() -> Vec<String> {
    let watcher = Watcher::start(&["--all", "--buffer", BUFFER]);
    let storm = storm(STORM_MS);
    let all: Vec<&Shape> = shapes().collect();
    let mut at_first = 0;
    let mut rest = all.clone();
    for number in 0..TRIES {
        for batch in rest.chunks(AT_ONCE) {
            let names: Vec<&str> = batch.iter().map(|shape| shape.name).collect();
            eprintln!("soak: {}", names.join(" "));
            enact(batch);
        }
        let hangs = watcher.records("hang");
        rest.retain(|shape| verdict(shape).is_some() && about(shape, &hangs).is_empty());
        let names: Vec<&str> = rest.iter().map(|shape| shape.name).collect();
        eprintln!("soak: not told in try {}: {}", number + 1, names.join(" "));
        if number == 0 {
            let hangs = all.iter().filter(|shape| verdict(shape).is_some());
            at_first = hangs.count() - rest.len();
        }
    }
    drop(storm);
    watcher.signal(Signal::SIGTERM);
    let stopped = watcher.wait_for("the end", PATIENCE, |record| record["type"] == "stopped");
    let hangs = watcher.records("hang");

    let mut complaints = Vec::new();
    let (mut told, mut inferred, mut silent) = (0, 0, 0);
    let (mut untold, mut otherwise) = (Vec::new(), Vec::new());
    for shape in &all {
        let records = about(shape, &hangs);
        let expected = verdict(shape);
        let right = |verdict: &String| records.iter().any(|it| it["verdict"] == **verdict);
        match expected {
            None if records.is_empty() => silent += 1,
            None => complaints.push(format!("{} is healthy: {:#}", shape.name, records[0])),
            Some(_) if records.is_empty() => {
                untold.push(format!("`{}`", shape.name));
                if !UNSETTLED.contains(&shape.name) {
                    complaints.push(format!("{} was not told", shape.name));
                }
            }
            Some(verdict) if right(&verdict) => {
                told += 1;
                inferred += u32::from(records.iter().all(|it| it["certainty"] == "inferred"));
            }
            Some(verdict) => {
                let got = &records[0]["verdict"];
                otherwise.push(format!("`{}` ({got}, not {verdict})", shape.name));
            }
        }
    }
    let lost = stopped["lost_events"].as_u64().unwrap_or(0);
    if lost == 0 {
        complaints.push("nothing was lost".to_owned());
    }
    let or_none = |list: &[String]| match list {
        [] => "none".to_owned(),
        list => list.join(", "),
    };
    println!("<!-- losses: begin -->");
    head(&[
        "all shapes, a buffer of 4 KiB, a storm on all cores",
        "value",
    ]);
    for (name, value) in [
        ("events that came", stopped["events"].to_string()),
        ("events lost", lost.to_string()),
        ("hangs told at the first try, of 54", at_first.to_string()),
        (
            "hangs told in three tries, with the right verdict",
            told.to_string(),
        ),
        ("of these `inferred`", inferred.to_string()),
        ("hangs told, with another verdict", or_none(&otherwise)),
        ("hangs not told", or_none(&untold)),
        ("healthy waits, none of them told", silent.to_string()),
    ] {
        row(&[name, &value]);
    }
    println!("<!-- losses: end -->");
    complaints
}
