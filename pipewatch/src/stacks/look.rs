//! Looking up all that a question is about, in the order in which it matters.

use std::collections::BTreeMap;

use super::{Question, Recorded, known::Known, merge, process::Process, python, unwind};
use crate::{
    finding::Act,
    ids::{ProcKey, Tid},
    stack::{Frame, Sight},
};

/// A process, as far as it shows itself.
struct Seen {
    process: Option<Process>,
    python: Vec<python::Thread>,
}

/// One look at all that a question is about.
pub(super) struct Look<'a, Tell> {
    known: &'a mut Known,
    processes: BTreeMap<ProcKey, Seen>,
    tell: Tell,
}

impl<'a, Tell: Fn(Sight)> Look<'a, Tell> {
    /// A look that tells each thing as it is seen.
    pub(super) fn new(known: &'a mut Known, tell: Tell) -> Self {
        Self {
            known,
            processes: BTreeMap::new(),
            tell,
        }
    }

    /// Looks, at what matters most first.
    pub(super) fn all(&mut self, question: &Question) {
        let reader = question.reader.act.actor;
        let waits = self.now(reader.process, reader.tid, &question.reader.addresses);
        let waits = if waits.is_empty() {
            self.recorded(&question.reader)
        } else {
            waits
        };
        self.tell_act(&question.reader.act, waits.clone());
        for holding in &question.holders {
            let executes = if holding.process == reader.process {
                waits.clone()
            } else {
                self.executes(holding.process)
            };
            if let Some(via) = &holding.via {
                let site = if holding.forked {
                    self.fork_site(via, &executes)
                } else {
                    Vec::new()
                };
                let frames = if site.is_empty() {
                    self.recorded(via)
                } else {
                    site
                };
                self.tell_act(&via.act, frames);
            }
            (self.tell)(Sight::Now {
                process: holding.process,
                frames: executes,
            });
        }
        for recorded in &question.acts {
            let frames = self.recorded(recorded);
            self.tell_act(&recorded.act, frames);
        }
    }

    fn tell_act(&mut self, act: &Act, frames: Vec<Frame>) {
        let (time, tid, process) = (act.time, act.actor.tid, act.actor.process);
        let thread = self.python(process).iter().find(|it| it.tid == tid);
        if let Some(name) = thread.and_then(|thread| thread.name.clone()) {
            (self.tell)(Sight::Thread { process, tid, name });
        }
        (self.tell)(Sight::Act { time, tid, frames });
    }

    fn seen(&mut self, key: ProcKey) -> &Seen {
        self.processes.entry(key).or_insert_with(|| {
            let process = Process::open(key);
            let python = process.as_ref().and_then(python::threads);
            Seen {
                process,
                python: python.unwrap_or_default(),
            }
        })
    }

    fn python(&mut self, key: ProcKey) -> &[python::Thread] {
        &self.seen(key).python
    }

    /// Where a thread was when the kernel looked.
    fn recorded(&mut self, recorded: &Recorded) -> Vec<Frame> {
        let key = recorded.act.actor.process;
        self.seen(key);
        let process = self
            .processes
            .get(&key)
            .and_then(|seen| seen.process.as_ref());
        let mut addresses = recorded.addresses.as_slice();
        if let Some(process) = process {
            // Registers that are no frame pointers lead anywhere; and after an exec
            // nothing is where it was.
            let code = addresses.iter().take_while(|&&at| process.is_code(at));
            addresses = &addresses[..code.count()];
        }
        let frames = self.known.frames(key, process, addresses);
        let complete = frames.last().is_some_and(is_first_function);
        merge::ended(frames, complete)
    }

    /// What a process executes: its first thread, which after a fork is the only
    /// one.
    fn executes(&mut self, key: ProcKey) -> Vec<Frame> {
        let threads = self.seen(key).process.as_ref().map(Process::threads);
        let first = threads.and_then(|threads| threads.into_iter().min());
        first.map_or_else(Vec::new, |tid| self.now(key, tid, &[]))
    }

    /// Where a thread is.
    fn now(&mut self, key: ProcKey, tid: Tid, walked: &[u64]) -> Vec<Frame> {
        let seen = self.seen(key);
        let python = seen.python.iter().find(|thread| thread.tid == tid);
        let python = python
            .map(|thread| thread.stack.clone())
            .unwrap_or_default();
        let Some(seen) = self.processes.get(&key) else {
            return Vec::new();
        };
        let Some(process) = &seen.process else {
            return Vec::new();
        };
        let sleep = process.sleep(tid);
        let native = sleep
            .as_ref()
            .map(|sleep| unwind::unwind(process, sleep, walked));
        // A thread that has moved on has another stack than the one that was read.
        let native = native
            .filter(|_| process.sleep(tid) == sleep)
            .unwrap_or_default();
        let frames = self.known.frames(key, Some(process), &native.frames);
        merge::merge(merge::ended(frames, native.complete), python)
    }

    /// Where a holder was forked, by its own stack.
    fn fork_site(&mut self, via: &Recorded, executes: &[Frame]) -> Vec<Frame> {
        let forker = via.act.actor;
        let threads = self.python(forker.process);
        let parent = threads.iter().find(|thread| thread.tid == forker.tid);
        let parent = parent.map_or(&[][..], |thread| &thread.stack.frames);
        merge::fork_site(&merge::python_of(executes), parent)
    }
}

/// Whether a frame is the one that a thread begins with, which nothing has called.
fn is_first_function(frame: &Frame) -> bool {
    let name = frame.function.as_deref().unwrap_or_default();
    matches!(
        name,
        "_start" | "clone" | "clone3" | "__clone" | "__clone3" | "thread_start"
    )
}
