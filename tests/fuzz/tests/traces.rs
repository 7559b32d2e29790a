//! Traces that break off, that tell things in an order in which they cannot have
//! happened, and that are made up to do harm: what comes of each is an error or a
//! report, and it comes soon.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use pipewatch::{
    engine::Engine,
    event::{Actor, Call, End, EndRow, Event, Fact, Kind, Mode, Sleep, Snapshot, TaskRow, WaitFor},
    finding::{Confidence, Finding},
    ids::{Fd, FileId, Ktime, Pid, PipeId, ProcKey, TableId, Tid},
    input::Input,
    output::Output,
    problem::Problem,
    render::{Format, Style},
    replay::{Notes, replay},
    rules::Rules,
    trace_file::Trace,
};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/trace");
    let entries = fs::read_dir(folder).expect("a corpus");
    entries.map(|entry| entry.expect("a file").path()).collect()
}

/// Judges a trace; whether it broke off.
fn judge(bytes: Vec<u8>) -> Result<bool, Problem> {
    let mut trace = Trace::new(Path::new("made up"), Box::new(Cursor::new(bytes)))?;
    let notes = Notes::of(&mut trace)?;
    let style = Style {
        width: 80,
        colour: false,
    };
    let output = Output::to(Box::new(std::io::sink()), Format::Text, style);
    let mut output = output.with_page(Some(Path::new("/dev/null")))?;
    replay(&mut trace, &notes, &mut output)?;
    Ok(notes.cut)
}

const HEADER: &str = concat!(
    r#"{"trace":"pipewatch-trace/1","boot":0,"rules":{"threshold":1000000000,"#,
    r#""min_confidence":"Likely","healthy":true,"own":1}}"#,
    "\n"
);

#[test]
fn a_trace_that_is_cut_anywhere_is_told_up_to_there() {
    let whole = [
        HEADER,
        r#"{"cmdline":{"process":{"pid":7,"start":1},"words":["größer","\u001b[2J"]}}"#,
        "\n",
        r#"{"stopped":{"time":9,"tally":{"hangs":0,"resolved":0},"events":0,"lost_events":0,"#,
        r#""reason":"Signal"}}"#,
    ]
    .concat()
    .into_bytes();
    for length in 0..whole.len() {
        let judged = judge(whole[..length].to_vec());
        if length < HEADER.len() - 1 {
            assert!(judged.is_err(), "{length} bytes are no trace");
        } else {
            let cut = judged.unwrap_or_else(|problem| panic!("{length} bytes: {problem}"));
            assert!(cut, "{length} bytes");
        }
    }
    assert!(!judge(whole).expect("a trace"));
}

#[test]
fn what_is_not_in_order_does_no_harm() {
    for file in corpus() {
        println!("{}", file.display());
        let text = fs::read(&file).expect("a trace");
        let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
        let Some((header, lines)) = lines.split_first() else {
            continue;
        };
        if judge(header.to_vec()).is_err() {
            continue;
        }
        let backwards: Vec<&[u8]> = lines.iter().rev().copied().collect();
        let twice = [lines, lines].concat();
        let one_less = (0..lines.len()).map(|gone| [&lines[..gone], &lines[gone + 1..]].concat());
        for lines in [backwards, twice].into_iter().chain(one_less) {
            // An error is as good, if what there is is no trace.
            let _ = judge([*header, &lines.concat()].concat());
        }
    }
}

const PIPE: PipeId = PipeId { dev: 9, inode: 7 };
const SECOND: u64 = 1_000_000_000;

fn rules() -> Rules {
    Rules {
        threshold: SECOND,
        min_confidence: Confidence::Likely,
        healthy: true,
        own: Pid(1),
        ends_command: false,
    }
}

fn actor(pid: u32) -> Actor {
    Actor {
        process: ProcKey {
            pid: Pid(pid),
            start: 1,
        },
        tid: Tid(pid),
        comm: "x".into(),
    }
}

fn end(fd: u32, write: bool) -> End {
    End {
        fd: Fd(fd),
        pipe: PIPE,
        address: 1,
        file: FileId(1 + u64::from(write)),
        mode: Mode {
            read: !write,
            write,
        },
        cloexec: false,
        kind: Kind::Pipe,
        head: Some(0),
    }
}

fn event(time: u64, pid: u32, fact: Fact) -> Input {
    Input::Event(Event {
        time: Ktime(time),
        actor: actor(pid),
        table: TableId(pid.into()),
        fact,
    })
}

#[test]
fn a_program_that_duplicates_for_ever_costs_no_memory_and_ends() {
    let mut engine = Engine::new(rules());
    let created = Fact::Create {
        read: end(3, false),
        write_fd: Fd(4),
        write_file: Some(FileId(2)),
        stack: None,
    };
    engine.take(&event(1, 5, created));
    for time in 0..1_000_000 {
        let dup = Fact::Dup {
            end: end(5 + time % 2, true),
            from: Fd(if time == 0 { 4 } else { 6 - time % 2 }),
            stack: None,
        };
        engine.take(&event(2 + u64::from(time), 5, dup));
    }
    // All that is known of it is dropped here, which must not take a stack as deep.
    engine.take(&event(2_000_000, 5, Fact::Exit { last: true }));
    assert!(engine.is_idle());
}

