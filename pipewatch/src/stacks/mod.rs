//! Where the parties of a hang are, and were: looked up when a hang is reported,
//! by a thread of its own, from a copy of the facts. Whatever fails costs the
//! stack. No process is stopped for it.

mod cpython;
mod desk;
mod known;
mod look;
mod merge;
mod modules;
mod moment;
mod native;
mod process;
mod python;
mod scout;
mod unwind;

use std::{collections::BTreeSet, time::Instant};

pub use self::{
    desk::{Desk, Left},
    scout::{Scout, Scouted},
};
use crate::{
    finding::{Act, Hang, Holder, ViaKind},
    ids::{Ktime, ProcKey, Tid},
    stack::{FramePointer, Sight, Walked},
};

/// Number of a question.
pub type Ticket = u64;

/// What is to be found out for a report.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which this is; answers have the same.
    pub ticket: Ticket,
    /// What is seen from then on answers it.
    asked: Instant,
    /// When nobody waits for the answer any more.
    until: Instant,
    reader: Act,
    holders: Vec<Holding>,
    /// The reader's and the holders' acts are not among them.
    acts: Vec<Recorded>,
    /// Of the reader and of the holders' first threads, as far as they sleep.
    frame_pointers: Vec<FramePointer>,
}

/// Something a thread did, and what the kernel side found on its stack then.
#[derive(Clone, Debug)]
struct Recorded {
    act: Act,
    walked: Walked,
}

#[derive(Clone, Debug)]
struct Holding {
    process: ProcKey,
    via: Option<Recorded>,
    /// The end came by a fork, and what forked is still on the stack.
    forked: bool,
}

/// Part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Something was found out.
    Sight(Ticket, Sight),
    /// That was all.
    Done(Ticket),
}

impl Question {
    /// What a report of this hang should tell that goes out then; `walked` and
    /// `frame_pointer` have what the kernel side found.
    pub fn about(
        ticket: Ticket,
        until: Instant,
        hang: &Hang,
        walked: impl Fn(&Act) -> Walked,
        frame_pointer: impl Fn(Tid) -> Option<FramePointer>,
    ) -> Self {
        let recorded = |act: Act| Recorded {
            act,
            walked: walked(&act),
        };
        let told = hang.looked_into();
        let holders = told.iter().map(|holder| Holding {
            process: holder.process,
            via: holder.via.act.map(recorded),
            forked: holder.via.kind == ViaKind::Fork && !holder.execed,
        });
        let created = hang.channel.created.map(|created| created.act);
        let steps = hang.timeline.iter().map(|step| step.act);
        let mut acts: Vec<Recorded> = Vec::new();
        for act in created.into_iter().chain(steps) {
            let of_reader = key(&act) == key(&hang.reader.act());
            let of_holder = |holder: &Holder| holder.via.act == Some(act);
            let known = acts.iter().any(|known| key(&known.act) == key(&act));
            if !of_reader && !known && !told.iter().any(of_holder) {
                acts.push(recorded(act));
            }
        }
        let reader = hang.reader.act();
        let first_threads = told.iter().map(|it| Tid(it.process.pid.0));
        let asleep = first_threads.chain([reader.actor.tid]);
        Self {
            ticket,
            asked: Instant::now(),
            until,
            reader,
            holders: holders.collect(),
            acts,
            frame_pointers: asleep.filter_map(frame_pointer).collect(),
        }
    }

    /// All that is looked into for it.
    fn processes(&self) -> BTreeSet<ProcKey> {
        let vias = self.holders.iter().filter_map(|it| it.via.as_ref());
        let acts = vias.chain(&self.acts).map(|recorded| &recorded.act);
        let actors = acts.chain([&self.reader]).map(|act| act.actor.process);
        let holders = self.holders.iter().map(|holding| holding.process);
        actors.chain(holders).collect()
    }
}

fn key(act: &Act) -> (Ktime, Tid) {
    (act.time, act.actor.tid)
}
