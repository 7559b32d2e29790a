//! Every shape, each with the right answer; needs root and BPF. With
//! `--nocapture` it prints the text of docs/accuracy.md that comes from running
//! it.

use std::time::{Duration, SystemTime};

use pipewatch_tests::{Program, ROWS, Saying, Shape, Watcher, shapes};
use serde_json::Value;

/// How many are enacted at once, so that their interpreters start within a
/// fraction of the threshold on two cores.
const AT_ONCE: usize = 18;
/// Until the last shape of a batch is over.
const LASTING: Duration = Duration::from_secs(40);
/// When to give up on a record.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the shapes call, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("bash", "bash"),
    ("git", "git"),
    ("java", "default-jdk-headless"),
    ("make", "make"),
    ("node", "nodejs"),
    ("nsenter", "util-linux"),
    ("perl", "perl"),
    ("python3", "python3"),
    ("timeout", "coreutils"),
    ("tmux", "tmux"),
    ("unshare", "util-linux"),
];

#[test]
fn every_shape_is_told_right() {
    require_programs();
    let watcher = Watcher::start(&["--all"]);
    enact_all();
    let is_open =
        |hang: &Value, resolved: &[Value]| !resolved.iter().any(|end| end["id"] == hang["id"]);
    let mut hangs = watcher.records("hang");
    hangs.retain(|hang| shapes().any(|shape| shape.is_in(hang)));
    for hang in &hangs {
        if is_open(hang, &watcher.records("resolved")) {
            watcher.wait_for("the end of a hang", PATIENCE, |record| {
                record["type"] == "resolved" && record["id"] == hang["id"]
            });
        }
    }
    watcher.signal(nix::sys::signal::Signal::SIGTERM);
    watcher.wait_for("the end", PATIENCE, |record| record["type"] == "stopped");
    let judgements: Vec<Judgement> = shapes()
        .map(|shape| Judgement::of(shape, &hangs, &watcher.records("resolved")))
        .collect();

    print_accuracy(&watcher.started, &judgements);
    let wrong: Vec<String> = judgements.iter().filter_map(Judgement::complaint).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn require_programs() {
    let path = std::env::var_os("PATH").expect("a PATH");
    let is_installed =
        |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(program, package)| format!("{program} (package {package})"))
        .collect();
    assert!(
        missing.is_empty(),
        "this test enacts shapes with real programs, of which these are missing: {}",
        missing.join(", ")
    );
}

/// In batches, those that take long to start apart.
fn enact_all() {
    let (heavy, light): (Vec<&Shape>, Vec<&Shape>) =
        shapes().partition(|shape| shape.script.is_heavy());
    for batch in light.chunks(AT_ONCE).chain([heavy.as_slice()]) {
        let programs: Vec<Program> = batch
            .iter()
            .map(|shape| Program::start(shape.command()))
            .collect();
        for (shape, program) in batch.iter().zip(programs) {
            let output = program.finish(LASTING);
            if !output.stderr.is_empty() {
                eprintln!("{}: {}", shape.name, output.stderr);
            }
        }
    }
}

/// What was said of a shape.
struct Judgement<'a> {
    shape: &'a Shape,
    expected: Vec<Saying>,
    got: Vec<Saying>,
    records: Vec<&'a Value>,
}

impl<'a> Judgement<'a> {
    fn of(shape: &'a Shape, hangs: &'a [Value], resolved: &[Value]) -> Self {
        let records: Vec<&Value> = hangs.iter().filter(|hang| shape.is_in(hang)).collect();
        Self {
            shape,
            expected: shape
                .expected
                .map_or_else(Vec::new, |answer| answer.sayings()),
            got: Saying::of(&records, resolved),
            records,
        }
    }

    /// How late after the threshold it was said first.
    fn late_ms(&self) -> Option<u64> {
        let blocked = self.records.first()?["reader"]["blocked_ms"].as_u64()?;
        Some(blocked.saturating_sub(1000))
    }

    fn complaint(&self) -> Option<String> {
        let Self {
            shape,
            expected,
            got,
            records,
        } = self;
        (got != expected).then(|| {
            let records: Vec<String> = records.iter().map(|r| format!("\n{r:#}")).collect();
            format!(
                "{}: expected {}, got {}{}",
                shape.name,
                say(expected),
                say(got),
                records.concat()
            )
        })
    }
}

fn say(sayings: &[Saying]) -> String {
    match sayings {
        [] => "silence".to_owned(),
        sayings => sayings
            .iter()
            .map(Saying::to_string)
            .collect::<Vec<_>>()
            .join("; "),
    }
}

fn print_accuracy(started: &Value, judgements: &[Judgement]) {
    let word = |key: &str| started[key].as_str().unwrap_or("?").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let right = judgements
        .iter()
        .filter(|judgement| judgement.got == judgement.expected)
        .count();
    println!("<!-- accuracy: begin -->");
    println!(
        "Linux {}, {}, {cores} cores, backend `{}`, {}: {right} of {} shapes told right.",
        word("kernel"),
        word("arch"),
        word("backend"),
        now.split('T').next().unwrap_or(&now),
        judgements.len()
    );
    println!("\n| row | shape | program | expected | got | after the threshold |");
    println!("|---|---|---|---|---|---|");
    for (row, _) in ROWS {
        let of_row = |judgement: &&Judgement| judgement.shape.row == *row;
        for judgement in judgements.iter().filter(of_row) {
            let late = judgement
                .late_ms()
                .map_or_else(String::new, |late| format!("{late} ms"));
            let got = if judgement.got == judgement.expected {
                "the same".to_owned()
            } else {
                format!("**{}**", say(&judgement.got))
            };
            println!(
                "| {row} | {} | {} | {} | {got} | {late} |",
                judgement.shape.name,
                judgement.shape.script.interpreter(),
                say(&judgement.expected)
            );
        }
    }
    println!("\n| row | what happens |\n|---|---|");
    for (row, what) in ROWS {
        println!("| {row} | {what} |");
    }
    println!("<!-- accuracy: end -->");
}
