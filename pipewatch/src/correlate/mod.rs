//! Which waits are hangs, and why: the judgement, on evidence laid before it.
//!
//! The present decides and history explains: the holders are those of the
//! kernel's tables, and what is known of how they came by their ends tells
//! which of them can be meant to write (`role`). Whenever one of them can, the
//! wait counts as healthy.

mod evidence;
mod role;
mod timeline;
mod words;

use std::{iter, rc::Rc};

pub use self::evidence::Evidence;
use self::{
    role::{Holding, Role, role},
    words::{Conclusion, Words},
};
use crate::{
    event::{Actor, EndRow, Kind, Sleep},
    finding::{
        Cause, Certainty, Channel, Confidence, HeldFd, Holder, LOOKED_INTO, Reader, Relation, Step,
        Verdict, Via, ViaKind,
    },
    ids::{Fd, Ktime, Pid, ProcKey, TableId},
    world::{Pipe, Provenance, Slot, World},
};

/// A thread that sleeps in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The thread.
    pub actor: Actor,
    /// Its fd table.
    pub table: TableId,
    /// Its sleep; `since` is when the wait for this pipe began.
    pub sleep: Sleep,
    /// It waits for nothing else.
    pub alone: bool,
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
    /// As [`Hang::judged`](crate::finding::Hang::judged).
    pub judged: bool,
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

/// Whether the reader itself, or who made the pipe, is enough to see that a wait is healthy:
/// [`judge`] would say so, and that it could be judged. Where a pool of workers reads a pipe
/// that all of them hold, it would look at each of them for each of them.
pub fn is_plainly_healthy(wait: &Wait, evidence: &Evidence<'_>, world: &World) -> bool {
    let id = wait.sleep.end.pipe;
    let pipe = world.pipe(id);
    let holders = evidence.holders(id);
    let tells = |process: &ProcKey| {
        holders.get(process).is_some_and(|rows| {
            let role = role(&Holding::new(*process, rows, world), wait, pipe, evidence);
            let keeps_its_own = role == Role::Itself { made: true } && holders.len() > 1;
            keeps_its_own || role.is_known() && role.excuse().is_some()
        })
    };
    let maker = pipe.and_then(Pipe::created);
    let maker = maker.map(|created| created.act.actor.process);
    evidence.withheld(id).is_some()
        && iter::once(wait.actor.process)
            .chain(maker)
            .any(|it| tells(&it))
}

