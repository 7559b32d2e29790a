//! The view for programs: one JSON object per line, with the fields of
//! docs/output.md in the order given there. A struct here is an object there.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::{advice::hint, path, word::Word};
use crate::{
    cgroup,
    event::{Actor, Call},
    finding::{
        Act, Created, Details, Finding, FreedBy, Hang, HeldFd, Holder, Lost, Reader, Report,
        Resolved, Started, Step, Stopped, Via, WaitId,
    },
    ids::{Fd, Ktime, Pid, ProcKey, Tid},
    stack::Frame,
};

/// Version of the records. Fields may be added within one.
const SCHEMA: &str = "pipewatch/1";

/// The line for `report`, with its newline.
pub(super) fn render(report: &Report, details: &dyn Details) -> serde_json::Result<String> {
    let view = View { details };
    let record = match report {
        Report::Started(started) => Record::Started(view.started(started)),
        Report::Finding(Finding::Hang(hang)) => Record::Hang(view.hang(hang)),
        Report::Finding(Finding::Update(hang)) => Record::Update(view.hang(hang)),
        Report::Finding(Finding::Resolved(resolved)) => Record::Resolved(view.resolved(resolved)),
        Report::Lost(lost) => Record::Lost(view.lost(lost)),
        Report::Stopped(stopped) => Record::Stopped(view.stopped(stopped)),
    };
    Ok(escaped(&serde_json::to_string(&record)?) + "\n")
}

/// JSON with no character in it that a terminal obeys or that ends a line for
/// somebody. Below U+0020 they are escaped already, and all stand in texts.
pub(super) fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record<'a> {
    Started(StartedRecord<'a>),
    Hang(HangRecord<'a>),
    Update(HangRecord<'a>),
    Resolved(ResolvedRecord),
    Lost(LostRecord),
    Stopped(StoppedRecord),
}

#[derive(Serialize)]
struct StartedRecord<'a> {
    time: String,
    schema: &'static str,
    version: &'a str,
    kernel: &'a str,
    arch: &'a str,
    backend: &'a str,
    watching: Watching<'a>,
    threshold_ms: u64,
    limits: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Watching<'a> {
    All,
    Pids(&'a [Pid]),
}

#[derive(Serialize)]
struct HangRecord<'a> {
    time: String,
    id: WaitId,
    same_as: Option<WaitId>,
    verdict: &'static str,
    cause: &'static str,
    confidence: &'static str,
    certainty: &'static str,
    reader: ReaderObject,
    pipe: PipeObject,
    holders: Vec<HolderObject>,
    timeline: Vec<StepObject<'a>>,
    why: &'a str,
    hint: String,
}

#[derive(Serialize)]
struct ReaderObject {
    pid: Pid,
    tid: Option<Tid>,
    comm: String,
    thread_name: Option<String>,
    cmdline: Option<Vec<String>>,
    #[serde(flatten)]
    home: Home,
    fd: Fd,
    call: &'static str,
    blocked_ms: u64,
    stack: Vec<FrameObject>,
}

#[derive(Serialize)]
struct PipeObject {
    inode: u64,
    kind: &'static str,
    path: Option<String>,
    buffered: Option<u32>,
    created: Option<CreatedObject>,
}

#[derive(Serialize)]
struct CreatedObject {
    time: String,
    #[serde(flatten)]
    actor: ActorFields,
    #[serde(flatten)]
    home: Home,
    fds: [Fd; 2],
    stack: Vec<FrameObject>,
}

#[derive(Serialize)]
struct HolderObject {
    pid: Pid,
    ppid: Pid,
    comm: String,
    cmdline: Option<Vec<String>>,
    #[serde(flatten)]
    home: Home,
    fds: Vec<FdObject>,
    relation: &'static str,
    used: bool,
    execed: bool,
    via: ViaObject,
    stack: Vec<FrameObject>,
}

#[derive(Serialize)]
struct FdObject {
    fd: Fd,
    mode: &'static str,
    cloexec: bool,
}

#[derive(Serialize)]
struct ViaObject {
    kind: &'static str,
    time: Option<String>,
    pid: Option<Pid>,
    tid: Option<Tid>,
    comm: Option<String>,
    thread_name: Option<String>,
    #[serde(flatten)]
    home: Home,
    stack: Vec<FrameObject>,
}

/// Where a process is at home.
#[derive(Default, Serialize)]
struct Home {
    cgroup: Option<String>,
    container: Option<String>,
    pod: Option<String>,
}

#[derive(Serialize)]
struct StepObject<'a> {
    time: String,
    #[serde(flatten)]
    actor: ActorFields,
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<Pid>,
    #[serde(skip_serializing_if = "<[Fd]>::is_empty")]
    fds: &'a [Fd],
    stack: Vec<FrameObject>,
}

