//! Which waits are hangs, and why: the judgement, on evidence laid before it.
//!
//! The present decides and history explains: the holders are those of the
//! kernel's tables, and what is known of how they came by their ends tells
//! which of them can be meant to write. Whenever one of them can, or when
//! history is missing, the wait counts as healthy.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{Actor, EndRow, Sleep, Snapshot, TaskRow},
    finding::{
        Act, Cause, Certainty, Channel, Confidence, HeldFd, Holder, Reader, Relation, Step,
        Verdict, Via, ViaKind, What,
    },
    ids::{Fd, Ktime, Pid, PipeId, ProcKey, TableId, Tid},
    world::{Pipe, Provenance, Sign, Slot, World},
};

/// A snapshot with what is looked up in it often.
pub struct Evidence<'a> {
    ends: BTreeMap<PipeId, Vec<&'a EndRow>>,
    tasks: BTreeMap<Tid, &'a TaskRow>,
    parents: BTreeMap<Pid, Pid>,
    lost: Option<Ktime>,
}

impl<'a> Evidence<'a> {
    /// `own` is pipewatch's process, whose descriptors do not count; `lost`
    /// tells when events were last known to be missing.
    pub fn new(snapshot: &'a Snapshot, own: Pid, lost: Option<Ktime>) -> Self {
        let mut ends: BTreeMap<PipeId, Vec<&EndRow>> = BTreeMap::new();
        for row in snapshot
            .ends
            .iter()
            .filter(|row| row.actor.process.pid != own)
        {
            ends.entry(row.end.pipe).or_default().push(row);
        }
        let tasks = snapshot
            .tasks
            .iter()
            .map(|row| (row.actor.tid, row))
            .collect();
        let parents = snapshot
            .tasks
            .iter()
            .map(|row| (row.actor.process.pid, row.parent))
            .collect();
        Self {
            ends,
            tasks,
            parents,
            lost,
        }
    }

    /// The thread, if it still exists.
    pub fn task(&self, tid: Tid) -> Option<&'a TaskRow> {
        self.tasks.get(&tid).copied()
    }

    /// The descriptors of a pipe.
    pub fn ends(&self, pipe: PipeId) -> &[&'a EndRow] {
        self.ends.get(&pipe).map_or(&[], Vec::as_slice)
    }

    /// From a process up to init, itself left out.
    fn ancestors(&self, pid: Pid) -> impl Iterator<Item = Pid> {
        // Rows are read one after the other, so that reparenting could show a
        // loop; no real line of ancestors is this long.
        std::iter::successors(self.parents.get(&pid).copied(), |pid| {
            self.parents.get(pid).copied()
        })
        .take(1000)
    }

    fn relation(&self, holder: Pid, reader: Pid) -> Relation {
        let parent_of = |pid| self.parents.get(&pid).copied();
        if holder == reader {
            Relation::Itself
        } else if parent_of(holder) == Some(reader) {
            Relation::Child
        } else if parent_of(reader) == Some(holder) {
            Relation::Parent
        } else if self.ancestors(holder).any(|pid| pid == reader) {
            Relation::Descendant
        } else if self.ancestors(reader).any(|pid| pid == holder) {
            Relation::Ancestor
        } else if parent_of(holder).is_some_and(|pid| pid.0 > 1)
            && parent_of(holder) == parent_of(reader)
        {
            Relation::Sibling
        } else {
            Relation::Unrelated
        }
    }
}

/// A thread that sleeps in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The thread.
    pub actor: Actor,
    /// Its fd table.
    pub table: TableId,
    /// Its sleep; `since` is when the wait for this pipe began.
    pub sleep: Sleep,
}

/// What is to be said of a wait whose EOF is withheld.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What it is.
    pub verdict: Verdict,
    /// How it came about.
    pub cause: Cause,
    /// Whether it can be meant.
    pub confidence: Confidence,
    /// Whether the whole history was seen.
    pub certainty: Certainty,
    /// Since when all this has been so.
    pub since: Ktime,
    /// Who waits.
    pub reader: Reader,
    /// For what.
    pub channel: Channel,
    /// Who holds a write end, most culpable first.
    pub holders: Vec<Holder>,
    /// How it came about.
    pub timeline: Vec<Step>,
    /// In words.
    pub why: String,
    /// What to change.
    pub hint: String,
}

