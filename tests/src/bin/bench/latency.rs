//! How long after the fact a hang and its end are told: one after the other, and all
//! at once.

use std::{
    io::{self, BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pipewatch_tests::{micros_of, pipewatch};
use serde_json::Value;

use super::{
    forked::{Forked, sleep_for_ever},
    table::{head, quantile, row},
};

const HANGS: usize = 200;
const THRESHOLD_MS: u64 = 1000;
/// When to stop waiting.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one hang to the next, if they do not begin together.
const STEP: Duration = Duration::from_millis(20);

/// Measures both.
pub fn measure() -> io::Result<()> {
    head(&[
        "200 hangs, stacks on",
        "told after the threshold: median",
        "99 of 100 within",
        "the last after",
        "end told after the fact: median",
        "99 of 100 within",
    ]);
    for (name, step) in [("20 ms apart", STEP), ("all at once", Duration::ZERO)] {
        let (told, ended) = hangs(step)?;
        let ms = |values: &[f64], part| format!("{:.0} ms", quantile(values, part));
        row(&[
            name.to_owned(),
            ms(&told, 0.5),
            ms(&told, 0.99),
            ms(&told, 1.0),
            ms(&ended, 0.5),
            ms(&ended, 0.99),
        ]);
    }
    Ok(())
}

/// A record, and when it came.
type Told = (f64, Value);

/// By how many milliseconds each hang, and each end of one, was told late.
fn hangs(step: Duration) -> io::Result<(Vec<f64>, Vec<f64>)> {
    let mut target = Target::fork(step)?;
    let mut watcher = pipewatch(&["--format", "json", "-p", &target.leader.pid().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let told = records(&mut watcher);
    next(&told, "started")?;
    target.go();
    let mut late = Vec::new();
    for _ in 0..HANGS {
        let (came, record) = next(&told, "hang")?;
        let blocked = record["reader"]["blocked_ms"].as_u64().unwrap_or_default();
        let since = came - micros_of(&record) as f64 / 1000.0;
        late.push(since + blocked as f64 - THRESHOLD_MS as f64);
    }
    let mut ended = Vec::new();
    for holder in target.holders()? {
        // SAFETY: a child of the target, which is there until this.
        unsafe { libc::kill(holder, libc::SIGKILL) };
        let at = now_ms();
        let (came, _) = next(&told, "resolved")?;
        ended.push(came - at);
    }
    drop(target);
    watcher.wait()?;
    Ok((late, ended))
}

fn records(watcher: &mut Child) -> Receiver<Told> {
    let stdout = watcher.stdout.take().expect("a pipe, as asked for");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let came = now_ms();
            let record = serde_json::from_str(&line).unwrap_or_default();
            if sender.send((came, record)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next(told: &Receiver<Told>, kind: &str) -> io::Result<Told> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let next = told.recv_timeout(left);
        let next = next.map_err(|_| io::Error::other(format!("no {kind} within {PATIENCE:?}")))?;
        if next.1["type"] == kind {
            return Ok(next);
        }
    }
}

fn now_ms() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |now| now.as_secs_f64() * 1000.0)
}

/// A process with threads that read from pipes whose write ends its children keep.
struct Target {
    leader: Forked,
    go: io::PipeWriter,
    holders: io::PipeReader,
}

impl Target {
    fn fork(step: Duration) -> io::Result<Self> {
        let (waits, go) = io::pipe()?;
        let (holders, tells) = io::pipe()?;
        let (leader, (go, holders)) = Forked::fork((go, holders), || hang(step, waits, tells))?;
        Ok(Self {
            leader,
            go,
            holders,
        })
    }

    fn go(&mut self) {
        // If it is gone no hang comes, which is told.
        let _ = io::Write::write_all(&mut self.go, &[0]);
    }

    fn holders(&mut self) -> io::Result<Vec<libc::pid_t>> {
        let mut holders = Vec::new();
        for _ in 0..HANGS {
            let mut pid = [0; 4];
            io::Read::read_exact(&mut self.holders, &mut pid)?;
            holders.push(libc::pid_t::from_ne_bytes(pid));
        }
        Ok(holders)
    }
}

/// In the target: all hangs, and who keeps their write ends.
fn hang(step: Duration, mut waits: io::PipeReader, mut tells: io::PipeWriter) -> io::Result<()> {
    io::Read::read_exact(&mut waits, &mut [0])?;
    let (mut ready, mut holders) = (Vec::new(), Vec::new());
    for _ in 0..HANGS {
        let (mut reader, writer) = io::pipe()?;
        let (holder, ()) = Forked::fork((), || sleep_for_ever())?;
        drop(writer);
        io::Write::write_all(&mut tells, &holder.pid().to_ne_bytes())?;
        holders.push(holder);
        let read = move || io::Read::read(&mut reader, &mut [0]);
        if step.is_zero() {
            ready.push(read);
        } else {
            thread::spawn(read);
            thread::sleep(step);
        }
    }
    for read in ready {
        thread::spawn(read);
    }
    thread::sleep(Duration::from_secs(3600));
    Ok(())
}
