//! Fd tables: which pipe ends a process holds, and how it came by each.

use std::{collections::BTreeMap, ops::RangeInclusive, rc::Rc};

use crate::{
    event::End,
    finding::{Act, ViaKind},
    ids::{Fd, PipeId, ProcKey},
};

/// So many acts are remembered of how a descriptor came to be where it is.
const LINKS: usize = 32;

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
    /// Of a descriptor that was there before anybody looked.
    pub fn unknown() -> Rc<Self> {
        Rc::new(Self {
            kind: ViaKind::Unknown,
            act: None,
            from: None,
        })
    }

    /// By an act that was seen.
    pub fn seen(kind: ViaKind, act: Act, from: Option<Rc<Self>>) -> Rc<Self> {
        Rc::new(Self {
            kind,
            act: Some(act),
            from: from.map(Self::bounded),
        })
    }

    /// Without the links in the middle if there are so many that a descriptor which is
    /// handed on for ever would fill the memory: it stays known how the end left the
    /// pipe's maker, and how it came here last.
    fn bounded(from: Rc<Self>) -> Rc<Self> {
        if from.chain().count() < LINKS {
            return from;
        }
        let links = std::iter::successors(Some(&from), |link| link.from.as_ref());
        let links: Vec<&Rc<Self>> = links.collect();
        let oldest = Rc::clone(links[links.len() - LINKS / 4]);
        let newest = links[..LINKS / 4].iter().rev();
        newest.fold(oldest, |from, link| {
            Rc::new(Self {
                from: Some(from),
                ..(***link).clone()
            })
        })
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

    /// Notes a sign that concerns the write ends of a pipe.
    pub(super) fn sign(&mut self, pipe: PipeId, intent: Intent) {
        for slot in self.slots.values_mut() {
            if slot.end.pipe == pipe && slot.end.mode.write {
                slot.intent = Some(intent);
            }
        }
    }
}
