//! A mixed load under `--all`, and shapes among it.

use std::{
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use nix::sys::signal::Signal;
use pipewatch_tests::{Program, Shape, Watcher, shapes};
use serde_json::Value;

use super::{
    planted::{UNSETTLED, about, enact, storm, verdict},
    table::{head, row},
};

/// How many shapes are enacted at once, now and then.
const AT_ONCE: usize = 7;
/// The load alone, between two such.
const PAUSE: Duration = Duration::from_secs(10);
/// When to give up on a record.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done over and over: builds, pipelines, pools of processes. None of it
/// waits for a second for what will not come.
const LOADS: [(&str, &str); 3] = [
    (
        "bash",
        r#"make=$(mktemp); trap 'rm -f "$make"' EXIT
        printf 'all: a b c d\n%%:\n\t@seq 500 | sort -r | md5sum | cat > /dev/null\n' > "$make"
        while :; do make -s -j4 -f "$make" > /dev/null; done"#,
    ),
    (
        "bash",
        r#"while :; do
            n=$(yes | head -n 200 | grep -c y); for i in 1 2 3; do echo "$n" >&2; done
            cat <(echo "$n") | while read -r line; do :; done
        done 2> /dev/null"#,
    ),
    (
        "python3",
        r"
import multiprocessing
if __name__ == '__main__':
    multiprocessing.set_start_method('fork')
    while True:
        with multiprocessing.Pool(4) as pool:
            pool.map(len, ['x'] * 50)
            pool.close()
            pool.join()",
    ),
];

/// Prints the table; what must not be is returned.
pub fn run(lasting: Duration) -> Vec<String> {
    let watcher = Watcher::start(&["--all"]);
    let begun = Instant::now();
    let storm = storm(lasting.as_millis());
    let loads = LOADS.map(|(program, script)| {
        let mut command = Command::new(program);
        command.args(["-c", script]);
        Program::start(command)
    });
    let all: Vec<&Shape> = shapes().collect();
    let mut planted = Vec::new();
    let mut resident = Vec::new();
    for batch in all.chunks(AT_ONCE).cycle() {
        std::thread::sleep(PAUSE.min(lasting.saturating_sub(begun.elapsed())));
        resident.push(watcher.resident_kb());
        if lasting <= begun.elapsed() {
            break;
        }
        let from = watcher.records("hang").len();
        enact(batch);
        planted.push((batch, from, watcher.records("hang").len()));
    }
    drop((storm, loads));
    watcher.signal(Signal::SIGTERM);
    let stopped = watcher.wait_for("the end", PATIENCE, |record| record["type"] == "stopped");
    let hangs = watcher.records("hang");

    let mut complaints = Vec::new();
    let lost = stopped["lost_events"].as_u64() > Some(0);
    let (mut meant, mut told, mut healthy) = (0, 0, 0);
    for (batch, from, to) in planted {
        for shape in batch {
            let records = about(shape, &hangs[from..to]);
            match verdict(shape) {
                Some(verdict) => {
                    meant += 1;
                    let right = records.iter().any(|it| it["verdict"] == *verdict);
                    told += u32::from(right);
                    let excused = lost && UNSETTLED.contains(&shape.name);
                    if !right && !excused {
                        complaints.push(format!("{} was not told: {records:#?}", shape.name));
                    }
                }
                None => healthy += 1,
            }
        }
    }
    let is_meant = |hang: &&Value| {
        let mut meant = all.iter().filter(|shape| verdict(shape).is_some());
        meant.any(|shape| shape.is_in(hang))
    };
    let unmeant: Vec<&Value> = hangs.iter().filter(|hang| !is_meant(hang)).collect();
    complaints.extend(unmeant.iter().map(|hang| format!("not meant: {hang:#}")));
    let (first, last) = (resident.first(), resident.last());
    let megabytes = |kb: Option<&u64>| format!("{:.1} MB", kb.copied().unwrap_or(0) as f64 / 1e3);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    println!("<!-- load: begin -->");
    head(&[
        &format!("{} minutes, {}", lasting.as_secs() / 60, &now[..10]),
        "value",
    ]);
    for (name, value) in [
        ("events", stopped["events"].to_string()),
        ("events lost", stopped["lost_events"].to_string()),
        ("resident after 10 s", megabytes(first)),
        ("resident at the end", megabytes(last)),
        ("resident at most", megabytes(resident.iter().max())),
        ("hangs planted", meant.to_string()),
        ("of these told, with the right verdict", told.to_string()),
        ("healthy waits planted", healthy.to_string()),
        (
            "hangs told that were not planted",
            unmeant.len().to_string(),
        ),
    ] {
        row(&[name, &value]);
    }
    println!("<!-- load: end -->");
    complaints
}
