//! Names that were found: those of a process, kept as long as it may be asked for
//! again, since one that has ended shows no code any more; and those of a file's code,
//! for all who run it, since forks do.

use std::collections::BTreeMap;

use blazesym::symbolize::Symbolizer;
use pipewatch_ebpf::abi::Layout;

use super::{
    native::{self, Depth, Place},
    process::{FileId, Process},
};
use crate::{ids::ProcKey, stack::Frame};

/// So many processes are remembered.
const PROCESSES: usize = 256;
/// So many places in the code of files, and in that of each process.
const PLACES: usize = 1 << 14;

/// What was found at a place, and how much of that was looked for.
type Found = (Depth, Vec<Frame>);

/// The frames at addresses.
#[derive(Debug, Default)]
pub(super) struct Known {
    processes: BTreeMap<ProcKey, OfProcess>,
    files: BTreeMap<InFile, Found>,
}

#[derive(Debug, Default)]
struct OfProcess {
    /// An exec leaves nothing of these valid.
    layout: Option<Layout>,
    frames: BTreeMap<Place, Found>,
}

/// A place in the code of a file: an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InFile {
    file: FileId,
    place: Place,
}

/// Where names are to be found.
pub(super) struct Names<'a> {
    pub(super) symbolizer: &'a Symbolizer,
    pub(super) process: &'a Process,
    pub(super) depth: Depth,
}

impl Known {
    /// The frames of a stack, by what the process shows or has shown.
    pub(super) fn frames(
        &mut self,
        key: ProcKey,
        names: Option<Names<'_>>,
        addresses: &[u64],
    ) -> Vec<Frame> {
        if self.processes.len() >= PROCESSES && !self.processes.contains_key(&key) {
            self.processes.clear();
        }
        if self.files.len() >= PLACES {
            self.files.clear();
        }
        let known = self.processes.entry(key).or_default();
        let place = |(index, &address): (usize, &u64)| Place {
            address,
            returns: index > 0,
        };
        let places: Vec<Place> = addresses.iter().enumerate().map(place).collect();
        if let Some(names) = names {
            known.learn(&names, &places, &mut self.files);
        }
        let bare = |place: &Place| {
            vec![Frame {
                address: Some(place.address),
                ..Frame::default()
            }]
        };
        let of = |place: &Place| match known.frames.get(place) {
            Some((_, frames)) => frames.clone(),
            None => bare(place),
        };
        places.iter().flat_map(of).collect()
    }
}

impl OfProcess {
    fn learn(&mut self, names: &Names<'_>, places: &[Place], files: &mut BTreeMap<InFile, Found>) {
        let Names {
            symbolizer,
            process,
            depth,
        } = *names;
        if self.layout != Some(process.layout()) {
            self.layout = Some(process.layout());
            self.frames.clear();
        }
        if self.frames.len() >= PLACES {
            self.frames.clear();
        }
        let is_enough = |found: &&Found| found.0 >= depth;
        let mut code = BTreeMap::new();
        let mut missing = Vec::new();
        for &place in places {
            if self.frames.get(&place).filter(is_enough).is_some() {
                continue;
            }
            let in_file = in_file(process, place, &mut code);
            match in_file.and_then(|it| files.get(&it)).filter(is_enough) {
                Some((depth, frames)) => {
                    let frames = at(process, place, frames);
                    self.frames.insert(place, (*depth, frames));
                }
                None => missing.push((place, in_file)),
            }
        }
        if missing.is_empty() {
            return;
        }
        let places: Vec<Place> = missing.iter().map(|(place, _)| *place).collect();
        let found = native::frames(symbolizer, process, &places, depth);
        for ((place, in_file), frames) in missing.into_iter().zip(found) {
            if let Some(in_file) = in_file {
                files.insert(in_file, (depth, frames.clone()));
            }
            self.frames.insert(place, (depth, frames));
        }
    }
}

/// Where in a file a place is; `code` has which one is mapped where, as far as asked
/// for.
fn in_file(
    process: &Process,
    place: Place,
    code: &mut BTreeMap<u64, Option<FileId>>,
) -> Option<InFile> {
    let map = process.map_of(place.call())?;
    let start = map.range.start;
    let file = *code.entry(start).or_insert_with(|| process.code_of(map));
    let offset = (place.address - start).checked_add(map.offset)?;
    Some(InFile {
        file: file?,
        place: Place {
            address: offset,
            ..place
        },
    })
}

/// These frames, as they are at a place of this process.
fn at(process: &Process, place: Place, frames: &[Frame]) -> Vec<Frame> {
    let module = process.map_of(place.call()).map(|map| map.path.clone());
    let here = |frame: &Frame| Frame {
        address: Some(place.address),
        module: module.clone(),
        ..frame.clone()
    };
    frames.iter().map(here).collect()
}
