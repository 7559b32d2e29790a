//! A storm of forks, pipes, duplicates and closes on all cores.

use std::{io, time::Duration};

use pipewatch_tests::{Program, Watcher, scenario};

use super::table::{head, row};

const SECONDS: u64 = 60;
/// When to stop waiting for the end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets it storm, watched by pipewatch with all its defaults.
pub fn measure() -> io::Result<()> {
    let mut storm = Program::ready(scenario(&[
        "churn",
        "--hold-ms",
        &(1000 * SECONDS).to_string(),
    ]));
    let watcher = Watcher::of(&storm, &[]);
    storm.go();
    storm.finish(PATIENCE);
    drop(storm);
    let cpu = |who| {
        // SAFETY: plain numbers, for which zero is a value, filled in by the call.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut usage);
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    let before = cpu(libc::RUSAGE_CHILDREN);
    watcher.finish(PATIENCE);
    let stopped = watcher.last_record();
    drop(watcher);
    let used = cpu(libc::RUSAGE_CHILDREN) - before;
    let count = |name: &str| stopped[name].as_u64().unwrap_or_default();
    let (events, lost) = (count("events"), count("lost_events"));
    head(&["storm of 60 s", "value"]);
    row(&["events".to_owned(), events.to_string()]);
    let rate = events / SECONDS;
    row(&["events per second".to_owned(), rate.to_string()]);
    row(&["lost".to_owned(), lost.to_string()]);
    let each = used * 1e6 / events as f64;
    row(&[
        "CPU of pipewatch for each event".to_owned(),
        format!("{each:.2} µs"),
    ]);
    Ok(())
}
