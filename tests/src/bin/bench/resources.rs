//! What pipewatch itself takes: time to start, memory, and time when nothing happens.

use std::{
    collections::BTreeMap,
    fs, io, thread,
    time::{Duration, Instant},
};

use pipewatch_tests::Watcher;

use super::{
    crowd::Crowd,
    table::{head, median, row},
};

const STARTS: usize = 9;
const IDLE: Duration = Duration::from_secs(20);
/// When it is measured what idling takes, after the start: soon, and when waits that stay
/// healthy, as every host has some, are looked at as seldom as they get.
const SOON: (Duration, &str) = (Duration::from_secs(2), "the first half minute");
/// See [`SOON`].
const LATER: (Duration, &str) = (Duration::from_secs(100), "after 100 s");

/// Measures all of it.
pub fn measure() -> io::Result<()> {
    head(&["measure", "value"]);
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let watcher = Watcher::start(&["--all"]);
        starts.push(begun.elapsed().as_secs_f64());
        drop(watcher);
    }
    let median = median(&starts);
    row(&[
        "`started`, after launch".to_owned(),
        format!("{median:.2} s"),
    ]);
    for (processes, pipes, what) in [
        (2_000, 1, "2,000 processes"),
        (
            10_000,
            5,
            "10,000 processes with 100,000 descriptors of pipes",
        ),
    ] {
        let _crowd = Crowd::of(processes, pipes)?;
        let watcher = Watcher::start(&["--all"]);
        let pid = watcher.pid();
        let begun = Instant::now();
        for (after, when) in [SOON, LATER] {
            thread::sleep(after.saturating_sub(begun.elapsed()));
            let before = cpu(pid)?;
            thread::sleep(IDLE);
            let used = (cpu(pid)? - before) / IDLE.as_secs_f64() * 100.0;
            row(&[
                format!("idle, `--all`, {what}, {when}"),
                format!("{used:.2} % of a core"),
            ]);
        }
        let resident = status(pid, "VmRSS:")? / 1024.0;
        let maps = maps(pid)? / 1024.0 / 1024.0;
        let memory = format!(
            "{resident:.0} MB resident, {:.0} MB at most, and {maps:.0} MB of BPF maps; {:.0} MB in all",
            status(pid, "VmHWM:")? / 1024.0,
            resident - mapped(pid)? / 1024.0 + maps,
        );
        row(&[format!("memory, `--all`, {what}"), memory]);
    }
    Ok(())
}

/// Seconds of a CPU that a process has used.
fn cpu(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|field| field.parse().unwrap_or(0.0));
    Ok(ticks.sum::<f64>() / 100.0)
}

/// A number of kilobytes in `/proc/PID/status`.
fn status(pid: u32, name: &str) -> io::Result<f64> {
    number(&fs::read_to_string(format!("/proc/{pid}/status"))?, name)
}

fn number(text: &str, name: &str) -> io::Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("no {name}")))
}

/// Kilobytes of BPF maps that are resident in a process, and its maps anyway.
fn mapped(pid: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let mut of_maps = false;
    let mut sum = 0.0;
    for line in text.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if !name.ends_with(':') {
            of_maps = line.ends_with("bpf-map");
        } else if of_maps && name == "Rss:" {
            sum += number(line, name)?;
        }
    }
    Ok(sum)
}

/// Bytes of the BPF maps that a process has.
fn maps(pid: u32) -> io::Result<f64> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path())?;
        if let Ok(id) = number(&text, "map_id:") {
            sizes.insert(id as u64, number(&text, "memlock:")?);
        }
    }
    Ok(sizes.values().sum())
}