/// What a holder of a write end is to the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It made the pipe.
    Creator,
    /// It arranged its ends on purpose.
    Arranged(Sign),
    /// An heir, and one of the heirs has answered.
    Answers,
    /// It is the process that waits.
    Reader,
    /// It got the end from a process that had arranged it.
    Plumbed,
    /// It has the end across an exec.
    Execed,
    /// How it came by the end was not seen.
    Unknown,
    /// It got the end by a fork and never touched it. The fork by which the
    /// end left the process that made the pipe, if that was seen.
    IdleHeir { left_by: Option<Act> },
}

impl Role {
    /// Why it counts as meant to write; `None` for an idle heir.
    fn excuse(self) -> Option<&'static str> {
        Some(match self {
            Self::Creator => "it made the pipe and keeps the write end",
            Self::Arranged(Sign::Duplicated) => "it put the write end to the number it wanted",
            Self::Arranged(Sign::KeptForExec) => "it cleared close-on-exec on the write end",
            Self::Arranged(Sign::ClosedOther) => "it closed its read end, so it knows the pipe",
            Self::Answers => "an heir of the pipe has written to it before",
            Self::Reader => "the waiting process has a write end of its own",
            Self::Plumbed => "its write end was arranged by the process it comes from",
            Self::Execed => "it is a program that was started with the write end",
            Self::Unknown => "how it came by the write end was not seen",
            Self::IdleHeir { .. } => return None,
        })
    }
}

/// A holder as found, with its role.
struct Found {
    holder: Holder,
    role: Role,
    via: Option<std::rc::Rc<Provenance>>,
}

/// Judges a wait. `None`: EOF is not withheld, the reader is about to go on.
pub fn judge(wait: &Wait, evidence: &Evidence<'_>, world: &mut World) -> Option<Judgement> {
    let id = wait.sleep.end.pipe;
    let rows = evidence.ends(id);
    let row = rows.first()?;
    if row.writers == 0 || rows.iter().any(|row| row.buffered) {
        return None;
    }
    let mut found = find_holders(wait, rows, evidence, world);
    let idle = |found: &Found| matches!(found.role, Role::IdleHeir { .. });
    let seen: BTreeSet<_> = rows
        .iter()
        .filter(|r| r.end.mode.write)
        .map(|r| r.end.file)
        .collect();
    // A writer that no table shows may be anybody's.
    let complete = seen.len() as u32 == row.writers;
    let mut leaked = complete && !found.is_empty() && found.iter().all(idle);
    if leaked
        && world
            .pipe_mut(id)
            .is_some_and(|pipe| pipe.heirs_answered(row.end.head))
    {
        leaked = false;
        for found in &mut found {
            found.role = Role::Answers;
            found.holder.used = true;
        }
    }
    found.sort_by_key(|found| (!idle(found), found.holder.process));

    let pipe = world.pipe(id);
    let created = pipe.and_then(|pipe| pipe.created);
    let reader = Reader {
        actor: wait.actor,
        fd: wait.sleep.end.fd,
        call: wait.sleep.call,
        since: wait.sleep.since,
        stack: wait.sleep.stack,
    };
    let channel = Channel {
        id,
        fifo: wait.sleep.end.fifo,
        buffered: false,
        created,
    };
    let known = created.is_some()
        && found
            .iter()
            .all(|f| f.via.as_ref().is_some_and(|v| seen_whole(v)));
    // A loss before the pipe was made took nothing of its history.
    let lossy = created.is_none_or(|created| evidence.lost >= Some(created.act.time));
    let exact = known && !lossy;
    let timeline = timeline(&reader, pipe, &found);
    let mut judgement = Judgement {
        verdict: Verdict::Waiting,
        cause: Cause::Unknown,
        confidence: Confidence::Likely,
        certainty: if exact {
            Certainty::Exact
        } else {
            Certainty::Inferred
        },
        since: wait.sleep.since,
        reader,
        channel,
        holders: Vec::new(),
        timeline,
        why: String::new(),
        hint: String::new(),
    };
    if leaked {
        explain_leak(&mut judgement, &found, pipe, world);
    } else {
        judgement.why = why_waiting(&found, complete);
        judgement.hint = "nothing to do: this wait looks meant".to_owned();
    }
    if !exact {
        let part = match (evidence.lost.is_some() && lossy, created) {
            (true, _) => "events were lost on the way",
            (false, None) => "the pipe was made before pipewatch came",
            (false, Some(_)) => "part of its history was not seen",
        };
        judgement.why = format!("{}; {part}", judgement.why);
    }
    judgement.why.push('.');
    judgement.hint.push('.');
    judgement.holders = found.into_iter().map(|found| found.holder).collect();
    Some(judgement)
}

