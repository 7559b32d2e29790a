//! Fd tables: which pipe ends a process holds, and how it came by each.

use std::{ops::Range, rc::Rc};

use crate::{
    event::End,
    finding::{Act, ViaKind},
    ids::{Fd, PipeId, ProcKey, StackId},
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
            static UNKNOWN: Rc<Provenance> = Provenance::unseen(ViaKind::Unknown);
        }
        UNKNOWN.with(Rc::clone)
    }

    /// By an act that no probe sees.
    pub fn unseen(kind: ViaKind) -> Rc<Self> {
        Rc::new(Self {
            kind,
            act: None,
            from: None,
        })
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

/// The ends in a table, in the order of their descriptors and channels: a socket of a
/// pair reads from one channel and writes to another. Most tables have few of them, and
/// there are many tables, so there is no room to spare between these.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Vec<Slot>);

impl Slots {
    /// Where an end is, or would be.
    fn place(&self, fd: Fd, pipe: PipeId) -> Result<usize, usize> {
        let place = |slot: &Slot| (slot.end.fd, slot.end.pipe);
        self.0.binary_search_by_key(&(fd, pipe), place)
    }

    /// Where the descriptors from `first` to `last` are.
    fn places(&self, first: Fd, last: Fd) -> Range<usize> {
        let begin = self.0.partition_point(|slot| slot.end.fd < first);
        let count = self.0[begin..].partition_point(|slot| slot.end.fd <= last);
        begin..begin + count
    }

    pub(super) fn get(&self, fd: Fd, pipe: PipeId) -> Option<&Slot> {
        let place = self.place(fd, pipe).ok()?;
        self.0.get(place)
    }

    pub(super) fn get_mut(&mut self, fd: Fd, pipe: PipeId) -> Option<&mut Slot> {
        let place = self.place(fd, pipe).ok()?;
        self.0.get_mut(place)
    }

    /// The ends that descriptors from `first` to `last` are.
    pub(super) fn range(&self, first: Fd, last: Fd) -> &[Slot] {
        &self.0[self.places(first, last)]
    }

    /// The same, to change what they are.
    pub(super) fn range_mut(&mut self, first: Fd, last: Fd) -> &mut [Slot] {
        let places = self.places(first, last);
        &mut self.0[places]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter()
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.0.iter_mut()
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        match self.place(slot.end.fd, slot.end.pipe) {
            Ok(place) => self.0[place] = slot,
            Err(place) => self.0.insert(place, slot),
        }
    }

    /// Removes those of the descriptors from `first` to `last` that are wanted.
    pub(super) fn take(&mut self, first: Fd, last: Fd, wanted: impl Fn(&End) -> bool) -> Vec<Slot> {
        let places = self.places(first, last);
        let taken = self.0.extract_if(places, |slot| wanted(&slot.end));
        taken.collect()
    }

    /// Makes room for no more than that many others.
    pub(super) fn reserve(&mut self, count: usize) {
        self.0.reserve_exact(count);
    }

    /// Gives back what room is left for more.
    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}

impl IntoIterator for Slots {
    type Item = Slot;
    type IntoIter = std::vec::IntoIter<Slot>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One end in a table.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What it refers to.
    pub end: End,
    /// How it came to be here.
    pub via: Rc<Provenance>,
    /// Whether it was put to use, here or before it was inherited.
    pub intent: Option<Rc<Intent>>,
}

impl Slot {
    /// An end that another process has passed on.
    pub(super) fn passed(end: End) -> Self {
        let via = Provenance::unseen(ViaKind::Passed);
        Self {
            end,
            via,
            intent: None,
        }
    }

    /// What a new program has of it. A number that something was duplicated to was chosen
    /// for the program; a duplicate elsewhere was for the process, as a shell keeps one of
    /// what it redirects.
    pub(super) fn intent_for_program(&self) -> Option<Rc<Intent>> {
        let intent = self.intent.as_ref()?;
        if intent.sign != Sign::Duplicated {
            return Some(Rc::clone(intent));
        }
        let mut links = self.via.chain();
        let act = links.find(|link| link.kind == ViaKind::Dup)?.act?;
        let by = act.actor.process;
        Some(Rc::new(Intent { by, ..**intent }))
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
    pub(super) walk: Option<Box<Walk>>,
}

impl Table {
    /// The end that a descriptor is of a pipe, if it is one.
    pub fn slot(&self, fd: Fd, pipe: PipeId) -> Option<&Slot> {
        self.slots.get(fd, pipe)
    }

    /// All ends that a descriptor is.
    pub fn of_fd(&self, fd: Fd) -> impl Iterator<Item = &Slot> {
        self.slots.range(fd, fd).iter()
    }

    /// All descriptors of one pipe.
    pub fn of_pipe(&self, pipe: PipeId) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.end.pipe == pipe)
    }

    /// The stacks of what brought the ends here, and may yet.
    pub(super) fn stacks(&self) -> impl Iterator<Item = StackId> {
        let walk = self.walk.iter();
        let before = walk.clone().flat_map(|walk| walk.before.iter());
        let chains = self.slots.iter().chain(before);
        let acts = chains.flat_map(|slot| slot.via.chain().filter_map(|link| link.act));
        let acts = acts.chain(walk.map(|walk| walk.act));
        acts.filter_map(|act| act.stack)
    }

    /// Notes that it is not known any more how the write ends of a pipe came here.
    pub(super) fn forget_history(&mut self, pipe: PipeId) {
        for slot in self.slots.iter_mut() {
            if slot.end.pipe == pipe && slot.end.mode.write {
                slot.via = Provenance::unknown();
                slot.intent = None;
            }
        }
    }

    /// Notes a sign that concerns the write ends of a pipe. One that the same process gave
    /// before says more than a duplicate.
    pub(super) fn sign(&mut self, pipe: PipeId, intent: Intent) {
        let intent = Rc::new(intent);
        let is_duplicate = intent.sign == Sign::Duplicated;
        for slot in self.slots.iter_mut() {
            let former = slot.intent.as_ref();
            let stays = is_duplicate && former.is_some_and(|former| former.by == intent.by);
            if slot.end.pipe == pipe && slot.end.mode.write && !stays {
                slot.intent = Some(Rc::clone(&intent));
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
