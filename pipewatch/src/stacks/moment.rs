//! Processes as they have shown themselves since a moment: one look serves all questions
//! that were asked before it, since of many hangs at once most concern the same processes.

use std::{collections::BTreeMap, time::Instant};

use blazesym::symbolize::Symbolizer;

use super::{
    Question,
    process::Process,
    python::{self, Interpreters},
    unwind::Addresses,
};
use crate::ids::{ProcKey, Tid};

/// A process, as far as it shows itself.
pub(super) struct Seen {
    pub(super) process: Option<Process>,
    pub(super) python: Vec<python::Thread>,
    /// What was found of the native stacks of its threads, by their ids.
    pub(super) native: BTreeMap<Tid, Addresses>,
}

impl Seen {
    fn of(process: Option<Process>, interpreters: &mut Interpreters) -> Self {
        let python = process.as_ref();
        let python = python.and_then(|process| python::threads(process, interpreters));
        Self {
            process,
            python: python.unwrap_or_default(),
            native: BTreeMap::new(),
        }
    }
}

/// What was seen since a moment.
pub(super) struct Moment {
    begun: Instant,
    pub(super) processes: BTreeMap<ProcKey, Seen>,
    interpreters: Interpreters,
    pub(super) symbolizer: Symbolizer,
}

impl Moment {
    /// Nothing is seen yet.
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            processes: BTreeMap::new(),
            interpreters: Interpreters::default(),
            symbolizer: Symbolizer::new(),
        }
    }

    /// Keeps what answers a question: what it concerns, if it was asked before this was seen.
    pub(super) fn turn_to(&mut self, question: &Question) {
        if question.asked > self.begun {
            *self = Self::begin();
        } else {
            let concerned = question.processes();
            self.processes.retain(|key, seen| {
                let process = seen.process.as_ref();
                concerned.contains(key) && process.is_none_or(|process| process.is_still(*key))
            });
        }
    }

    /// What a process shows, unless it is `shunned`.
    pub(super) fn see(&mut self, key: ProcKey, shunned: &[ProcKey]) -> &mut Seen {
        self.processes.entry(key).or_insert_with(|| {
            let shown = !shunned.contains(&key);
            let process = shown.then(|| Process::open(key)).flatten();
            Seen::of(process, &mut self.interpreters)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::Actor,
        finding::Act,
        ids::{Ktime, Pid},
    };

    /// Nobody with these ids lives.
    fn process(number: u32) -> ProcKey {
        ProcKey {
            pid: Pid(u32::MAX - number),
            start: 1,
        }
    }

    fn question(about: ProcKey) -> Question {
        let asked = Instant::now();
        let actor = Actor {
            process: about,
            tid: Tid(about.pid.0),
            comm: Default::default(),
        };
        Question {
            ticket: 1,
            asked,
            until: asked,
            reader: Act {
                time: Ktime(1),
                actor,
                stack: None,
            },
            holders: Vec::new(),
            acts: Vec::new(),
            frame_pointers: Vec::new(),
        }
    }

    #[test]
    fn what_was_seen_answers_what_was_asked_before_alone() {
        let [first, second] = [1, 2].map(process);
        let before = question(first);
        let mut moment = Moment::begin();
        for process in [first, second] {
            moment.see(process, &[]);
        }
        moment.turn_to(&before);
        let kept: Vec<&ProcKey> = moment.processes.keys().collect();
        assert_eq!(kept, [&first]);
        moment.turn_to(&question(first));
        assert!(moment.processes.is_empty());
    }
}
