//! What the views for people say in the same words.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    path,
    place::{at, stack},
    word::Word as _,
};
use crate::{
    event::{Actor, Kind},
    finding::{
        Certainty, Confidence, Created, Details, FreedHow, Hang, HeldFd, Holder, Outcome, Reason,
        Relation, Resolved, Started, Step, Stopped, Tally, Via, ViaKind, Waits, What,
    },
    ids::{Comm, Fd, Ktime, Pid},
    listing::list,
};

/// Who is watched, and for what.
pub(super) fn watching(started: &Started) -> String {
    let watched = watched(started);
    let threshold = duration(started.threshold);
    format!("{watched} for reads that hang for {threshold}")
}

/// How, and where.
pub(super) fn backend(started: &Started) -> String {
    let Started {
        backend,
        version,
        kernel,
        arch,
        ..
    } = started;
    format!("{backend} (pipewatch {version}, Linux {kernel} {arch})")
}

/// Who is watched.
pub(super) fn watched(started: &Started) -> String {
    match started.watching.as_deref() {
        None if started.hides => "every process that may be looked into".to_owned(),
        None => "every process of this host".to_owned(),
        Some([pid]) => format!("pid {pid} and its descendants"),
        Some(pids) => format!("{} and their descendants", list("pid", "pids", pids)),
    }
}

/// What hangs, and who keeps it from going on.
pub(super) fn headline(hang: &Hang) -> String {
    format!("{}: {}", vain(hang), withheld_by(hang))
}

/// Who waits in vain.
pub(super) fn vain(hang: &Hang) -> String {
    let fate = match hang.confidence {
        Confidence::Certain => "gets no end of file from",
        Confidence::Likely => "seems to wait in vain in",
    };
    format!(
        "pid {} {fate} {}",
        hang.reader.actor.process.pid,
        call(hang)
    )
}

/// How a wait ended, and by whom.
pub(super) fn resolution(resolved: &Resolved) -> String {
    let freed = resolved.freed_by.map_or_else(String::new, |by| {
        let act = match by.how {
            FreedHow::Close => "closed its copy",
            FreedHow::Exit => "ended",
            FreedHow::Exec => "ran another program",
        };
        format!(", {} {act}", process(by.comm, by.pid))
    });
    format!(
        "after {}: {}{freed}",
        duration(resolved.blocked),
        outcome(resolved)
    )
}

/// How a wait ended.
pub(super) fn outcome(resolved: &Resolved) -> &'static str {
    match resolved.outcome {
        Outcome::Eof => "end of file",
        Outcome::Data if resolved.alarmed => "somebody wrote after all",
        Outcome::Data => "somebody wrote",
        Outcome::Interrupted => "the call was interrupted",
        Outcome::ReaderGone => "the reader has ended",
    }
}

/// Why a run ended, and what came of it.
pub(super) fn summary(stopped: &Stopped) -> String {
    let reason = match stopped.reason {
        Reason::Signal => "by a signal",
        Reason::Duration => "at its time limit",
        Reason::Hang => "at the first hang",
        Reason::Ended => "as all watched ended",
        Reason::CommandEnded => "as the command ended",
        Reason::Looked => "after one look",
        Reason::TraceEnds => "where the trace breaks off",
    };
    let Stopped {
        tally: Tally {
            hangs,
            resolved,
            answered,
        },
        waits,
        events,
        lost_events,
        ..
    } = *stopped;
    let among = if stopped.hides {
        " among the processes that may be looked into"
    } else {
        ""
    };
    let hung = count(hangs, "hang", "hangs") + among;
    let waits = self::waits(waits);
    // One look sees neither what becomes of a wait nor events.
    if stopped.reason == Reason::Looked {
        return format!("{reason}: {hung}{waits}");
    }
    let open = hangs.saturating_sub(resolved);
    let answered = match answered {
        0 => String::new(),
        some => format!(" ({some} by an answer)"),
    };
    format!(
        "{reason}: {hung}, {resolved} resolved{answered}, {open} open{waits}; {}, {lost_events} lost",
        count(events, "event", "events"),
    )
}

