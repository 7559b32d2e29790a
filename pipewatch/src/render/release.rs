//! The views of a release: what is about to be done, and what came of it.

use std::time::{Duration, UNIX_EPOCH};

use anstyle::Style as Paint;
use serde::Serialize;

use super::{Format, Style, ndjson::escaped, page::Page, word::Word as _};
use crate::{
    event::Kind,
    finding::{Confidence, Reader, Release, Released, StillHeld, Verdict},
    ids::{Fd, Pid, Tid},
};

/// What is about to be done, for people.
pub(super) fn plan(release: &Release, style: &Style) -> String {
    let mut page = Page::new(style);
    let mut say = |text: &str| page.headline(Paint::new(), text);
    say(&format!(
        "{} holds a write end of {}: fd {}.",
        holder(release),
        channel(release),
        release.fd
    ));
    for reader in &release.readers {
        say(&format!(
            "{} waits for it in {}.",
            who(reader),
            call(reader)
        ));
    }
    if release.readers.is_empty() {
        say("Nobody is seen to wait for it.");
    }
    if let Some(hang) = &release.hang {
        let judged = match hang.verdict {
            Verdict::Waiting if !hang.judged => "pipewatch cannot judge this wait: ",
            Verdict::Waiting => "pipewatch takes this for a healthy wait: ",
            Verdict::Leaked | Verdict::Orphaned | Verdict::SelfHeld | Verdict::InFlight => "",
        };
        say(&format!("{judged}{}", hang.why));
        if hang.confidence == Confidence::Likely {
            say("If it is still to write, nobody will get that.");
        }
    }
    let number = release.stand_in.map_or_else(
        || "Another file may get that number then, which the program may remember.".to_owned(),
        |fd| format!("A copy of its fd {fd} takes that number, so that no other file gets it."),
    );
    say(&format!(
        "A thread of pid {} will be stopped for a moment, made to close fd {}, and go on where it \
         was. {number}",
        release.pid, release.fd
    ));
    page.into_text()
}

/// What came of it. `wall`: nanoseconds since 1970-01-01 UTC.
pub(super) fn outcome(
    release: &Release,
    released: &Released,
    wall: u64,
    format: Format,
    style: &Style,
) -> serde_json::Result<String> {
    match format {
        Format::Text => Ok(text(release, released, style)),
        Format::Json => {
            let time = UNIX_EPOCH + Duration::from_nanos(wall);
            let record = record(release, released, time);
            Ok(escaped(&serde_json::to_string(&record)?) + "\n")
        }
    }
}

fn text(release: &Release, released: &Released, style: &Style) -> String {
    let mut page = Page::new(style);
    let went_on = release
        .readers
        .iter()
        .filter(|reader| !released.waiting.contains(reader));
    let went_on: Vec<String> = went_on.map(who).collect();
    let mut parts = vec![format!(
        "RELEASED: {} has closed fd {}",
        holder(release),
        release.fd
    )];
    if !went_on.is_empty() {
        parts.push(format!("{} went on", went_on.join(", ")));
    }
    for reader in &released.waiting {
        parts.push(format!("{} still waits", who(reader)));
    }
    for other in &released.others {
        let StillHeld { pid, comm, fd } = other;
        parts.push(format!(
            "{comm} (pid {pid}) holds a write end still, fd {fd}"
        ));
    }
    page.headline(Paint::new(), &parts.join("; "));
    page.into_text()
}

fn holder(release: &Release) -> String {
    format!("{} (pid {})", release.comm, release.pid)
}

fn who(reader: &Reader) -> String {
    let actor = &reader.actor;
    format!(
        "thread {} ({}) of pid {}",
        actor.tid, actor.comm, actor.process.pid
    )
}

fn call(reader: &Reader) -> String {
    format!("{}({})", reader.call.word(), reader.fd)
}

fn channel(release: &Release) -> String {
    let inode = release.id.inode;
    match release.kind {
        Kind::Pipe => format!("pipe:[{inode}]"),
        Kind::Fifo => format!("FIFO, inode {inode}"),
        Kind::Socketpair { .. } => format!("socketpair:[{inode}]"),
    }
}