/// Judges a wait. `None`: EOF is not withheld, the reader is about to go on.
pub fn judge(wait: &Wait, evidence: &Evidence<'_>, world: &mut World) -> Option<Judgement> {
    let id = wait.sleep.end.pipe;
    let row = evidence.withheld(id)?;
    let complete = evidence.writers_shown(id) == row.writers as usize;
    let mut found: Vec<(Holding<'_>, Role)> = evidence
        .holders(id)
        .iter()
        .map(|(process, rows)| {
            let holding = Holding::new(*process, rows, world);
            let role = role(&holding, wait, world.pipe(id), evidence);
            (holding, role)
        })
        .collect();
    let seen_made = world.pipe(id).is_some_and(|pipe| pipe.created().is_some());
    let mut verdict = verdict(&found, complete, seen_made);
    let answered = match verdict {
        Verdict::Leaked => {
            heirs_answered(world, wait, row, None) || wrote_to_maker(&found, wait, world)
        }
        Verdict::Orphaned => heirs_answered(world, wait, row, evidence.lost),
        // What somebody writes who is meant to is no answer of the heirs.
        Verdict::SelfHeld | Verdict::InFlight | Verdict::Waiting => false,
    };
    if answered {
        verdict = Verdict::Waiting;
        for (_, role) in &mut found {
            *role = Role::Answers;
        }
    }
    // Those who are to blame come first, the reader itself after the others.
    let is_reader = |role: &Role| matches!(role, Role::Itself { .. });
    found.sort_by_key(|(holding, role)| {
        let excused = role.excuse().is_some();
        let left = role.is_left_behind();
        let process = holding.process;
        (excused, !role.is_known(), is_reader(role), !left, process)
    });

    let own = world.slot(wait.actor.process, wait.table, wait.sleep.end);
    let pipe = world.pipe(id);
    let created = pipe.and_then(Pipe::created);
    let reader = Reader {
        actor: wait.actor,
        fd: wait.sleep.end.fd,
        call: wait.sleep.call,
        since: wait.sleep.since,
    };
    let maker = created.map(|created| created.act.actor.process);
    let race = found.iter().all(|(_, role)| is_race(*role, pipe));
    let maker_gone = maker.is_some_and(|maker| !world.lives(maker));
    let stuck = |holding: &Holding<'_>| evidence.is_stuck_on(holding.process, wait);
    let cycle = !found.is_empty() && found.iter().all(|(holding, _)| stuck(holding));
    let itself = Role::Itself { made: false };
    let pool = found.iter().any(|(_, role)| *role == itself)
        && (maker_gone || evidence.is_orphaned_pool(id, wait.actor.process));
    // Who was given the end may have been given it to answer.
    let kept = found.iter().any(|(_, role)| *role == Role::Keeper);
    // Without the kernel's counts there may be writers that nobody shows.
    let counted = !matches!(
        (wait.sleep.end.kind, wait.sleep.end.head),
        (Kind::Pipe | Kind::Fifo, None)
    );
    let certain = counted
        && match verdict {
            Verdict::Leaked => {
                let gone = maker_gone && !kept;
                race || gone || cycle || found.iter().all(|f| is_accident(f, evidence, wait))
            }
            Verdict::Orphaned => found.iter().all(is_program_left_behind),
            Verdict::SelfHeld => found.iter().all(|(_, role)| *role == itself),
            Verdict::InFlight | Verdict::Waiting => false,
        };
    let certainty = certainty(&found, pipe, evidence);
    let judged = verdict != Verdict::Waiting || is_seen_healthy(&found, complete);
    let Words { mut why, mut hint } = match verdict {
        Verdict::Waiting => words::of_wait(&found, id, complete, judged, evidence),
        Verdict::Leaked | Verdict::Orphaned | Verdict::SelfHeld | Verdict::InFlight => {
            let conclusion = Conclusion {
                verdict,
                created,
                race,
                maker_gone,
                cycle,
                pool,
                certain,
                counted,
                exact: certainty == Certainty::Exact,
            };
            words::of_hang(conclusion, &found, wait, evidence)
        }
    };
    if certainty == Certainty::Inferred {
        why = format!("{why}; {}", missing_part(wait, pipe, evidence, counted));
    }
    // Who looks for the rule finds it by its name (ARCHITECTURE.md).
    let rule = found
        .iter()
        .map(|(_, role)| *role)
        .find(|role| verdict != Verdict::Waiting || role.excuse().is_some());
    let rule = rule.map_or("in flight", Role::name);
    why = format!("{why} (rule: {rule}).");
    hint.push('.');
    Some(Judgement {
        verdict,
        cause: cause(verdict, &found, race),
        confidence: if certain {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        certainty,
        judged,
        since: since(wait, &found, pipe),
        channel: Channel {
            id,
            kind: wait.sleep.end.kind,
            buffered: false,
            created,
        },
        timeline: timeline::timeline(
            &reader,
            own.as_ref().map(|slot| slot.via.as_ref()),
            wait.sleep.end.kind,
            pipe,
            found.iter().take(LOOKED_INTO).map(|(holding, _)| holding),
        ),
        reader,
        holders: found
            .iter()
            .map(|found| holder(found, own.as_ref(), evidence, wait))
            .collect(),
        why,
        hint,
    })
}

/// `complete`: the fd tables show every writer that the kernel counts. One that
/// they do not show may also live outside of this pid namespace, unless the
/// pipe was seen to be made inside.
fn verdict(found: &[(Holding<'_>, Role)], complete: bool, seen_made: bool) -> Verdict {
    let all = |is: fn(&Role) -> bool| found.iter().all(|(_, role)| is(role));
    if found.is_empty() && !complete && seen_made {
        Verdict::InFlight
    } else if found.is_empty() || !complete || !all(|role| role.excuse().is_none()) {
        Verdict::Waiting
    } else if all(|role| matches!(role, Role::Itself { .. })) {
        Verdict::SelfHeld
    } else if !all(|role| *role != (Role::Itself { made: true })) {
        // The reader keeps an end of its own, so it does not wait for the end
        // of the file, and the others may answer.
        Verdict::Waiting
    } else if !all(|role| !role.is_left_behind()) {
        Verdict::Orphaned
    } else {
        Verdict::Leaked
    }
}

/// Whether it was seen that somebody may be meant to write, and not only nothing that
/// speaks against it.
fn is_seen_healthy(found: &[(Holding<'_>, Role)], complete: bool) -> bool {
    let meant = |role: &Role| {
        *role == Role::Itself { made: true } || role.is_known() && role.excuse().is_some()
    };
    found.iter().any(|(_, role)| meant(role)) || found.is_empty() && complete
}

fn cause(verdict: Verdict, found: &[(Holding<'_>, Role)], race: bool) -> Cause {
    let all = |is: fn(&Role) -> bool| found.iter().all(|(_, role)| is(role));
    let by = |kind| {
        let via = found.first().and_then(|(holding, _)| holding.via());
        via.is_some_and(|via| via.chain().any(|link| link.kind == kind))
    };
    match verdict {
        Verdict::Waiting => Cause::Unknown,
        Verdict::InFlight => Cause::Passed,
        Verdict::Leaked if found.iter().any(|(_, role)| *role == Role::Keeper) => Cause::Passed,
        Verdict::Leaked if race => Cause::ForkRace,
        Verdict::Leaked if all(|role| matches!(role, Role::ExecHeir { .. })) => Cause::Exec,
        Verdict::Leaked => Cause::Fork,
        Verdict::Orphaned if by(ViaKind::Fork) => Cause::Fork,
        Verdict::SelfHeld if by(ViaKind::Exec) => Cause::Exec,
        Verdict::SelfHeld if by(ViaKind::Fork) => Cause::Fork,
        Verdict::SelfHeld if by(ViaKind::Dup) => Cause::Dup,
        Verdict::Orphaned | Verdict::SelfHeld => Cause::Unknown,
    }
}

/// Whether one of the heirs has written, who alone are left. What came before a look
/// after events were `lost` may be of a writer of whom nothing was seen.
fn heirs_answered(world: &mut World, wait: &Wait, row: &EndRow, lost: Option<Ktime>) -> bool {
    world.pipe_mut(row.end.pipe).is_some_and(|pipe| {
        pipe.doubt_answers(lost, wait.sleep.since);
        pipe.heirs_answered(row.end.head)
    })
}

/// The reader made the pipe, so that what was written since it forked an heir
/// came from there, though it had its own write end then; unless others had one
/// too and are gone.
fn wrote_to_maker(found: &[(Holding<'_>, Role)], wait: &Wait, world: &World) -> bool {
    let Some(pipe) = world.pipe(wait.sleep.end.pipe) else {
        return false;
    };
    let created = pipe.created().map(|created| created.act.actor.process);
    let wrote = |(holding, _): &(Holding<'_>, Role)| {
        let slot = holding.slot.as_ref();
        let fork = slot.and_then(|slot| slot.via.act).map(|act| act.time);
        fork.is_some()
            && pipe.left() < fork
            && slot.is_some_and(|slot| slot.end.head != wait.sleep.end.head)
    };
    created == Some(wait.actor.process) && found.iter().any(wrote)
}

/// The end left the process that made the pipe by another thread's fork.
fn is_race(role: Role, pipe: Option<&Pipe>) -> bool {
    match (role, pipe.and_then(Pipe::created)) {
        (
            Role::IdleHeir {
                left_by: Some(fork),
            },
            Some(created),
        ) => fork.actor.tid != created.act.actor.tid,
        _ => false,
    }
}

/// A program got the end that nobody had prepared for it, and it is not what
/// the reader itself started.
fn is_accident(found: &(Holding<'_>, Role), evidence: &Evidence<'_>, wait: &Wait) -> bool {
    let (holding, role) = found;
    let relation = evidence.relation(holding.process.pid, wait.actor.process.pid);
    *role == (Role::ExecHeir { prepared: false }) && relation != Relation::Child
}

/// A program that a writer, which was seen and is gone, has left behind with an end at a number
/// that it cannot know of: what is its output it may write to. A mere fork of that writer may be
/// a daemon that answers once it is ready.
fn is_program_left_behind((holding, role): &(Holding<'_>, Role)) -> bool {
    let program = holding.via().is_some_and(|via| via.kind == ViaKind::Exec);
    let writes = holding.rows.iter().filter(|row| row.end.mode.write);
    let mut fds = writes.map(|row| row.end.fd);
    let left = matches!(
        role,
        Role::Stray {
            writer: Some(_),
            gone: true
        }
    );
    program && !fds.any(Fd::is_output) && left
}

/// It came by the end without being meant to use it, and knows nothing of the pipe.
fn is_heir(holding: &Holding<'_>, wait: &Wait, evidence: &Evidence<'_>) -> bool {
    let role = role(holding, wait, None, evidence);
    matches!(role, Role::IdleHeir { .. } | Role::Stray { .. })
}

/// Since when all has been as it is: the wait, the heirs, and that nobody who
/// was meant to write has an end.
fn since(wait: &Wait, found: &[(Holding<'_>, Role)], pipe: Option<&Pipe>) -> Ktime {
    let acts = found.iter().filter_map(|(holding, _)| holding.via()?.act);
    let oldest = acts.map(|act| act.time).min();
    let released = pipe.and_then(Pipe::released);
    let moments = [Some(wait.sleep.since), oldest, released];
    moments
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(wait.sleep.since)
}

fn certainty(
    found: &[(Holding<'_>, Role)],
    pipe: Option<&Pipe>,
    evidence: &Evidence<'_>,
) -> Certainty {
    let created = pipe.and_then(Pipe::created);
    // A loss before the pipe was made took nothing of its history.
    let lossless = created.is_some_and(|created| evidence.lost < Some(created.act.time));
    let seen_whole = |via: &Provenance| {
        via.chain()
            .last()
            .is_some_and(|link| link.kind == ViaKind::Created)
    };
    let known = found
        .iter()
        .all(|(holding, _)| holding.via().is_some_and(|via| seen_whole(via)));
    if lossless && known {
        Certainty::Exact
    } else {
        Certainty::Inferred
    }
}

/// Which part of the history is missing.
fn missing_part(
    wait: &Wait,
    pipe: Option<&Pipe>,
    evidence: &Evidence<'_>,
    counted: bool,
) -> &'static str {
    let created = pipe.and_then(Pipe::created);
    match (created, evidence.lost) {
        (Some(created), Some(lost)) if lost >= created.act.time => "events were lost on the way",
        (Some(_), _) => "part of its history was not seen",
        (None, _) if wait.sleep.end.kind == Kind::Fifo => "when the FIFO was opened was not seen",
        (None, _) if !counted => "who made the pipe was not seen",
        (None, _) => "the pipe was made before pipewatch came",
    }
}

/// What a holder is to the reader: by the tree of processes, or, if who was between them has
/// ended, by the forks that brought them their ends.
fn relation(
    holding: &Holding<'_>,
    own: Option<&Slot>,
    evidence: &Evidence<'_>,
    reader: ProcKey,
) -> Relation {
    let shown = evidence.relation(holding.process.pid, reader.pid);
    if shown != Relation::Unrelated {
        return shown;
    }
    let parent = forkers(holding.via()).next();
    if forkers(holding.via()).any(|forker| forker == reader) {
        Relation::Descendant
    } else if parent.is_some() && parent == forkers(own.map(|slot| &slot.via)).next() {
        Relation::Sibling
    } else {
        Relation::Unrelated
    }
}

/// The processes whose forks have brought an end, the last one first.
fn forkers(via: Option<&Rc<Provenance>>) -> impl Iterator<Item = ProcKey> {
    let links = via.into_iter().flat_map(|via| via.chain());
    let forks = links.filter(|link| link.kind == ViaKind::Fork);
    forks.filter_map(|link| link.act.map(|act| act.actor.process))
}

fn holder(
    found: &(Holding<'_>, Role),
    own: Option<&Slot>,
    evidence: &Evidence<'_>,
    wait: &Wait,
) -> Holder {
    let (holding, role) = found;
    let pid = holding.process.pid;
    let via = holding.via();
    let threads = evidence.threads(holding.process);
    let leader = threads
        .iter()
        .find(|row| row.actor.tid.0 == pid.0)
        .or(threads.first());
    let row_comm = holding
        .rows
        .first()
        .map(|row| row.actor.comm)
        .unwrap_or_default();
    Holder {
        process: holding.process,
        parent: evidence.parent(pid).unwrap_or(Pid(0)),
        comm: leader.map_or(row_comm, |row| row.actor.comm),
        fds: holding
            .rows
            .iter()
            .map(|row| HeldFd {
                fd: row.end.fd,
                mode: row.end.mode,
                cloexec: row.end.cloexec,
            })
            .collect(),
        relation: relation(holding, own, evidence, wait.actor.process),
        used: matches!(role, Role::Arranged(_) | Role::Answers),
        heir: is_heir(&holding.without_history(), wait, evidence),
        execed: via.is_some_and(|via| via.kind == ViaKind::Exec),
        stopped: threads.iter().any(|row| row.stopped),
        via: Via {
            kind: via.map_or(ViaKind::Unknown, |via| via.kind),
            act: via.and_then(|via| via.act),
        },
    }
}
