//! What a holder of a write end is to the pipe: the rules.

use std::rc::Rc;

use super::{Evidence, Wait};
use crate::{
    event::{EndRow, Kind},
    finding::{Act, ViaKind},
    ids::{Ktime, Pid, ProcKey},
    world::{Pipe, Provenance, Sign, Slot, World},
};

/// What a holder of a write end is to the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It made the pipe.
    Maker,
    /// It arranged its ends on purpose.
    Arranged(Sign),
    /// An heir, and one of the heirs has answered.
    Answers,
    /// The waiting process made the pipe, and may write from another thread or
    /// from a signal handler.
    OwnWriter,
    /// How it came by the end was not seen, and nothing speaks against it.
    Unknown,
    /// Meant to write, but it waits for this very reader.
    Stuck,
    /// It is the waiting process, which cannot write while it waits: it `made`
    /// the pipe, or got the end by a fork.
    Itself { made: bool },
    /// It got the end by a fork and never touched it. The fork by which the
    /// end left the process that made the pipe, if that was seen.
    IdleHeir { left_by: Option<Act> },
    /// A program that was started with the end, which nobody had arranged for
    /// it; `prepared` if the pipe's maker had made the end ready to be kept.
    ExecHeir { prepared: bool },
    /// It inherited the end from a process that had arranged it and has let go of it since, or
    /// is `gone` altogether.
    Stray { writer: Option<ProcKey>, gone: bool },
    /// Another process passed the end of a pipe on to it, and it has not been used
    /// since.
    Keeper,
    /// The same, but the reader waits for other things too; or it is a socket; or
    /// the holder is a child of such a process, which may have been asked for it.
    Passed,
}

impl Role {
    /// Whether who had arranged the end is gone, and has left this holder behind.
    pub(super) fn is_left_behind(self) -> bool {
        matches!(self, Self::Stray { gone: true, .. })
    }

    /// Why it counts as meant to write; `None` if it does not.
    pub(super) fn excuse(self) -> Option<&'static str> {
        Some(match self {
            Self::Maker => "it made the pipe and keeps the write end",
            Self::Arranged(Sign::Duplicated) => {
                "it duplicated the write end to a descriptor of its choice"
            }
            Self::Arranged(Sign::KeptForExec) => "it cleared close-on-exec on the write end",
            Self::Arranged(Sign::ClosedOther) => "it closed its read end, so it knows the pipe",
            Self::Arranged(Sign::Opened) => "it opened the write end by a path",
            Self::Answers => {
                "something was written since, perhaps by a process that inherited the write end"
            }
            Self::OwnWriter => "another thread or a signal handler of it may write",
            Self::Unknown => "how it came by the write end was not seen",
            Self::Passed => "the write end was passed on for it to use",
            Self::Stuck
            | Self::Itself { .. }
            | Self::IdleHeir { .. }
            | Self::ExecHeir { .. }
            | Self::Stray { .. }
            | Self::Keeper => return None,
        })
    }

    /// Whether it was seen what it is.
    pub(super) fn is_known(self) -> bool {
        self != Self::Unknown
    }

    /// Name of the rule, for whoever wants to know which one decided.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Maker => "maker",
            Self::Arranged(_) => "arranged",
            Self::Answers => "answers",
            Self::OwnWriter => "own writer",
            Self::Unknown => "unknown",
            Self::Stuck => "stuck",
            Self::Itself { .. } => "itself",
            Self::IdleHeir { .. } => "idle heir",
            Self::ExecHeir { .. } => "exec heir",
            Self::Stray { .. } => "stray",
            Self::Keeper => "keeper",
            Self::Passed => "passed",
        }
    }
}

/// A process that holds a write end, and what history tells of that.
pub(super) struct Holding<'a> {
    pub(super) process: ProcKey,
    /// All its descriptors on the pipe.
    pub(super) rows: &'a [&'a EndRow],
    /// The write end that history knows, if it knows one.
    pub(super) slot: Option<Slot>,
}

impl<'a> Holding<'a> {
    pub(super) fn new(process: ProcKey, rows: &'a [&'a EndRow], world: &World) -> Self {
        let writes = rows.iter().filter(|row| row.end.mode.write);
        let slots = writes.filter_map(|row| world.slot(process, row.table, row.end));
        // An end that was arranged says more than one that came along.
        let slot =
            slots.max_by_key(|slot| (slot.intent.is_some(), slot.via.kind != ViaKind::Unknown));
        Self {
            process,
            rows,
            slot,
        }
    }

    /// What the tables show of it.
    pub(super) fn without_history(&self) -> Self {
        Self {
            slot: None,
            ..*self
        }
    }

    pub(super) fn via(&self) -> Option<&Rc<Provenance>> {
        self.slot.as_ref().map(|slot| &slot.via)
    }
}

