//! CPython in the kernel side: which processes run it, and what was found of the
//! frames of their threads.

use std::collections::BTreeMap;

use aya::maps::{HashMap, MapData};
use pipewatch_ebpf::abi::{Python, PythonFrame};
use zerocopy::IntoBytes as _;

use crate::{
    decode::PythonStack,
    ids::{Ktime, Pid, Tid},
};

/// So many stacks are kept, the newest.
const KEPT: usize = 8_192;

/// Processes whose frames the kernel side tells.
pub struct Pythons(HashMap<MapData, u32, [u8; size_of::<Python>()]>);

impl Pythons {
    pub(super) fn new(map: HashMap<MapData, u32, [u8; size_of::<Python>()]>) -> Self {
        Self(map)
    }

    /// Adds a process, or one that runs something else now. If there is no room for
    /// it, its frames are not told.
    pub fn add(&mut self, pid: Pid, python: Python) {
        let mut bytes = [0; size_of::<Python>()];
        bytes.copy_from_slice(python.as_bytes());
        let _ = self.0.insert(pid.0, bytes, 0);
    }

    /// Removes one that has ended, which the kernel side may have done before it was
    /// added.
    pub fn remove(&mut self, pid: Pid) {
        let _ = self.0.remove(&pid.0);
    }
}

/// The frames of threads at moments, as found by the kernel side.
#[derive(Debug, Default)]
pub(super) struct Stacks(BTreeMap<(Ktime, Tid), Vec<PythonFrame>>);

impl Stacks {
    /// Keeps one, perhaps in the place of the oldest.
    pub(super) fn keep(&mut self, stack: PythonStack) {
        if self.0.len() >= KEPT {
            self.0.pop_first();
        }
        self.0.insert((stack.time, stack.tid), stack.frames);
    }

    /// Those of a thread at a moment; none if they are not known.
    pub(super) fn of(&self, time: Ktime, tid: Tid) -> Vec<PythonFrame> {
        self.0.get(&(time, tid)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stacks_make_room() {
        let mut stacks = Stacks::default();
        let frame = PythonFrame {
            code: 1,
            mark: 2,
            place: 3,
        };
        for time in 0..=KEPT as u64 {
            stacks.keep(PythonStack {
                time: Ktime(time),
                tid: Tid(7),
                frames: vec![frame],
            });
        }
        assert_eq!(stacks.of(Ktime(0), Tid(7)), []);
        assert_eq!(stacks.of(Ktime(1), Tid(7)), [frame]);
        assert_eq!(stacks.of(Ktime(1), Tid(8)), []);
    }
}
