//! Names that were found, kept as long as their process may be asked for again: a
//! process that has ended meanwhile shows no code any more.

use std::collections::BTreeMap;

use blazesym::symbolize::Symbolizer;

use super::{
    native::{self, Depth, Place},
    process::{Process, Program},
};
use crate::{ids::ProcKey, stack::Frame};

/// So many processes are remembered.
const PROCESSES: usize = 256;

/// The frames at addresses of processes.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<ProcKey, OfProcess>);

#[derive(Debug, Default)]
struct OfProcess {
    /// An exec leaves nothing of these valid.
    program: Option<Program>,
    /// By place, and how much was found out of each.
    frames: BTreeMap<Place, (Depth, Vec<Frame>)>,
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
        if self.0.len() >= PROCESSES && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let known = self.0.entry(key).or_default();
        let place = |(index, &address): (usize, &u64)| Place {
            address,
            returns: index > 0,
        };
        let places: Vec<Place> = addresses.iter().enumerate().map(place).collect();
        if let Some(names) = names {
            known.learn(&names, &places);
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
    fn learn(&mut self, names: &Names<'_>, places: &[Place]) {
        let Names {
            symbolizer,
            process,
            depth,
        } = *names;
        if self.program != Some(process.program()) {
            self.program = Some(process.program());
            self.frames.clear();
        }
        let mut missing = places.to_vec();
        missing.retain(|place| {
            let known = self.frames.get(place);
            known.is_none_or(|(known, _)| *known < depth)
        });
        if missing.is_empty() {
            return;
        }
        let found = native::frames(symbolizer, process, &missing, depth);
        let found = found.into_iter().map(|frames| (depth, frames));
        self.frames.extend(missing.into_iter().zip(found));
    }
}