/// The rules, the first that fits.
pub(super) fn role(
    holding: &Holding<'_>,
    wait: &Wait,
    pipe: Option<&Pipe>,
    evidence: &Evidence<'_>,
) -> Role {
    let role = meant(holding, wait, pipe, evidence);
    let reader = wait.actor.process;
    let other = holding.process != reader;
    if other && role.excuse().is_some() && evidence.is_stuck_on(holding.process, wait) {
        return Role::Stuck;
    }
    role
}

fn meant(holding: &Holding<'_>, wait: &Wait, pipe: Option<&Pipe>, evidence: &Evidence<'_>) -> Role {
    let Some(slot) = &holding.slot else {
        return inferred(holding, wait, pipe, evidence);
    };
    let made_by = pipe
        .and_then(Pipe::created)
        .map(|created| created.act.actor.process);
    let is_reader = holding.process == wait.actor.process;
    if made_by == Some(holding.process) {
        return if is_reader {
            own(holding, wait, evidence)
        } else {
            Role::Maker
        };
    }
    if slot.via.kind == ViaKind::Created {
        // It shares the fd table of the process that made the pipe.
        return Role::Maker;
    }
    // Where that was not seen, it may have been who arranged the end, if the reader is that
    // process or below it.
    let arranged_by = slot.intent.as_deref().map(|intent| intent.by);
    let above = |by: &ProcKey| {
        let reader = wait.actor.process;
        *by == reader || evidence.is_ancestor(by.pid, reader.pid)
    };
    let is_fifo = wait.sleep.end.kind == Kind::Fifo;
    let guessed = arranged_by.filter(|by| made_by.is_none() && !is_fifo && above(by));
    let made_by = made_by.or(guessed);
    match slot.intent.as_deref() {
        Some(intent) if intent.by == holding.process && is_reader => {
            return own(holding, wait, evidence);
        }
        Some(intent) if intent.by == holding.process => return Role::Arranged(intent.sign),
        // What the pipe's maker did to its own copy tells nothing of its heirs.
        Some(intent) if Some(intent.by) != made_by => {
            return Role::Stray {
                writer: Some(intent.by),
                gone: !evidence.lives(intent.by),
            };
        }
        Some(_) | None => {}
    }
    // The chain ends where the pipe was made, or at a fork of its maker, which
    // may have closed its copy by the time that was reported. One that ends
    // elsewhere began with an act that was not seen, such as a message.
    let whole = slot
        .via
        .chain()
        .last()
        .is_some_and(|first| match first.kind {
            ViaKind::Created | ViaKind::Opened => true,
            ViaKind::Fork => first.act.map(|act| act.actor.process) == made_by,
            ViaKind::Passed | ViaKind::Exec | ViaKind::Dup | ViaKind::Unknown => false,
        });
    let passed = slot.via.chain().any(|link| link.kind == ViaKind::Passed);
    if passed && !is_reader {
        let itself = slot.via.kind == ViaKind::Passed;
        // A socket is passed on for two to talk to each other.
        let one_way = matches!(wait.sleep.end.kind, Kind::Pipe | Kind::Fifo);
        return if itself && one_way && !wait.sleep.call.is_multiplexed() {
            Role::Keeper
        } else {
            Role::Passed
        };
    }
    if (!whole && guessed.is_none()) || made_by.is_none() {
        return inferred(holding, wait, pipe, evidence);
    }
    if is_reader {
        return Role::Itself { made: false };
    }
    if slot.via.chain().any(|link| link.kind == ViaKind::Exec) {
        return Role::ExecHeir {
            prepared: slot.intent.is_some(),
        };
    }
    let forks = slot.via.chain().filter(|link| link.kind == ViaKind::Fork);
    let left_by = forks
        .filter_map(|link| link.act)
        .find(|act| Some(act.actor.process) == made_by);
    Role::IdleHeir { left_by }
}

/// The waiting process made the pipe and holds its write end.
fn own(holding: &Holding<'_>, wait: &Wait, evidence: &Evidence<'_>) -> Role {
    let mut writes = holding.rows.iter().filter(|row| row.end.mode.write);
    let within_reach = writes.any(|row| row.table == wait.table);
    let threads = evidence.threads(wait.actor.process);
    let sharers = threads.iter().filter(|row| row.table == wait.table).count();
    // An event loop wakes itself by such a pipe.
    if wait.sleep.call.is_multiplexed() {
        return Role::OwnWriter;
    }
    // A write end that has been used may be used again, by a signal handler.
    // Where that cannot be told of a pipe (`/proc`), it is as most are.
    let end = wait.sleep.end;
    let used = match end.kind {
        Kind::Pipe | Kind::Fifo => end.head.is_some_and(|head| head != 0),
        Kind::Socketpair { .. } => true,
    };
    if within_reach && (sharers > 1 || used) {
        return Role::OwnWriter;
    }
    Role::Itself { made: true }
}