#[derive(Serialize)]
struct Record {
    r#type: &'static str,
    time: String,
    pid: Pid,
    comm: String,
    fd: Fd,
    stand_in: Option<Fd>,
    pipe: PipeObject,
    went_on: bool,
    readers: Vec<ReaderObject>,
    holders: Vec<HolderObject>,
}

#[derive(Serialize)]
struct PipeObject {
    inode: u64,
    kind: &'static str,
}

#[derive(Serialize)]
struct ReaderObject {
    pid: Pid,
    tid: Tid,
    comm: String,
    fd: Fd,
    call: &'static str,
    went_on: bool,
}

#[derive(Serialize)]
struct HolderObject {
    pid: Pid,
    comm: String,
    fd: Fd,
}

fn record(release: &Release, released: &Released, time: std::time::SystemTime) -> Record {
    let reader = |reader: &Reader| ReaderObject {
        pid: reader.actor.process.pid,
        tid: reader.actor.tid,
        comm: reader.actor.comm.to_string(),
        fd: reader.fd,
        call: reader.call.word(),
        went_on: !released.waiting.contains(reader),
    };
    let other = |other: &StillHeld| HolderObject {
        pid: other.pid,
        comm: other.comm.to_string(),
        fd: other.fd,
    };
    Record {
        r#type: "released",
        time: humantime::format_rfc3339_micros(time).to_string(),
        pid: release.pid,
        comm: release.comm.to_string(),
        fd: release.fd,
        stand_in: release.stand_in,
        pipe: PipeObject {
            inode: release.id.inode,
            kind: release.kind.word(),
        },
        went_on: released.waiting.is_empty(),
        readers: release.readers.iter().map(reader).collect(),
        holders: released.others.iter().map(other).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Actor, Call},
        ids::{Comm, Ktime, PipeId, ProcKey},
    };

    const WIDE: Style = Style {
        width: 500,
        colour: false,
    };

    fn reader(tid: u32) -> Reader {
        Reader {
            actor: Actor {
                process: ProcKey {
                    pid: Pid(9),
                    start: 1,
                },
                tid: Tid(tid),
                comm: "reader".into(),
            },
            fd: Fd(3),
            call: Call::Read,
            since: Ktime(1),
        }
    }

    fn release(comm: &str) -> Release {
        Release {
            pid: Pid(7),
            comm: comm.into(),
            fd: Fd(4),
            stand_in: Some(Fd(3)),
            id: PipeId { dev: 1, inode: 5 },
            kind: Kind::Pipe,
            readers: vec![reader(9), reader(10)],
            hang: None,
        }
    }

    fn half() -> Released {
        Released {
            time: Ktime(2),
            waiting: vec![reader(10)],
            others: vec![StillHeld {
                pid: Pid(8),
                comm: Comm::from("other"),
                fd: Fd(6),
            }],
        }
    }

    #[test]
    fn who_went_on_and_who_did_not() {
        let told = outcome(&release("holder"), &half(), 0, Format::Text, &WIDE);
        assert_eq!(
            told.expect("a text"),
            "RELEASED: holder (pid 7) has closed fd 4; thread 9 (reader) of pid 9 went on; thread \
             10 (reader) of pid 9 still waits; other (pid 8) holds a write end still, fd 6\n"
        );
        let told = outcome(&release("holder"), &half(), 0, Format::Json, &WIDE);
        let told: serde_json::Value = serde_json::from_str(&told.expect("a text")).expect("JSON");
        assert_eq!(told["time"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(told["went_on"], false);
        assert_eq!(told["readers"][0]["went_on"], true);
        assert_eq!(told["readers"][1]["went_on"], false);
        assert_eq!(told["holders"][0]["pid"], 8);
    }

    #[test]
    fn a_name_plays_no_tricks() {
        let release = release("\u{1b}[2Jx");
        let told = outcome(&release, &half(), 0, Format::Json, &WIDE).expect("a text");
        for text in [plan(&release, &WIDE), text(&release, &half(), &WIDE), told] {
            assert!(!text.contains('\u{1b}'), "{text:?}");
        }
    }
}
