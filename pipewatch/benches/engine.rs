//! What the engine takes for an event, after a thousand events and after a million:
//! it must not depend on how much has happened before. And what it takes to judge a read of
//! a pipe that a hundred processes hold, or ten thousand, and as many such reads: for each of
//! them the same.
//!
//! The events are those of `scenario storm` (50 threads, 200 forks, pipes and a leak)
//! as `pipewatch --record` wrote them, again and again: each time with other
//! processes, pipes and tables, at a later time. Each sleep is told once; looks are left
//! out, which come at their own pace.

use std::{
    hint::black_box,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pipewatch::{
    engine::Engine,
    event::{Actor, Call, End, EndRow, Kind, Mode, Sleep, Snapshot, TaskRow},
    ids::{Fd, FileId, Ktime, Pid, PipeId, ProcKey, TableId, Tid},
    input::Input,
    trace_file::{Entry, Trace},
};
use serde_json::Value;

const TRACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/storm.trace.gz");
/// How many events have happened before.
const HISTORIES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// How many processes hold a write end.
const HOLDERS: [u32; 3] = [100, 1_000, 10_000];
/// The first of the server's workers.
const READER: u32 = 2;
/// How many are made ready at a time.
const BATCH: u64 = 1_000;

fn engine(criterion: &mut Criterion) {
    let mut trace = trace();
    let entries = trace.entries().expect("entries");
    let entries = entries.map(|entry| entry.expect("an entry"));
    let storm: Vec<Value> = entries.filter_map(|entry| written(&entry)).collect();
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(20);
    // Making the events ready takes ten times as long as what is measured.
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(500));
    for history in HISTORIES {
        let mut events = (0..).flat_map(|round| storm.iter().map(move |input| later(input, round)));
        let mut engine = Engine::new(trace.header.rules);
        tell(&mut engine, &mut events, history);
        group.bench_function(BenchmarkId::from_parameter(history), |bencher| {
            bencher.iter_custom(|count| tell(&mut engine, &mut events, count));
        });
    }
    group.finish();
}

/// Reads it, as what it is when unpacked.
fn trace() -> Trace {
    let unpacked = Command::new("gzip").args(["-dc", TRACE]).output();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("storm.trace");
    std::fs::write(&path, unpacked.expect("gzip").stdout).expect("room for a trace");
    Trace::open(&path).expect("a trace")
}

fn written(entry: &Entry) -> Option<Value> {
    let Entry::Input(input) = entry else {
        return None;
    };
    Some(serde_json::to_value(input).expect("an input that can be written"))
}

/// The same in another round: nothing that was there is there any more.
fn later(input: &Value, round: u64) -> Input {
    let mut input = input.clone();
    shift(&mut input, round);
    serde_json::from_value(input).expect("an input")
}

fn shift(value: &mut Value, round: u64) {
    for (name, value) in value.as_object_mut().into_iter().flatten() {
        let step = match name.as_str() {
            "pid" | "tid" | "child_tid" | "sleeper" => 1 << 16,
            "time" | "start" | "since" | "previous" => 10_000_000_000,
            "table" | "child_table" | "file" | "write_file" | "address" => 1 << 32,
            "inode" => 1 << 32,
            _ => 0,
        };
        match value.as_u64() {
            Some(number) => *value = Value::from(number + step * round),
            None => shift(value, round),
        }
    }
}

/// Tells the engine the next events, and how long it takes for them.
fn tell(engine: &mut Engine, events: &mut impl Iterator<Item = Input>, count: u64) -> Duration {
    let mut taken = Duration::ZERO;
    for begin in (0..count).step_by(BATCH as usize) {
        let size = BATCH.min(count - begin) as usize;
        let batch: Vec<Input> = events.by_ref().take(size).collect();
        let begun = Instant::now();
        for input in &batch {
            black_box(engine.take(input));
        }
        taken += begun.elapsed();
    }
    taken
}

/// A read lasts, of a pipe whose write end is with the workers of a server, which nobody saw
/// it make; it is looked at again and again.
fn judgement(criterion: &mut Criterion) {
    look_again(criterion, "judgement", |number| match number {
        READER => &[Mode::READ],
        _ => &[Mode::WRITE],
    });
}

/// The workers of such a server wait for work from a pipe that all of them hold.
fn pool(criterion: &mut Criterion) {
    look_again(criterion, "pool", |_| &[Mode::READ, Mode::WRITE]);
}

/// What is due is looked at again and again, of so many processes that have these ends of a
/// pipe.
fn look_again(criterion: &mut Criterion, name: &str, ends: fn(u32) -> &'static [Mode]) {
    let rules = trace().header.rules;
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(500));
    for holders in HOLDERS {
        let snapshot = server(holders, ends);
        let mut engine = Engine::new(rules);
        engine.adopt(&snapshot, None);
        let mut now = Ktime(0);
        group.bench_function(BenchmarkId::from_parameter(holders), |bencher| {
            bencher.iter(|| {
                now = now.after(60_000_000_000);
                engine.look(&snapshot, now)
            });
        });
        assert!(engine.next_look() > Some(now), "it is looked at no more");
    }
    group.finish();
}

/// A server that has so many workers, each of which sleeps in a read if it can.
fn server(workers: u32, ends: fn(u32) -> &'static [Mode]) -> Snapshot {
    // Its id is the highest, as it may be once ids are used again.
    let server = READER + workers;
    let mut snapshot = Snapshot::default();
    for number in READER..=server {
        let actor = Actor {
            process: ProcKey {
                pid: Pid(number),
                start: 1,
            },
            tid: Tid(number),
            comm: "worker".into(),
        };
        let table = TableId(number.into());
        let of = |(fd, mode): (u32, &Mode)| End {
            fd: Fd(fd),
            pipe: PipeId { dev: 1, inode: 1 },
            address: 1,
            file: FileId(mode.read.into()),
            mode: *mode,
            cloexec: false,
            kind: Kind::Pipe,
            head: Some(0),
        };
        let ends: Vec<End> = (3..).zip(ends(number)).map(of).collect();
        let alone = ends.len() == 1 && ends[0].mode.read;
        let read = ends.iter().find(|end| end.mode.read && number != server);
        snapshot.tasks.push(TaskRow {
            actor,
            table,
            parent: Pid(if alone || number == server { 1 } else { server }),
            stopped: false,
            asleep: Some(1),
            multiplexed: None,
            waits_for: None,
            sleep: read.map(|end| Sleep {
                since: Ktime(0),
                end: *end,
                call: Call::Read,
                nvcsw: 1,
                previous: None,
            }),
        });
        snapshot.ends.extend(ends.into_iter().map(|end| EndRow {
            actor,
            table,
            end,
            writers: 1,
            buffered: false,
            ring: false,
        }));
    }
    snapshot
}

criterion_group!(benches, engine, judgement, pool);
criterion_main!(benches);