/// A process, which sleeps.
fn task(pid: u32, parent: u32) -> TaskRow {
    TaskRow {
        actor: actor(pid),
        table: TableId(pid.into()),
        parent: Pid(parent),
        stopped: false,
        asleep: Some(1),
        multiplexed: None,
        waits_for: None,
        sleep: None,
    }
}

/// An end that a process holds.
fn held(pid: u32, end: End) -> EndRow {
    EndRow {
        actor: actor(pid),
        table: TableId(pid.into()),
        end,
        writers: 1,
        buffered: false,
        ring: false,
    }
}

const READER: u32 = 2;

/// A reader of the pipe.
fn reader(pid: u32) -> TaskRow {
    TaskRow {
        sleep: Some(asleep()),
        ..task(pid, 1)
    }
}

/// A reader, and processes of which the first holds its pipe and each waits for the
/// next one, the last for the reader.
fn chain(length: u32) -> Snapshot {
    let last = READER + length;
    let next = |pid: u32| WaitFor::Process(Pid(if pid == last { READER } else { pid + 1 }));
    let mut tasks = vec![reader(READER)];
    tasks.extend((READER + 1..=last).map(|pid| TaskRow {
        waits_for: Some(next(pid)),
        ..task(pid, pid - 1)
    }));
    let ends = vec![held(READER, end(3, false)), held(READER + 1, end(4, true))];
    Snapshot {
        tasks,
        ends,
        of: None,
    }
}

fn asleep() -> Sleep {
    Sleep {
        since: Ktime(SECOND),
        end: end(3, false),
        call: Call::Read,
        nvcsw: 1,
        previous: None,
    }
}

#[test]
fn a_chain_of_processes_of_any_length_is_followed() {
    let snapshot = chain(200_000);
    let mut engine = Engine::new(rules());
    engine.take(&Input::Adopt {
        snapshot: snapshot.clone(),
        lost: None,
    });
    let mut found = Vec::new();
    for time in [2, 3, 4] {
        let now = Ktime(time * SECOND);
        let snapshot = snapshot.clone();
        found.extend(engine.take(&Input::Look { snapshot, now }));
    }
    let [Finding::Hang(hang)] = &found[..] else {
        panic!("one hang, not {found:?}");
    };
    assert!(hang.why.contains("stuck"), "{}", hang.why);
}

/// So many workers that all wait for one pipe, and all hold both ends of it.
fn pool(workers: u32) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for pid in 2..2 + workers {
        snapshot.tasks.push(reader(pid));
        for end in [end(3, false), end(4, true)] {
            snapshot.ends.push(held(pid, end));
        }
    }
    snapshot
}

#[test]
fn a_pool_of_many_processes_is_judged() {
    const WORKERS: usize = 64;
    let snapshot = pool(WORKERS as u32);
    let mut engine = Engine::new(rules());
    engine.take(&Input::Adopt {
        snapshot: snapshot.clone(),
        lost: None,
    });
    let mut found = 0;
    for time in [2, 3, 4] {
        let now = Ktime(time * SECOND);
        let snapshot = snapshot.clone();
        found += engine.take(&Input::Look { snapshot, now }).len();
    }
    assert_eq!(found, WORKERS);
}

#[test]
fn what_has_become_due_since_the_tables_were_asked_is_not_judged_by_them() {
    let mut engine = Engine::new(rules());
    engine.take(&Input::Adopt {
        snapshot: pool(2),
        lost: None,
    });
    let mut asked_before = pool(2).of([]);
    asked_before.ends.clear();
    let now = Ktime(2 * SECOND);
    let due: Vec<_> = engine.due(now).collect();
    assert!(!due.is_empty());
    let snapshot = asked_before;
    assert!(engine.take(&Input::Look { snapshot, now }).is_empty());
    assert!(engine.due(now).eq(due), "they still are");
}

#[test]
fn a_reader_that_does_not_go_on_is_looked_at_now_and_then() {
    // Frozen: nobody holds the write end any more, and it sleeps on.
    let snapshot = Snapshot {
        tasks: vec![reader(READER)],
        ends: vec![EndRow {
            writers: 0,
            ..held(READER, end(3, false))
        }],
        of: None,
    };
    let mut engine = Engine::new(rules());
    engine.take(&Input::Adopt {
        snapshot: snapshot.clone(),
        lost: None,
    });
    let mut looks = 0;
    while let Some(now) = engine.next_look().filter(|now| now.0 < 12 * SECOND) {
        let snapshot = snapshot.clone();
        engine.take(&Input::Look { snapshot, now });
        looks += 1;
    }
    // More and more seldom.
    assert!((5..=15).contains(&looks), "{looks}");
}
