//! Fd tables: which pipe ends a process holds, and how it came by each.

use std::{collections::BTreeMap, ops::RangeInclusive, rc::Rc};

use crate::{
    event::End,
    finding::{Act, ViaKind},
    ids::{Fd, PipeId, ProcKey},
};

/// How many acts are kept of how a descriptor came to be where it is. A program may
/// duplicate it to and fro for ever, as a shell does with its standard output.
const LONGEST_CHAIN: usize = 64;

/// How a descriptor came to be where it is: the last act, and what went
/// before. The chain ends at the pipe's creation, or where nobody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// What kind of act.
    pub kind: ViaKind,
    /// When and by whom, if seen.
    pub act: Option<Act>,
    /// What it was copied or kept from, if known.
    pub from: Option<Rc<Provenance>>,
}

impl Provenance {
    /// Of a descriptor that was there before anybody looked, as most are of a host
    /// that is watched as a whole: they share one.
    pub fn unknown() -> Rc<Self> {
        thread_local! {
            static UNKNOWN: Rc<Provenance> = Rc::new(Provenance {
                kind: ViaKind::Unknown,
                act: None,
                from: None,
            });
        }
        UNKNOWN.with(Rc::clone)
    }

    /// By an act that was seen.
    pub fn seen(kind: ViaKind, act: Act, from: Option<Rc<Self>>) -> Rc<Self> {
        let from = from.map(|from| {
            if from.chain().count() < LONGEST_CHAIN {
                from
            } else {
                from.shortened()
            }
        });
        Rc::new(Self {
            kind,
            act: Some(act),
            from,
        })
    }

    /// Without what a process did again later; nothing is known where that is not
    /// much less.
    fn shortened(&self) -> Rc<Self> {
        let what = |link: &Self| (link.kind, link.act.map(|act| act.actor.process));
        let mut kept: Vec<&Self> = Vec::new();
        for link in self.chain() {
            // Where it begins decides what it is.
            let first = link.from.is_none();
            if first || kept.iter().all(|later| what(later) != what(link)) {
                kept.push(link);
            }
        }
        if kept.len() > LONGEST_CHAIN / 2 {
            return Self::unknown();
        }
        let link = |from: Option<Rc<Self>>, link: &&Self| {
            let Self { kind, act, .. } = **link;
            Some(Rc::new(Self { kind, act, from }))
        };
        let shortened = kept.iter().rev().fold(None, link);
        shortened.unwrap_or_else(Self::unknown)
    }

    /// This act, the one before, and so on.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |link| link.from.as_deref())
    }
}

/// By what a process showed that it knows an end and means to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It duplicated the end to a number of its choice.
    Duplicated,
    /// It opened the FIFO or pipe by a path.
    Opened,
    /// It cleared close-on-exec, so that a new program has the end.
    KeptForExec,
    /// It closed its copy of the other end by a call of its own.
    ClosedOther,
}

/// A sign, and the process that gave it, which a forked heir is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What it did.
    pub sign: Sign,
    /// Who.
    pub by: ProcKey,
}

/// The ends in a table, by descriptor and channel: a socket of a pair reads
/// from one channel and writes to another.
pub(super) type Slots = BTreeMap<(Fd, PipeId), Slot>;

/// The places of the descriptors from `first` to `last`.
pub(super) fn places(first: Fd, last: Fd) -> RangeInclusive<(Fd, PipeId)> {
    let lowest = PipeId { dev: 0, inode: 0 };
    let highest = PipeId {
        dev: u32::MAX,
        inode: u64::MAX,
    };
    (first, lowest)..=(last, highest)
}

/// One end in a table.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What it refers to.
    pub end: End,
    /// How it came to be here.
    pub via: Rc<Provenance>,
    /// Whether it was put to use, here or before it was inherited.
    pub intent: Option<Intent>,
}

impl Slot {
    /// What a new program has of it. A number that something was duplicated to was chosen
    /// for the program; a duplicate elsewhere was for the process, as a shell keeps one of
    /// what it redirects.
    pub(super) fn intent_for_program(&self) -> Option<Intent> {
        let intent = self.intent?;
        if intent.sign != Sign::Duplicated {
            return Some(intent);
        }
        let mut links = self.via.chain();
        let act = links.find(|link| link.kind == ViaKind::Dup)?.act?;
        let by = act.actor.process;
        Some(Intent { by, ..intent })
    }
}

