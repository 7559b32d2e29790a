//! Looking up all that a question is about, in the order in which it matters.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Question, Recorded, cpython,
    desk::Progress,
    known::{Known, Names},
    merge,
    modules::Modules,
    moment::{Moment, Seen},
    native::Depth,
    process::Process,
    python,
    unwind::{self, Addresses},
};
use crate::{
    finding::Act,
    ids::{ProcKey, Tid},
    stack::{Frame, FramePointer, Sight},
};

/// One look at all that a question is about.
pub(super) struct Look<'a, Tell> {
    known: &'a mut Known,
    modules: &'a mut Modules,
    moment: &'a mut Moment,
    progress: &'a Progress,
    /// What is not looked into.
    shunned: Vec<ProcKey>,
    /// Children that have run no other program, by who forked them: in their memory
    /// is all that was in its.
    heirs: BTreeMap<ProcKey, ProcKey>,
    frame_pointers: Vec<FramePointer>,
    tell: Tell,
}

impl<'a, Tell: Fn(Sight)> Look<'a, Tell> {
    /// A look that tells each thing as it is seen.
    pub(super) fn new(
        known: &'a mut Known,
        modules: &'a mut Modules,
        moment: &'a mut Moment,
        progress: &'a Progress,
        shunned: Vec<ProcKey>,
        tell: Tell,
    ) -> Self {
        Self {
            known,
            modules,
            moment,
            progress,
            shunned,
            heirs: BTreeMap::new(),
            frame_pointers: Vec::new(),
            tell,
        }
    }

    /// Looks for what is quickly found, then for more of the same.
    pub(super) fn all(&mut self, question: &Question) {
        let forked = question.holders.iter().filter(|holding| holding.forked);
        self.frame_pointers.clone_from(&question.frame_pointers);
        self.heirs = forked
            .filter_map(|holding| Some((holding.via.as_ref()?.act.actor.process, holding.process)))
            .collect();
        for depth in [Depth::Names, Depth::Lines] {
            // Of many hangs at once some go without, and none later for that.
            if Instant::now() < question.until {
                self.at(question, depth);
            }
        }
    }

    fn at(&mut self, question: &Question, depth: Depth) {
        let reader = question.reader.actor;
        let waits = self.now(reader.process, reader.tid, depth);
        self.tell_act(&question.reader, waits.clone());
        for holding in &question.holders {
            let executes = if holding.process == reader.process {
                waits.clone()
            } else {
                self.executes(holding.process, depth)
            };
            if let Some(via) = &holding.via {
                let mut site = Vec::new();
                if holding.forked && via.walked.python.is_empty() {
                    site = self.fork_site(via, &executes);
                }
                if site.is_empty() {
                    site = self.recorded(via, depth);
                }
                self.tell_act(&via.act, site);
            }
            (self.tell)(Sight::Now {
                process: holding.process,
                frames: executes,
            });
        }
        for recorded in &question.acts {
            let frames = self.recorded(recorded, depth);
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

    fn seen(&mut self, key: ProcKey) -> &mut Seen {
        self.progress.at(key);
        self.moment.see(key, &self.shunned)
    }

    fn python(&mut self, key: ProcKey) -> &[python::Thread] {
        &self.seen(key).python
    }

    /// Where a thread was when the kernel looked.
    fn recorded(&mut self, recorded: &Recorded, depth: Depth) -> Vec<Frame> {
        let mut key = recorded.act.actor.process;
        if self.seen(key).process.is_none()
            && let Some(&heir) = self.heirs.get(&key)
            && self.seen(heir).process.is_some()
        {
            key = heir;
        }
        let mut addresses = recorded.walked.native.as_slice();
        let mut python = python::Stack::default();
        if let Some(process) = &self.seen(key).process {
            // Registers that are no frame pointers lead anywhere; and after an exec
            // nothing is where it was.
            let code = addresses.iter().take_while(|&&at| process.is_code(at));
            addresses = &addresses[..code.count()];
            python.frames = cpython::frames(process, &recorded.walked.python);
            python.runs = vec![python.frames.len()];
        }
        let frames = self.frames(key, addresses, depth);
        let complete = frames.last().is_some_and(is_first_function);
        merge::merge(merge::ended(frames, complete), python)
    }

    fn frames(&mut self, key: ProcKey, addresses: &[u64], depth: Depth) -> Vec<Frame> {
        self.progress.at(key);
        let seen = self.moment.processes.get(&key);
        let process = seen.and_then(|seen| seen.process.as_ref());
        let names = process.map(|process| Names {
            symbolizer: &self.moment.symbolizer,
            process,
            depth,
        });
        self.known.frames(key, names, addresses)
    }

    /// What a process executes: its first thread, which after a fork is the only
    /// one.
    fn executes(&mut self, key: ProcKey, depth: Depth) -> Vec<Frame> {
        let threads = self.seen(key).process.as_ref().map(Process::threads);
        let first = threads.and_then(|threads| threads.into_iter().min());
        first.map_or_else(Vec::new, |tid| self.now(key, tid, depth))
    }

    /// Where a thread is.
    fn now(&mut self, key: ProcKey, tid: Tid, depth: Depth) -> Vec<Frame> {
        let mut pointers = self.frame_pointers.iter();
        let pointer = pointers.find(|it| it.tid == tid).copied();
        self.seen(key);
        let Some(seen) = self.moment.processes.get_mut(&key) else {
            return Vec::new();
        };
        let python = seen.python.iter().find(|thread| thread.tid == tid);
        let python = python.cloned();
        if !seen.native.contains_key(&tid) {
            let process = seen.process.as_ref();
            let found =
                process.map(|process| native(self.modules, process, tid, python.as_ref(), pointer));
            seen.native.insert(tid, found.unwrap_or_default());
        }
        let native = seen.native.get(&tid).cloned().unwrap_or_default();
        let frames = self.frames(key, &native.frames, depth);
        let frames = merge::ended(frames, native.complete);
        merge::merge(frames, python.map(|it| it.stack).unwrap_or_default())
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

/// The native stack of a thread, if it is the same sleep from the look at its
/// frames of Python on until all is read.
fn native(
    modules: &mut Modules,
    process: &Process,
    tid: Tid,
    python: Option<&python::Thread>,
    pointer: Option<FramePointer>,
) -> Addresses {
    let Some(sleep) = process.sleep(tid) else {
        return Addresses::default();
    };
    if python.is_some_and(|thread| thread.sleep.as_ref() != Some(&sleep)) {
        return Addresses::default();
    }
    // Of another sleep it would lead to frames that are not there.
    let pointer = pointer.filter(|it| it.nvcsw == sleep.nvcsw);
    let native = unwind::unwind(modules, process, &sleep, pointer.map(|it| it.value));
    if process.sleep(tid) == Some(sleep) {
        native
    } else {
        Addresses::default()
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
