//! The host, as it tells a report what the engine does not know.

use crate::{
    clock::Wall,
    finding::{Details, Frame},
    ids::{Fd, Ktime, ProcKey, StackId},
    procfs,
    source::Source,
};

/// The host.
pub struct Host {
    /// How it is seen.
    pub source: Source,
    /// Its clocks.
    pub wall: Wall,
}

impl Details for Host {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        procfs::cmdline(process.pid)
    }

    fn stack(&self, process: ProcKey, stack: Option<StackId>) -> Vec<Frame> {
        let addresses = stack.map(|id| self.source.stack(id)).unwrap_or_default();
        if addresses.is_empty() {
            return Vec::new();
        }
        let maps = procfs::code_maps(process.pid);
        let frame = |address| {
            let map = maps.iter().find(|map| map.range.contains(&address));
            let module = map.map(|map| map.path.clone());
            Frame {
                module,
                address,
                ..Frame::default()
            }
        };
        addresses.into_iter().map(frame).collect()
    }

    fn path(&self, process: ProcKey, fd: Fd) -> Option<String> {
        procfs::path(process.pid, fd)
    }

    fn wall(&self, time: Ktime) -> u64 {
        self.wall.of(time)
    }
}