/// A report of a table's contents that is not complete yet.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// The act that made the contents what they are; `None` if it changed
    /// nothing but the table they are in.
    pub(super) kind: Option<ViaKind>,
    pub(super) act: Act,
    /// What the table, or the one it is a copy of, held before.
    pub(super) before: Slots,
    /// All of that was known, so that anything else has arrived since by
    /// itself.
    pub(super) known: bool,
    /// The former contents are this table's own, so that what is not reported
    /// again is gone.
    pub(super) own: bool,
}

/// An fd table, as far as it concerns pipes.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// How many threads use it.
    pub(super) users: u32,
    /// Its contents were reported once, and every change that probes see since.
    pub(super) known: bool,
    pub(super) slots: Slots,
    pub(super) walk: Option<Walk>,
}

impl Table {
    /// The end that a descriptor is of a pipe, if it is one.
    pub fn slot(&self, fd: Fd, pipe: PipeId) -> Option<&Slot> {
        self.slots.get(&(fd, pipe))
    }

    /// All ends that a descriptor is.
    pub fn of_fd(&self, fd: Fd) -> impl Iterator<Item = &Slot> {
        self.slots.range(places(fd, fd)).map(|(_, slot)| slot)
    }

    /// All descriptors of one pipe.
    pub fn of_pipe(&self, pipe: PipeId) -> impl Iterator<Item = &Slot> {
        self.slots
            .values()
            .filter(move |slot| slot.end.pipe == pipe)
    }

    /// Notes that it is not known any more how the write ends of a pipe came here.
    pub(super) fn forget_history(&mut self, pipe: PipeId) {
        for slot in self.slots.values_mut() {
            if slot.end.pipe == pipe && slot.end.mode.write {
                slot.via = Provenance::unknown();
                slot.intent = None;
            }
        }
    }

    /// Notes a sign that concerns the write ends of a pipe. One that the same process gave
    /// before says more than a duplicate.
    pub(super) fn sign(&mut self, pipe: PipeId, intent: Intent) {
        let is_duplicate = intent.sign == Sign::Duplicated;
        for slot in self.slots.values_mut() {
            let stays = is_duplicate && slot.intent.is_some_and(|former| former.by == intent.by);
            if slot.end.pipe == pipe && slot.end.mode.write && !stays {
                slot.intent = Some(intent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Actor,
        ids::{Ktime, Pid, Tid},
    };

    fn act(time: u64, pid: u32) -> Act {
        Act {
            time: Ktime(time),
            actor: Actor {
                process: ProcKey {
                    pid: Pid(pid),
                    start: 1,
                },
                tid: Tid(pid),
                comm: "sh".into(),
            },
            stack: None,
        }
    }

    fn kinds(via: &Provenance) -> Vec<(ViaKind, u64)> {
        let time = |link: &Provenance| link.act.map_or(0, |act| act.time.0);
        via.chain().map(|link| (link.kind, time(link))).collect()
    }

    #[test]
    fn what_is_done_again_and_again_is_kept_for_the_last_times() {
        let mut via = Provenance::seen(ViaKind::Created, act(0, 1), None);
        via = Provenance::seen(ViaKind::Fork, act(1, 1), Some(via));
        for time in 2..1_000_000 {
            let kind = if time % 3 == 0 {
                ViaKind::Exec
            } else {
                ViaKind::Dup
            };
            via = Provenance::seen(kind, act(time, 2), Some(via));
        }
        let kinds = kinds(&via);
        assert!(kinds.len() <= LONGEST_CHAIN + 1, "{}", kinds.len());
        assert_eq!(kinds[0], (ViaKind::Exec, 999_999));
        assert_eq!(kinds[1], (ViaKind::Dup, 999_998));
        let first = [(ViaKind::Fork, 1), (ViaKind::Created, 0)];
        assert_eq!(kinds[kinds.len() - 2..], first);
    }

    #[test]
    fn of_too_many_generations_the_first_are_not_known() {
        let mut via = Provenance::seen(ViaKind::Created, act(0, 1), None);
        for pid in 1..1_000_000 {
            via = Provenance::seen(ViaKind::Fork, act(pid.into(), pid), Some(via));
        }
        let kinds = kinds(&via);
        assert!(kinds.len() <= LONGEST_CHAIN + 1, "{}", kinds.len());
        assert_eq!(kinds[0], (ViaKind::Fork, 999_999));
        assert_eq!(kinds.last(), Some(&(ViaKind::Unknown, 0)));
    }
}