fn find_holders(
    wait: &Wait,
    rows: &[&EndRow],
    evidence: &Evidence<'_>,
    world: &World,
) -> Vec<Found> {
    let mut by_process: BTreeMap<ProcKey, Vec<&EndRow>> = BTreeMap::new();
    for row in rows {
        by_process.entry(row.actor.process).or_default().push(row);
    }
    let holders = by_process.into_iter().filter_map(|(process, rows)| {
        let row = rows.iter().find(|row| row.end.mode.write)?;
        // The same description at the same number: history speaks of this.
        let slot = world
            .table(row.table)
            .and_then(|table| table.slot(row.end.fd))
            .filter(|slot| slot.end.is_same(&row.end));
        let role = role(wait, process, slot, world.pipe(row.end.pipe));
        let task = evidence.task(row.actor.tid);
        let act = slot.and_then(|slot| slot.via.act);
        let holder = Holder {
            process,
            parent: evidence
                .parents
                .get(&process.pid)
                .copied()
                .unwrap_or(Pid(0)),
            comm: task.map_or(row.actor.comm, |task| task.actor.comm),
            fds: rows
                .iter()
                .map(|row| HeldFd {
                    fd: row.end.fd,
                    mode: row.end.mode,
                    cloexec: row.end.cloexec,
                })
                .collect(),
            relation: evidence.relation(process.pid, wait.actor.process.pid),
            used: matches!(role, Role::Arranged(_) | Role::Answers),
            execed: slot.is_some_and(|slot| slot.via.kind == ViaKind::Exec),
            stopped: task.is_some_and(|task| task.stopped),
            via: Via {
                kind: slot.map_or(ViaKind::Unknown, |slot| slot.via.kind),
                act,
            },
        };
        Some(Found {
            holder,
            role,
            via: slot.map(|slot| slot.via.clone()),
        })
    });
    holders.collect()
}

/// The rules by which a holder counts as meant to write, the first that fits.
fn role(wait: &Wait, process: ProcKey, slot: Option<&Slot>, pipe: Option<&Pipe>) -> Role {
    let Some(slot) = slot else {
        return Role::Unknown;
    };
    let made_by = pipe
        .and_then(|pipe| pipe.created)
        .map(|created| created.act.actor.process);
    if made_by == Some(process) {
        return Role::Creator;
    }
    if process == wait.actor.process {
        return Role::Reader;
    }
    match slot.intent {
        Some(intent) if intent.by == process => return Role::Arranged(intent.sign),
        // What the pipe's maker did to its own copy tells nothing of its heirs.
        Some(intent) if Some(intent.by) != made_by => return Role::Plumbed,
        Some(_) | None => {}
    }
    if slot.via.chain().any(|link| link.kind == ViaKind::Exec) {
        return Role::Execed;
    }
    if slot.via.kind != ViaKind::Fork || made_by.is_none() {
        return Role::Unknown;
    }
    let forks = slot.via.chain().filter(|link| link.kind == ViaKind::Fork);
    let left_by = forks
        .filter_map(|link| link.act)
        .find(|act| Some(act.actor.process) == made_by);
    Role::IdleHeir { left_by }
}

/// Whether the chain of acts goes back to the pipe's creation.
fn seen_whole(via: &Provenance) -> bool {
    via.chain()
        .last()
        .is_some_and(|link| link.kind == ViaKind::Created)
}

