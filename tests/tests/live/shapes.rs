//! Every shape at once, each with the right answer. Prints the table of what
//! was expected and what came (`--nocapture`).

use std::{os::unix::process::CommandExt as _, time::Duration};

use pipewatch_tests::{Program, SHAPES, Shape, Watcher};
use serde_json::Value;

use crate::expect::{PATIENCE, is_alarm};

/// Until the last shape is over.
const LASTING: Duration = Duration::from_secs(10);

/// What was said of a shape, and how late after the threshold.
struct Got {
    words: Vec<(String, String)>,
    late_ms: Option<u64>,
}

fn got(shape: &Shape, records: &[Value]) -> Got {
    let own: Vec<&Value> = records
        .iter()
        .filter(|record| shape.is_in(record))
        .collect();
    let word = |record: &Value, key: &str| record[key].as_str().unwrap_or("?").to_owned();
    let mut words: Vec<_> = own
        .iter()
        .map(|r| (word(r, "verdict"), word(r, "cause")))
        .collect();
    words.dedup();
    let blocked = own
        .first()
        .and_then(|record| record["reader"]["blocked_ms"].as_u64());
    Got {
        words,
        late_ms: blocked.map(|blocked| blocked.saturating_sub(1000)),
    }
}

#[test]
fn every_shape_is_told_right() {
    let watcher = Watcher::start(&["--all"]);
    let programs: Vec<Program> = SHAPES
        .iter()
        .map(|shape| {
            let mut command = shape.command();
            // Jobs of a shape must not wait for this terminal.
            command.stdin(std::process::Stdio::null()).process_group(0);
            Program::start(command)
        })
        .collect();
    for program in programs {
        program.finish(LASTING);
    }
    watcher.signal(nix::sys::signal::Signal::SIGTERM);
    watcher.wait_for("the end", PATIENCE, |record| record["type"] == "stopped");
    let mut records = watcher.records("hang");
    records.retain(is_alarm);

    println!("| shape | expected | got | after the threshold |\n|---|---|---|---|");
    let mut wrong = Vec::new();
    for shape in SHAPES {
        let Got { words, late_ms } = got(shape, &records);
        let expected: Vec<(String, String)> = shape
            .expected
            .iter()
            .map(|(verdict, cause)| (verdict.to_string(), cause.to_string()))
            .collect();
        let say = |words: &[(String, String)]| match words {
            [] => "silence".to_owned(),
            words => words
                .iter()
                .map(|(v, c)| format!("{v} ({c})"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let late = late_ms.map_or(String::new(), |late| format!("{late} ms"));
        println!(
            "| {} | {} | {} | {late} |",
            shape.name,
            say(&expected),
            say(&words)
        );
        if words != expected {
            let own = records.iter().filter(|record| shape.is_in(record));
            wrong.extend(own.map(|record| format!("{}: {record:#}", shape.name)));
            wrong.push(shape.name.to_owned());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
