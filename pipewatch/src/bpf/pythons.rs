//! CPython in the kernel side: which processes run it, and what was found of the
//! frames of their threads.

use std::collections::BTreeMap;

use aya::maps::{HashMap, MapData};
use pipewatch_ebpf::abi::{Layout, Python, PythonFrame};
use zerocopy::IntoBytes as _;

use crate::{
    decode::PythonStack,
    ids::{Ktime, Tid},
};

/// So many stacks are kept, the newest.
const KEPT: usize = 8_192;

type Key = [u8; size_of::<Layout>()];
type Value = [u8; size_of::<Python>()];

/// Processes whose frames the kernel side tells.
pub struct Pythons(HashMap<MapData, Key, Value>);

impl Pythons {
    pub(super) fn new(map: HashMap<MapData, Key, Value>) -> Self {
        Self(map)
    }

    /// Adds those that lie in memory as this one. If there is no room, those make it
    /// whose frames were not told for longest.
    pub fn add(&mut self, layout: Layout, python: Python) {
        let mut key: Key = Default::default();
        key.copy_from_slice(layout.as_bytes());
        let mut value: Value = [0; size_of::<Python>()];
        value.copy_from_slice(python.as_bytes());
        let _ = self.0.insert(key, value, 0);
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