/// What else waits, if anything does.
fn waits(waits: Waits) -> String {
    let Waits { open, unjudged } = waits;
    let healthy = match open.saturating_sub(unjudged) {
        0 => String::new(),
        1 => "; 1 wait looks healthy".to_owned(),
        more => format!("; {more} waits look healthy"),
    };
    let unjudged = match (unjudged, healthy.is_empty()) {
        (0, _) => String::new(),
        (some, true) => format!(
            "; {} cannot be judged (-v tells why)",
            count(some, "wait", "waits")
        ),
        (some, false) => format!(", {some} cannot be judged (-v tells why)"),
    };
    healthy + &unjudged
}

/// What a wait that is no hang is taken for.
pub(super) fn taken_for(hang: &Hang) -> &'static str {
    if hang.judged { "healthy" } else { "not judged" }
}

/// An argument so that one can see where it begins and ends.
pub(super) fn quoted(argument: String) -> String {
    if argument.is_empty() || argument.contains(char::is_whitespace) {
        format!("'{argument}'")
    } else {
        argument
    }
}

/// What is waited for.
pub(super) fn channel(hang: &Hang, details: &dyn Details) -> String {
    let channel = &hang.channel;
    let inode = channel.id.inode;
    let name = match (channel.kind, path(hang, details)) {
        (Kind::Pipe, _) => format!("pipe:[{inode}]"),
        (Kind::Fifo, None) => format!("FIFO, inode {inode}"),
        (Kind::Fifo, Some(path)) => format!("FIFO {path}, inode {inode}"),
        (Kind::Socketpair { .. }, _) => format!("socketpair:[{inode}]"),
    };
    let content = if channel.buffered {
        "holds bytes"
    } else {
        "empty"
    };
    match channel.created {
        Some(Created { act, .. }) => {
            let place = at(stack(act, details));
            format!(
                "{name}, {content}; made by {}{place}",
                actor(act.actor, details)
            )
        }
        None if channel.kind == Kind::Fifo => format!("{name}, {content}"),
        None => format!("{name}, {content}; who made it was not seen"),
    }
}

/// Whether all that is told of two holders is the same, but for who they are.
pub(super) fn are_held_alike(one: &Holder, other: &Holder, details: &dyn Details) -> bool {
    let told = |holder: &Holder| {
        let Holder {
            parent,
            comm,
            relation,
            used,
            execed,
            stopped,
            via,
            ..
        } = *holder;
        let given = via.act.map(|act| (act.actor, at(stack(act, details))));
        let state = (used, execed, stopped);
        (parent, comm, relation, state, via.kind, given)
    };
    told(one) == told(other)
        && one.fds == other.fds
        && details.cmdline(one.process) == details.cmdline(other.process)
}

/// What a holder is to the process that waits.
pub(super) fn relation(holder: &Holder, reader: Pid) -> String {
    let word = match holder.relation {
        Relation::Itself => return "the waiting process itself".to_owned(),
        Relation::Child => return format!("child of pid {reader}"),
        Relation::Descendant => "descendant",
        Relation::Parent => "parent",
        Relation::Ancestor => "ancestor",
        Relation::Sibling => "sibling",
        Relation::Unrelated => "not known to be a relative",
    };
    format!(
        "{word} of pid {reader} (its own parent is pid {})",
        holder.parent
    )
}

/// Descriptors in words, the write ends first: they are what matters.
pub(super) fn ends(fds: &[HeldFd]) -> String {
    let (writing, reading): (Vec<&HeldFd>, Vec<&HeldFd>) =
        fds.iter().partition(|held| held.mode.write);
    let words: Vec<String> = writing
        .into_iter()
        .chain(reading)
        .map(|held| {
            let end = match (held.mode.read, held.mode.write) {
                (true, true) => "both ends",
                (false, true) => "write end",
                (_, false) => "read end",
            };
            format!("{end} fd {}", held.fd)
        })
        .collect();
    list("", "", &words)
}