/// Without history, from what the tables show. In doubt, nothing is said.
fn inferred(
    holding: &Holding<'_>,
    wait: &Wait,
    pipe: Option<&Pipe>,
    evidence: &Evidence<'_>,
) -> Role {
    let reader = wait.actor.process;
    let holder = holding.process;
    let holders = evidence.holders(wait.sleep.end.pipe);
    // A pool has its ends from who is gone, not from one of those who are left.
    let links = holding.via().into_iter().flat_map(|via| via.chain());
    let mut givers = links.filter_map(|link| link.act.map(|act| act.actor.process));
    let given = givers.any(|giver| giver != holder && holders.contains_key(&giver));
    // Who waits for other things too may be a service, which wakes itself.
    let plain = !wait.sleep.call.is_multiplexed();
    if plain && !given && evidence.is_orphaned_pool(wait.sleep.end.pipe, reader) {
        return if holder == reader {
            Role::Itself { made: false }
        } else {
            Role::IdleHeir { left_by: None }
        };
    }
    if holder == reader {
        return own(holding, wait, evidence);
    }
    if evidence.is_ancestor(holder.pid, reader.pid) {
        // It is as likely as anybody to have made the pipe.
        return Role::Unknown;
    }
    if evidence.has_holder_above(wait.sleep.end.pipe, holder.pid) && !holders.contains_key(&reader)
    {
        // The holder further up decides.
        return Role::IdleHeir { left_by: None };
    }
    let numbers = |row: &&&EndRow| row.end.fd.0;
    let read_end = holding
        .rows
        .iter()
        .find(|row| row.end.mode.read && !row.end.mode.write);
    let write_end = holding
        .rows
        .iter()
        .filter(|row| row.end.mode.write)
        .min_by_key(numbers);
    let Some(write_end) = write_end else {
        return Role::Unknown;
    };
    // Both ends untouched, beside the reader's own, of a pipe that nobody has
    // written to: a fork, and nothing since.
    // Where that cannot be told, a pipe gets the benefit of the doubt, a pair of
    // sockets does not: it is made to ask and answer.
    let unused = match wait.sleep.end.kind {
        Kind::Pipe | Kind::Fifo => wait.sleep.end.head.is_none_or(|head| head == 0),
        Kind::Socketpair { .. } => false,
    };
    let untouched = unused
        && read_end
            .is_some_and(|row| row.end.is_same(&wait.sleep.end) && row.end.fd == wait.sleep.end.fd);
    // What is at another number than the pipe was made with was put there.
    let made_at = pipe.and_then(Pipe::created).map(|created| created.fds[1]);
    let in_place = write_end.end.fd.0 > 2 && made_at.is_none_or(|fd| fd == write_end.end.fd);
    if untouched && in_place && evidence.is_ancestor(reader.pid, holder.pid) {
        return Role::IdleHeir { left_by: None };
    }
    // A FIFO it may have opened itself, or a shell for it.
    let is_fifo = wait.sleep.end.kind == Kind::Fifo;
    let is_output = write_end.end.fd.is_output() && read_end.is_none() && !is_fifo;
    if is_output && is_abandoned(holder, wait, pipe, evidence) {
        return Role::Stray {
            writer: None,
            gone: true,
        };
    }
    Role::Unknown
}

/// Whether the parents of a process that writes to the pipe are all gone, so that nobody
/// waits for its end: it was adopted.
fn is_abandoned(
    holder: ProcKey,
    wait: &Wait,
    pipe: Option<&Pipe>,
    evidence: &Evidence<'_>,
) -> bool {
    let reader = wait.actor.process;
    let above_reader = evidence.parent(reader.pid);
    let Some(parent) = evidence.parent(holder.pid) else {
        return false;
    };
    if parent == INIT && above_reader != Some(INIT) {
        return true;
    }
    // Others adopt too (`prctl(2)`, PR_SET_CHILD_SUBREAPER), but may have started it as
    // well; and where the reader was adopted like it, the two ends may have been made by who
    // is gone. In both cases the pipe would be the input of the reader, or its writer be
    // there before it. Otherwise it was begun below the reader, which made the pipe.
    let adopts = parent == INIT
        || above_reader.is_some_and(|above| above != parent && evidence.is_ancestor(parent, above));
    let created = pipe.and_then(Pipe::created);
    let inherited = created.is_none_or(|created| created.act.time < Ktime(holder.start));
    adopts && inherited && wait.sleep.end.fd.0 > 2 && reader.age() < holder.age()
}

/// Who adopts processes whose parents have ended.
pub(super) const INIT: Pid = Pid(1);
