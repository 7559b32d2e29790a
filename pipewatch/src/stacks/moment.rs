//! Processes as they have shown themselves since a moment: one look serves all questions
//! that were asked before it, since of many hangs at once most concern the same processes.

use std::{collections::BTreeMap, time::Instant};

use blazesym::symbolize::Symbolizer;

use super::{Question, process::Process, python, unwind::Addresses};
use crate::ids::{ProcKey, Tid};

/// A process, as far as it shows itself.
pub(super) struct Seen {
    pub(super) process: Option<Process>,
    pub(super) python: Vec<python::Thread>,
    /// What was found of the native stacks of its threads, by their ids.
    pub(super) native: BTreeMap<Tid, Addresses>,
}

impl Seen {
    /// What shows itself now.
    fn now(key: ProcKey) -> Self {
        let process = Process::open(key);
        let python = process.as_ref().and_then(python::threads);
        Self {
            process,
            python: python.unwrap_or_default(),
            native: BTreeMap::new(),
        }
    }

    /// Nothing of a process that is not looked into.
    fn nothing() -> Self {
        Self {
            process: None,
            python: Vec::new(),
            native: BTreeMap::new(),
        }
    }
}

/// What was seen since a moment.
pub(super) struct Moment {
    begun: Instant,
    pub(super) processes: BTreeMap<ProcKey, Seen>,
    pub(super) symbolizer: Symbolizer,
}

impl Moment {
    /// Nothing is seen yet.
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            processes: BTreeMap::new(),
            symbolizer: Symbolizer::new(),
        }
    }

    /// Keeps what answers a question: what it concerns, if it was asked before this was seen.
    pub(super) fn turn_to(&mut self, question: &Question) {
        if question.asked > self.begun {
            *self = Self::begin();
        } else {
            let concerned = question.processes();
            self.processes.retain(|key, _| concerned.contains(key));
        }
    }

    /// What a process shows, unless it is `shunned`.
    pub(super) fn see(&mut self, key: ProcKey, shunned: &[ProcKey]) -> &mut Seen {
        self.processes.entry(key).or_insert_with(|| {
            if shunned.contains(&key) {
                Seen::nothing()
            } else {
                Seen::now(key)
            }
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