/// How and when a holder came by its end, and in which code.
pub(super) fn provenance(via: Via, hang: &Hang, details: &dyn Details) -> String {
    let (way, by) = match via.kind {
        ViaKind::Fork => ("inherited by fork", "made by"),
        ViaKind::Exec => ("kept across exec", "by"),
        ViaKind::Dup => ("duplicated from another descriptor", "by"),
        ViaKind::Created => ("made the pipe itself", "as"),
        ViaKind::Opened => ("opened by its path", "by"),
        ViaKind::Passed => ("passed to it by another process", "by"),
        ViaKind::Unknown => return "how it came by it was not seen".to_owned(),
    };
    let Some(act) = via.act else {
        let when = match via.kind {
            // No probe sees these.
            ViaKind::Opened | ViaKind::Passed => "when was not seen",
            ViaKind::Fork | ViaKind::Exec | ViaKind::Dup | ViaKind::Created | ViaKind::Unknown => {
                "before pipewatch looked"
            }
        };
        return format!("{way}, {when}");
    };
    let moment = match hang.channel.created {
        Some(created) if via.kind != ViaKind::Created => {
            format!(
                "{} after the pipe was made",
                duration(act.time.since(created.act.time))
            )
        }
        Some(_) | None => relative_to_wait(act.time, hang.reader.since),
    };
    let place = at(stack(act, details));
    format!("{way}, {by} {}{place}, {moment}", actor(act.actor, details))
}

/// Whether a holder did anything with its end, and what could have taken it
/// away.
pub(super) fn use_of_copy(holder: &Holder, certainty: Certainty) -> String {
    let cloexec = holder
        .fds
        .iter()
        .any(|held| held.mode.write && held.cloexec);
    let inherited = holder.via.kind == ViaKind::Fork;
    let mut words = vec![match (holder.used, certainty) {
        (true, _) => "has used its copy",
        (false, Certainty::Exact) => "never used its copy",
        (false, Certainty::Inferred) => "was not seen to use its copy",
    }];
    if holder.stopped {
        words.push("is stopped");
    }
    if holder.execed {
        words.push("has exec'ed since");
    } else if inherited && cloexec {
        words.push("close-on-exec is set, which does not help: it has not exec'ed");
    } else if inherited {
        words.push("has not exec'ed");
    }
    words.join("; ")
}

/// A step of the timeline.
pub(super) fn happening(step: &Step, hang: &Hang, details: &dyn Details) -> String {
    happenings(step, &[], hang, details)
}

/// A step of the timeline with others that [`are_alike`].
pub(super) fn happenings(step: &Step, more: &[Step], hang: &Hang, details: &dyn Details) -> String {
    let Step { act, what, fds } = step;
    let fds = if fds.is_empty() {
        "its ends".to_owned()
    } else {
        list("fd", "fds", fds)
    };
    let doer = step_actor(step, hang, details);
    let deed = match what {
        What::Pipe => format!("makes the pipe: {fds}"),
        What::Socketpair => format!("makes the pair of sockets: {fds}"),
        What::Fork { child } => {
            let more = more.iter().filter_map(Step::child);
            let children: Vec<Pid> = [*child].into_iter().chain(more).collect();
            let inherit = if children.len() == 1 {
                "inherits"
            } else {
                "inherit"
            };
            format!(
                "forks {}, which {inherit} {fds}",
                list("pid", "pids", &children)
            )
        }
        What::Exec => format!("runs a new program, which keeps {fds}"),
        What::Dup => format!("duplicates {fds}"),
        What::Close => format!("closes {fds}"),
        What::Exit => format!("ends, which closes {fds}"),
        What::Read(call) => return format!("{doer} begins to wait: {} of {fds}", call.word()),
    };
    // The rows above tell the places of these.
    let by_holder = |holder: &Holder| holder.via.act == Some(*act);
    let by_maker = hang
        .channel
        .created
        .is_some_and(|created| created.act == *act);
    if by_maker || hang.holders.iter().any(by_holder) {
        return format!("{doer} {deed}");
    }
    format!("{doer} {deed}{}", at(stack(*act, details)))
}

