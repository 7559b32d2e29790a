//! The Python stacks of a live process of CPython, which is not stopped.

use std::collections::BTreeMap;

use py_spy::{Config, PythonSpy, StackTrace, config::LockingStrategy};

use super::{
    cpython,
    process::{FileId, Process, Sleep},
};
use crate::{
    ids::Tid,
    stack::{Frame, FrameKind},
};

/// Where glibc and musl keep the id of a thread, in bytes from what Python knows
/// a thread by (`pthread_self`): `struct pthread.tid` of both.
#[cfg(target_arch = "x86_64")]
const TID_OFFSETS: [u64; 2] = [720, 48];
#[cfg(target_arch = "aarch64")]
const TID_OFFSETS: [u64; 2] = [208, 32];

/// So many interpreters are remembered.
const INTERPRETERS: usize = 64;

/// A thread that runs Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) tid: Tid,
    /// What the program calls it.
    pub(super) name: Option<String>,
    pub(super) stack: Stack,
    /// Where it slept before it was looked at last.
    pub(super) sleep: Option<Sleep>,
}

/// Frames of Python.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    /// Innermost first. One that is empty stands for those that changed while
    /// they were looked at.
    pub(super) frames: Vec<Frame>,
    /// How many of these each call of the interpreter's native function runs,
    /// innermost first. Together all of them.
    pub(super) runs: Vec<usize>,
}

/// Where the interpreter lies in processes: most often the same in forks, which have their
/// memory from one another, until they execute something else. To find it takes as long as
/// all else together.
#[derive(Default)]
pub(super) struct Interpreters(BTreeMap<Origin, PythonSpy>);

/// What forks have in common: where the program and its stack were put, and which file of
/// Python, where.
type Origin = (u64, u64, Option<FileId>, u64);

impl Interpreters {
    /// Who reads the stacks of a process, if it is one of CPython, and what that read first.
    fn of(&mut self, process: &Process) -> Option<(&mut PythonSpy, Vec<StackTrace>)> {
        let mut maps = process.maps.iter();
        let python = maps.find(|map| map.executable && cpython::is_python(map.name()))?;
        let (layout, file) = (process.layout(), process.code_of(python));
        let origin = (layout.code, layout.stack, file, python.range.start);
        let pid = i32::try_from(process.pid.0).ok()?;
        let of_fork = self.0.remove(&origin).map(|mut spy| {
            (spy.pid, spy.process.pid) = (pid, pid);
            spy.python_thread_ids.clear();
            spy.python_thread_names.clear();
            spy
        });
        // Forks of a program that starts it only then may each have it somewhere else.
        let (spy, traces) = of_fork.and_then(traces).or_else(|| {
            let config = Config {
                blocking: LockingStrategy::NonBlocking,
                full_filenames: true,
                ..Config::default()
            };
            traces(PythonSpy::new(pid, &config).ok()?)
        })?;
        if self.0.len() >= INTERPRETERS {
            self.0.clear();
        }
        Some((self.0.entry(origin).or_insert(spy), traces))
    }
}

/// What is read of all threads, if there are any where they are looked for.
fn traces(mut spy: PythonSpy) -> Option<(PythonSpy, Vec<StackTrace>)> {
    let traces = spy.get_stack_traces().ok()?;
    (!traces.is_empty()).then_some((spy, traces))
}

/// The threads of a process, if it is one of CPython.
pub(super) fn threads(process: &Process, interpreters: &mut Interpreters) -> Option<Vec<Thread>> {
    let (spy, first) = interpreters.of(process)?;
    let tids: Vec<u32> = process.threads().into_iter().map(|tid| tid.0).collect();
    let sleeps: BTreeMap<Tid, Sleep> = tids
        .iter()
        .filter_map(|&tid| Some((Tid(tid), process.sleep(Tid(tid))?)))
        .collect();
    let second = spy.get_stack_traces().ok()?;
    let inner = process.inner_ids(&tids);
    let tid = |trace: &StackTrace| {
        let known = TID_OFFSETS.iter().find_map(|offset| {
            let bytes = process.read(trace.thread_id.checked_add(*offset)?, 4);
            let id = u32::from_ne_bytes(bytes.try_into().ok()?);
            inner.get(&id).copied()
        });
        known.or_else(|| {
            let id = u32::try_from(trace.os_thread_id?).ok()?;
            inner.get(&id).copied()
        })
    };
    let thread = |trace: StackTrace| {
        let before = first.iter().find(|it| it.thread_id == trace.thread_id);
        let tid = tid(&trace)?;
        Some(Thread {
            tid,
            sleep: sleeps.get(&tid).cloned(),
            stack: agreed(before.map_or(&[], |trace| &trace.frames), &trace.frames),
            name: trace.thread_name,
        })
    };
    Some(second.into_iter().filter_map(thread).collect())
}

/// What two looks at a stack agree on: all of it, while the thread sleeps.
fn agreed(before: &[py_spy::Frame], after: &[py_spy::Frame]) -> Stack {
    let pairs = before.iter().rev().zip(after.iter().rev());
    let same = pairs.take_while(|(before, after)| before == after).count();
    let mut stack = Stack::default();
    let mut run = 0;
    if same < after.len() {
        stack.frames.push(Frame {
            kind: FrameKind::Python,
            ..Frame::default()
        });
        run = 1;
    }
    for found in &after[after.len() - same..] {
        stack.frames.push(frame(found));
        run += 1;
        if found.is_entry || found.is_shim_entry {
            stack.runs.push(std::mem::take(&mut run));
        }
    }
    if run > 0 {
        stack.runs.push(run);
    }
    stack
}

fn frame(found: &py_spy::Frame) -> Frame {
    Frame {
        kind: FrameKind::Python,
        function: Some(found.name.clone()),
        file: Some(found.filename.clone()),
        line: u32::try_from(found.line).ok().filter(|&line| line > 0),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, line: i32, is_entry: bool) -> py_spy::Frame {
        py_spy::Frame {
            name: name.to_owned(),
            filename: "agent.py".to_owned(),
            module: None,
            short_filename: None,
            line,
            locals: None,
            is_entry,
            is_shim_entry: false,
        }
    }

    #[test]
    fn a_stack_that_stays_is_all_known() {
        let frames = [
            found("a", 3, false),
            found("b", 2, true),
            found("c", 0, true),
        ];
        let stack = agreed(&frames, &frames);
        let lines: Vec<_> = stack.frames.iter().map(|frame| frame.line).collect();
        assert_eq!(lines, [Some(3), Some(2), None]);
        assert_eq!(stack.runs, [2, 1]);
    }

    #[test]
    fn of_a_stack_that_moves_only_what_stays_is_known() {
        let before = [found("a", 3, true), found("b", 2, true)];
        let after = [
            found("x", 9, true),
            found("a", 4, true),
            found("b", 2, true),
        ];
        let stack = agreed(&before, &after);
        let functions: Vec<_> = stack
            .frames
            .iter()
            .map(|frame| frame.function.as_deref())
            .collect();
        assert_eq!(functions, [None, Some("b")]);
        assert_eq!(stack.runs, [2]);
        assert_eq!(agreed(&[], &[]), Stack::default());
    }
}