fn explain_leak(judgement: &mut Judgement, found: &[Found], pipe: Option<&Pipe>, world: &World) {
    judgement.verdict = Verdict::Leaked;
    let created = judgement.channel.created;
    // Found holders are all idle heirs, or there is no leak.
    let Some(first) = found.first() else { return };
    let Role::IdleHeir { left_by } = first.role else {
        return;
    };
    let oldest = found
        .iter()
        .filter_map(|found| found.holder.via.act)
        .map(|act| act.time)
        .min();
    let released = pipe.and_then(|pipe| pipe.released);
    let moments = [Some(judgement.since), oldest, released];
    judgement.since = moments
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(judgement.since);

    let raced = |found: &Found| match (found.role, created) {
        (
            Role::IdleHeir {
                left_by: Some(fork),
            },
            Some(created),
        ) => fork.actor.tid != created.act.actor.tid,
        _ => false,
    };
    let race = found.iter().all(raced);
    let orphan = created.is_some_and(|created| !world.lives(created.act.actor.process));
    judgement.cause = if race { Cause::ForkRace } else { Cause::Fork };
    if race || orphan {
        judgement.confidence = Confidence::Certain;
    }
    let pid = first.holder.process.pid;
    let end = write_end(&first.holder);
    judgement.why = match (race, left_by, created) {
        (true, Some(fork), Some(created)) => {
            let (maker, forker) = (created.act.actor, fork.actor);
            format!(
                "thread {} ({}) forked while thread {} ({}) was at work with this pipe, between its \
                 creation and the close of the write end. Process {pid} inherited {end} by that, \
                 has never used it, and keeps the read from ending as long as it holds it",
                forker.tid, forker.comm, maker.tid, maker.comm,
            )
        }
        _ if orphan => format!(
            "the process that made the pipe has ended; process {pid} inherited {end} by a fork \
             and has never used it, so nobody will write and nobody closes",
        ),
        _ => format!(
            "process {pid} inherited {end} by a fork and has not used its copy since. Unless it is \
             still to answer, the read ends only when it closes that or exits",
        ),
    };
    let others = found.len() - 1;
    if others > 0 {
        let they = if others == 1 {
            "another process holds"
        } else {
            "other processes hold"
        };
        judgement.why = format!("{}. {others} {they} it in the same way", judgement.why);
    }
    let in_child = format!("close {end} in the child right after the fork");
    let advice = if race {
        "start children before threads, or use a start method that executes a new program \
         (posix_spawn, Python's spawn or forkserver): close-on-exec does not act on a fork alone"
    } else {
        "create the pipe after the fork, or start the child with a method that executes a new \
         program"
    };
    judgement.hint =
        format!("to free the reader now, end process {pid}. To mend it: {in_child}; {advice}");
}

/// "the write end (fd 19)" of a holder.
fn write_end(holder: &Holder) -> String {
    let fds: Vec<String> = holder
        .fds
        .iter()
        .filter(|held| held.mode.write)
        .map(|held| format!("fd {}", held.fd))
        .collect();
    format!("the write end ({})", fds.join(", "))
}

fn why_waiting(found: &[Found], complete: bool) -> String {
    let excuse = found
        .iter()
        .find_map(|found| Some((&found.holder, found.role.excuse()?)));
    match excuse {
        Some((holder, excuse)) => {
            format!(
                "process {} ({}) may still write: {excuse}",
                holder.process.pid, holder.comm
            )
        }
        None if complete => "nobody holds a write end".to_owned(),
        None => "the kernel counts a writer that no fd table shows".to_owned(),
    }
}

/// What led to the wait, in order of time: creation, the acts that brought the
/// end to its holders, closes by the creator and the reader, the read.
fn timeline(reader: &Reader, pipe: Option<&Pipe>, found: &[Found]) -> Vec<Step> {
    let created = pipe.and_then(|pipe| pipe.created);
    let mut steps = Vec::new();
    if let Some(created) = created {
        steps.push(Step {
            act: created.act,
            what: What::Pipe,
            fds: created.fds.to_vec(),
        });
    }
    for found in found {
        let mut child = found.holder.process.pid;
        // What is held now was handed on by the last act, and need not have
        // been the same before that.
        let mut fds: Vec<Fd> = found.holder.fds.iter().map(|held| held.fd).collect();
        for link in found.via.iter().flat_map(|via| via.chain()) {
            let Some(act) = link.act else { continue };
            let what = match link.kind {
                ViaKind::Fork => What::Fork { child },
                ViaKind::Exec => What::Exec,
                ViaKind::Dup => What::Dup,
                ViaKind::Created | ViaKind::Unknown => continue,
            };
            let fds = std::mem::take(&mut fds);
            steps.push(Step { act, what, fds });
            if link.kind == ViaKind::Fork {
                child = act.actor.process.pid;
            }
        }
    }
    let parties = [
        Some(reader.actor.process),
        created.map(|created| created.act.actor.process),
    ];
    let closes = pipe.into_iter().flat_map(|pipe| &pipe.closes);
    steps.extend(
        closes
            .filter(|step| parties.contains(&Some(step.act.actor.process)))
            .cloned(),
    );
    steps.push(Step {
        act: Act {
            time: reader.since,
            actor: reader.actor,
            stack: reader.stack,
        },
        what: What::Read(reader.call),
        fds: vec![reader.fd],
    });
    steps.sort_by_key(|step| step.act.time);
    // Several holders may share the beginning of their story.
    steps.dedup_by(|next, step| {
        let same = (next.act, next.what) == (step.act, step.what);
        if same && step.fds.is_empty() {
            step.fds = std::mem::take(&mut next.fds);
        }
        same
    });
    steps
}