/// Whether they are forks, one after the other, by the same thread at the same place.
pub(super) fn are_alike(one: &Step, next: &Step, details: &dyn Details) -> bool {
    one.child().is_some()
        && next.child().is_some()
        && one.fds == next.fds
        && one.act.actor == next.act.actor
        && at(stack(one.act, details)) == at(stack(next.act, details))
}

/// The thread that took a step; of the waiting process, which is named above,
/// no more than that.
fn step_actor(step: &Step, hang: &Hang, details: &dyn Details) -> String {
    let doer = step.act.actor;
    if doer.process == hang.reader.actor.process {
        thread(doer, details)
    } else {
        actor(doer, details)
    }
}

/// Who keeps the wait from ending.
pub(super) fn withheld_by(hang: &Hang) -> String {
    match hang.holders.as_slice() {
        [] => "no process that can be seen holds the write end".to_owned(),
        [holder] => {
            let writing: Vec<Fd> = holder
                .fds
                .iter()
                .filter(|held| held.mode.write)
                .map(|held| held.fd)
                .collect();
            format!(
                "{} holds the write end, {}",
                process(holder.comm, holder.process.pid),
                list("fd", "fds", &writing)
            )
        }
        [holder, others @ ..] => format!(
            "{} and {} hold the write end",
            process(holder.comm, holder.process.pid),
            count(others.len() as u64, "other process", "other processes")
        ),
    }
}

/// The call waited in, as strace would begin it.
pub(super) fn call(hang: &Hang) -> String {
    format!("{}({})", hang.reader.call.word(), hang.reader.fd)
}

/// A process by its name.
pub(super) fn process(comm: Comm, pid: Pid) -> String {
    format!("{comm} (pid {pid})")
}

/// A thread, by the name that its program gave it, if it did.
pub(super) fn thread(actor: Actor, details: &dyn Details) -> String {
    if actor.tid.0 == actor.process.pid.0 {
        return process(actor.comm, actor.process.pid);
    }
    let name = details.sights().thread(actor.process, actor.tid);
    let name = name.map_or_else(|| actor.comm.to_string(), str::to_owned);
    format!("thread {} ({name})", actor.tid)
}

/// The same, and whose thread it is.
pub(super) fn actor(actor: Actor, details: &dyn Details) -> String {
    if actor.tid.0 == actor.process.pid.0 {
        thread(actor, details)
    } else {
        format!("{} of pid {}", thread(actor, details), actor.process.pid)
    }
}

/// A number of things.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A moment as the clock on the wall shows it, of nanoseconds since 1970-01-01 UTC.
pub(super) fn clock_time(wall: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(wall)).to_string()
}

fn relative_to_wait(time: Ktime, wait: Ktime) -> String {
    if time <= wait {
        format!("{} before the wait began", duration(wait.since(time)))
    } else {
        format!("{} after the wait began", duration(time.since(wait)))
    }
}

/// A moment as its distance from the beginning of the wait.
pub(super) fn offset(time: Ktime, wait: Ktime) -> String {
    match time.cmp(&wait) {
        std::cmp::Ordering::Less => format!("-{}", duration(wait.since(time))),
        std::cmp::Ordering::Equal => "0 s".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", duration(time.since(wait))),
    }
}

/// A duration for people: two figures or so, never rounded up.
pub(super) fn duration(nanoseconds: u64) -> String {
    let micros = nanoseconds / 1_000;
    let millis = micros / 1_000;
    let seconds = millis / 1_000;
    let minutes = seconds / 60;
    let hours = minutes / 60;
    if millis == 0 {
        format!("{micros} µs")
    } else if millis < 10 {
        format!("{millis}.{} ms", micros / 100 % 10)
    } else if seconds == 0 {
        format!("{millis} ms")
    } else if seconds < 10 {
        format!("{seconds}.{} s", millis / 100 % 10)
    } else if minutes == 0 {
        format!("{seconds} s")
    } else if hours == 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else if hours < 24 {
        format!("{hours} h {} min", minutes % 60)
    } else {
        format!("{} d {} h", hours / 24, hours % 24)
    }
}
