//! CPython, as far as the kernel side walks through its frames: which processes run
//! it, and what the frames that were found are.

mod code;
mod layout;
mod lines;

use std::{collections::BTreeMap, fs::File, os::unix::fs::MetadataExt as _};

use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache};
use pipewatch_ebpf::abi::{FRAMES, Python, PythonFrame};

use self::{
    code::{Executed, Memory},
    layout::Layout,
};
use super::process::{Map, Process};
use crate::stack::{Frame, FrameKind};

/// A file larger than this is no interpreter, in bytes.
const LARGEST: u64 = 1 << 28;
/// So many files are remembered.
const FILES: usize = 256;

/// A process that runs CPython.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    /// Where its frames are.
    Known(Python),
    /// A release whose frames are not known: its file's name.
    Unknown(String),
}

/// Where interpreters' files have `_PyRuntime`: by device, inode and time of last
/// change, the distance from where the file's begin is mapped. `None`: not in there.
#[derive(Debug, Default)]
pub(super) struct Runtimes(BTreeMap<(u64, u64, i64), Option<u64>>);

/// The interpreter of a process, if there is one yet.
pub(super) fn interpreter(process: &Process, runtimes: &mut Runtimes) -> Option<Interpreter> {
    let files = process.maps.iter().filter(|map| map.offset == 0);
    let mut unknown = None;
    for map in files.filter(|map| is_python(map.name())) {
        let Some(layout) = layout(map.name()) else {
            unknown = Some(Interpreter::Unknown(map.name().to_owned()));
            continue;
        };
        if let Some(distance) = runtimes.of(process, map) {
            let runtime = map.range.start.wrapping_add(distance);
            return Some(Interpreter::Known(layout.at(runtime)));
        }
    }
    unknown
}

/// What the kernel side found in a process, as frames, innermost first.
pub(super) fn frames(process: &Process, found: &[PythonFrame]) -> Vec<Frame> {
    let mut layouts = process.maps.iter().filter_map(|map| layout(map.name()));
    let Some(layout) = layouts.next() else {
        return Vec::new();
    };
    let mut frames = Vec::new();
    for found in found {
        let place = match code::executed(process, &layout.object, *found) {
            Executed::Code(place) => Some(place),
            Executed::Gone => None,
            Executed::Entry => continue,
        };
        let (function, file, line) = place.map_or((None, None, None), |place| {
            (Some(place.function), Some(place.file), place.line)
        });
        frames.push(Frame {
            kind: FrameKind::Python,
            function,
            file,
            line,
            ..Frame::default()
        });
    }
    if found.len() == FRAMES {
        frames.push(Frame::default());
    }
    frames
}

/// The executable of CPython, or its library in another program.
pub(super) fn is_python(name: &str) -> bool {
    name.starts_with("python") || name.starts_with("libpython")
}

/// That of the release that a file's name tells. Builds whose structures are laid
/// out otherwise, for debugging and for free threads, have names of their own.
fn layout(name: &str) -> Option<Layout> {
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    let release = match name.strip_prefix("lib") {
        Some(library) => library.strip_prefix("python3.")?.split_once(".so")?.0,
        None => name.strip_prefix("python3.")?,
    };
    // Up to 3.7 they may be named after an allocator that is always the same.
    Layout::of(release.strip_suffix('m').unwrap_or(release).parse().ok()?)
}

impl Runtimes {
    fn of(&mut self, process: &Process, map: &Map) -> Option<u64> {
        let file = process.file_of(map)?;
        let about = file.metadata().ok()?;
        if about.len() > LARGEST {
            return None;
        }
        let key = (about.dev(), about.ino(), about.mtime());
        if self.0.len() >= FILES && !self.0.contains_key(&key) {
            self.0.clear();
        }
        *self.0.entry(key).or_insert_with(|| runtime(&file))
    }
}

/// How far `_PyRuntime` is from the file's first byte, where it is mapped.
fn runtime(file: &File) -> Option<u64> {
    let cache = ReadCache::new(file);
    let file = object::File::parse(&cache).ok()?;
    let symbols = file.dynamic_symbols().chain(file.symbols());
    let mut named = symbols.filter(|symbol| symbol.name_bytes() == Ok(b"_PyRuntime"));
    let runtime = named.find(|symbol| !symbol.is_undefined())?;
    let first = file
        .segments()
        .find(|segment| segment.file_range().0 == 0)?;
    runtime.address().checked_sub(first.address())
}

impl Memory for Process {
    fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        self.read(address, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_python() {
        for name in ["python3.12", "python", "libpython3.11.so.1.0"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["libboost_python.so", "node", ""] {
            assert!(!is_python(name), "{name}");
        }
    }

    #[test]
    fn which_release() {
        for name in [
            "python3.8",
            "python3.7m",
            "python3.12 (deleted)",
            "libpython3.11.so.1.0",
            "libpython3.13.so",
        ] {
            assert!(layout(name).is_some(), "{name}");
        }
        for name in [
            "python2.7",
            "python3",
            "python3.6",
            "python3.11d",
            "python3.13t",
            "python3.99",
            "libpython3.so",
            "libpython3.13t.so.1.0",
        ] {
            assert!(layout(name).is_none(), "{name}");
        }
    }
}