#[derive(Serialize)]
struct ActorFields {
    pid: Pid,
    tid: Tid,
    comm: String,
    thread_name: Option<String>,
}

#[derive(Serialize)]
struct FrameObject {
    kind: &'static str,
    function: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    module: Option<String>,
    address: Option<String>,
}

#[derive(Serialize)]
struct ResolvedRecord {
    time: String,
    id: WaitId,
    outcome: &'static str,
    blocked_ms: u64,
    freed_by: Option<FreedByObject>,
}

#[derive(Serialize)]
struct FreedByObject {
    pid: Pid,
    comm: String,
    how: &'static str,
}

#[derive(Serialize)]
struct LostRecord {
    time: String,
    events: u64,
    rescanned: bool,
}

#[derive(Serialize)]
struct StoppedRecord {
    time: String,
    hangs: u64,
    resolved: u64,
    open: u64,
    waits: u64,
    unjudged: u64,
    events: u64,
    lost_events: u64,
    reason: &'static str,
}

/// Makes records of findings, with what only the outside can tell.
struct View<'d> {
    details: &'d dyn Details,
}

impl View<'_> {
    fn started<'a>(&self, started: &'a Started) -> StartedRecord<'a> {
        StartedRecord {
            time: self.time(started.time),
            schema: SCHEMA,
            version: &started.version,
            kernel: &started.kernel,
            arch: &started.arch,
            backend: &started.backend,
            watching: started
                .watching
                .as_deref()
                .map_or(Watching::All, Watching::Pids),
            threshold_ms: milliseconds(started.threshold),
            limits: &started.limits,
        }
    }

    fn hang<'a>(&self, hang: &'a Hang) -> HangRecord<'a> {
        HangRecord {
            time: self.time(hang.time),
            id: hang.id,
            same_as: hang.same_as,
            verdict: hang.verdict.word(),
            cause: hang.cause.word(),
            confidence: hang.confidence.word(),
            certainty: hang.certainty.word(),
            reader: self.reader(&hang.reader, hang.time),
            pipe: self.pipe(hang),
            holders: hang
                .holders
                .iter()
                .map(|holder| self.holder(holder))
                .collect(),
            timeline: hang.timeline.iter().map(|step| self.step(step)).collect(),
            why: &hang.why,
            hint: hint(hang, self.details),
        }
    }

    fn reader(&self, reader: &Reader, now: Ktime) -> ReaderObject {
        let process = reader.actor.process;
        ReaderObject {
            pid: process.pid,
            // The process as a whole waits in an epoll.
            tid: (reader.call != Call::Epoll).then_some(reader.actor.tid),
            comm: reader.actor.comm.to_string(),
            thread_name: self.thread_name(reader.actor),
            cmdline: self.details.cmdline(process),
            home: self.home(process),
            fd: reader.fd,
            call: reader.call.word(),
            blocked_ms: milliseconds(now.since(reader.since)),
            stack: self.stack(reader.act()),
        }
    }

    fn pipe(&self, hang: &Hang) -> PipeObject {
        let channel = &hang.channel;
        PipeObject {
            inode: channel.id.inode,
            kind: channel.word(),
            path: path(hang, self.details),
            buffered: (!channel.buffered).then_some(0),
            created: channel.created.map(|created| self.created(created)),
        }
    }

    fn created(&self, Created { act, fds }: Created) -> CreatedObject {
        CreatedObject {
            time: self.time(act.time),
            actor: self.fields(act.actor),
            home: self.home(act.actor.process),
            fds,
            stack: self.stack(act),
        }
    }

    fn holder(&self, holder: &Holder) -> HolderObject {
        HolderObject {
            pid: holder.process.pid,
            ppid: holder.parent,
            comm: holder.comm.to_string(),
            cmdline: self.details.cmdline(holder.process),
            home: self.home(holder.process),
            fds: holder.fds.iter().map(held).collect(),
            relation: holder.relation.word(),
            used: holder.used,
            execed: holder.execed,
            via: self.via(holder.via),
            stack: frames(self.details.sights().now(holder.process)),
        }
    }

    fn via(&self, Via { kind, act }: Via) -> ViaObject {
        ViaObject {
            kind: kind.word(),
            time: act.map(|act| self.time(act.time)),
            pid: act.map(|act| act.actor.process.pid),
            tid: act.map(|act| act.actor.tid),
            comm: act.map(|act| act.actor.comm.to_string()),
            thread_name: act.and_then(|act| self.thread_name(act.actor)),
            home: act.map_or_else(Home::default, |act| self.home(act.actor.process)),
            stack: act.map_or_else(Vec::new, |act| self.stack(act)),
        }
    }

    fn step<'a>(&self, step: &'a Step) -> StepObject<'a> {
        let act = step.act;
        StepObject {
            time: self.time(act.time),
            actor: self.fields(act.actor),
            what: step.what.word(),
            child: step.child(),
            fds: &step.fds,
            stack: self.stack(act),
        }
    }

    fn stack(&self, act: Act) -> Vec<FrameObject> {
        frames(self.details.sights().of_act(act.time, act.actor.tid))
    }

    fn home(&self, process: ProcKey) -> Home {
        let cgroup = self.details.cgroup(process);
        let path = cgroup.as_deref().unwrap_or_default();
        Home {
            container: cgroup::container(path).map(str::to_owned),
            pod: cgroup::pod(path),
            cgroup,
        }
    }

    fn thread_name(&self, actor: Actor) -> Option<String> {
        let name = self.details.sights().thread(actor.process, actor.tid);
        name.map(str::to_owned)
    }

    fn fields(&self, actor: Actor) -> ActorFields {
        ActorFields {
            pid: actor.process.pid,
            tid: actor.tid,
            comm: actor.comm.to_string(),
            thread_name: self.thread_name(actor),
        }
    }

    fn resolved(&self, resolved: &Resolved) -> ResolvedRecord {
        ResolvedRecord {
            time: self.time(resolved.time),
            id: resolved.id,
            outcome: resolved.outcome.word(),
            blocked_ms: milliseconds(resolved.blocked),
            freed_by: resolved.freed_by.map(freed_by),
        }
    }

    fn lost(&self, lost: &Lost) -> LostRecord {
        LostRecord {
            time: self.time(lost.time),
            events: lost.events,
            rescanned: lost.rescanned,
        }
    }

    fn stopped(&self, stopped: &Stopped) -> StoppedRecord {
        StoppedRecord {
            time: self.time(stopped.time),
            hangs: stopped.tally.hangs,
            resolved: stopped.tally.resolved,
            open: stopped.tally.hangs.saturating_sub(stopped.tally.resolved),
            waits: stopped.waits.open,
            unjudged: stopped.waits.unjudged,
            events: stopped.events,
            lost_events: stopped.lost_events,
            reason: stopped.reason.word(),
        }
    }

    fn time(&self, time: Ktime) -> String {
        let wall = UNIX_EPOCH + Duration::from_nanos(self.details.wall(time));
        humantime::format_rfc3339_micros(wall).to_string()
    }
}

fn held(held: &HeldFd) -> FdObject {
    FdObject {
        fd: held.fd,
        mode: held.mode.word(),
        cloexec: held.cloexec,
    }
}

fn frames(frames: &[Frame]) -> Vec<FrameObject> {
    frames.iter().map(frame).collect()
}

fn frame(frame: &Frame) -> FrameObject {
    FrameObject {
        kind: frame.kind.word(),
        function: frame.function.clone(),
        file: frame.file.clone(),
        line: frame.line,
        module: frame.module.clone(),
        address: frame.address.map(|address| format!("{address:#x}")),
    }
}

fn freed_by(freed_by: FreedBy) -> FreedByObject {
    FreedByObject {
        pid: freed_by.pid,
        comm: freed_by.comm.to_string(),
        how: freed_by.how.word(),
    }
}

fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        // Delete, next line, control sequence introducer and line separator.
        let name = "a\u{1b}[2J\n\u{7f}\u{85}\u{9b}\u{2028}\"é😀";
        let json = serde_json::to_string(name).expect("a text");
        let line = escaped(&json);
        assert_eq!(line, r#""a\u001b[2J\n\u007f\u0085\u009b\u2028\"é😀""#);
        let read: String = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read, name);
    }
}
