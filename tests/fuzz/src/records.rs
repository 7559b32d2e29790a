//! Records of the kernel side, and what the engine makes of them. Most of the bytes
//! of a record are identities; unless the input says otherwise few bits of each are
//! used, so that one record speaks of what another one did.

use pipewatch::{
    decode::{self, CallNumbers},
    engine::Engine,
    event::Snapshot,
    finding::{Confidence, Report},
    ids::{Ktime, Pid},
    input::Input,
    names::{Names, Noted},
    rules::Rules,
    stack::Sights,
};
use pipewatch_ebpf::abi::{self, Record};
use zerocopy::IntoBytes as _;

use crate::trace::check;

/// The kind of records that stand for an entry of a table.
const ENTRY: u16 = 2;
/// Kinds past those of the kernel side: what else the engine is told.
const LOOK: u16 = abi::KIND_ROW_TASK + 1;
const ADOPT: u16 = LOOK + 1;
const KINDS: u16 = ADOPT + 1;

pub(crate) fn run(bytes: &[u8]) {
    let _ = decode::python_stack(bytes);
    let rules = Rules {
        threshold: 1000,
        min_confidence: Confidence::Likely,
        healthy: true,
        own: Pid(1),
        ends_command: false,
    };
    let nothing = Noted {
        names: &Names::default(),
        sights: &Sights::default(),
        wall: |time: Ktime| time.0,
    };
    let mut engine = Engine::new(rules);
    let mut snapshot = Snapshot::default();
    let mut last = 0;
    for chunk in bytes.chunks(1 + size_of::<Record>()) {
        let Some((mode, bytes)) = chunk.split_first() else {
            continue;
        };
        let Ok(mut record) = decode::record(bytes) else {
            continue;
        };
        if mode & 1 == 0 {
            tame(&mut record, last);
        }
        last = record.time;
        let now = Ktime(record.time);
        let input = input(&record, &mut snapshot, now);
        for finding in input.map_or_else(Vec::new, |input| engine.take(&input)) {
            check(&Report::Finding(finding), &nothing);
        }
        let _ = engine.take_arms();
        let _ = (engine.next_look(), engine.is_idle());
    }
}

/// What the engine is told by a record; rows are collected for a later one.
fn input(record: &Record, snapshot: &mut Snapshot, now: Ktime) -> Option<Input> {
    match record.kind {
        abi::KIND_ROW_TASK => {
            let row = decode::task_row(record, CallNumbers::NATIVE);
            snapshot.tasks.extend(row);
            None
        }
        abi::KIND_ROW_END => {
            let rows = decode::end_rows(record);
            snapshot.ends.extend(rows.into_iter().flatten());
            None
        }
        abi::KIND_SLEEP => {
            let (actor, table, sleep) = decode::sleep(record, CallNumbers::NATIVE).ok()?;
            Some(Input::Sleeping {
                actor,
                table,
                sleep,
            })
        }
        LOOK => {
            let snapshot = std::mem::take(snapshot);
            Some(Input::Look { snapshot, now })
        }
        ADOPT => {
            let snapshot = std::mem::take(snapshot);
            let lost = (record.flags & 1 != 0).then_some(now);
            Some(Input::Adopt { snapshot, lost })
        }
        ENTRY => {
            let entry = abi::Entry {
                time: record.time,
                task: record.task,
                table: record.peer_table,
                end: record.end,
            };
            decode::event(entry.as_bytes()).ok().map(Input::Event)
        }
        _ => decode::event(record.as_bytes()).ok().map(Input::Event),
    }
}

/// Makes it speak of few things, and time go on by itself.
fn tame(record: &mut Record, last: u64) {
    record.kind %= KINDS;
    record.time = last.wrapping_add(record.time % 0x1_0000);
    for task in [&mut record.task, &mut record.peer] {
        task.tgid &= 7;
        task.tid = (task.tgid & 7) | (task.tid & 8);
        task.start &= 1;
    }
    record.table &= 7;
    record.peer_table &= 7;
    record.end.file &= 7;
    record.end.inode &= 3;
    record.end.pipe = record.end.inode;
    record.end.dev &= 1;
    record.end.head &= 3;
    record.end.fd &= 7;
    for arg in &mut record.args {
        *arg &= 0x1ff;
    }
    if record.kind == abi::KIND_SLEEP {
        // Torn ones are left to what is not tamed.
        record.args[3] = record.time;
    }
}
