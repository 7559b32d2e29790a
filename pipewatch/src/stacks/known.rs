//! Names that were found, kept as long as their process may be asked for again: a
//! process that has ended meanwhile shows no code any more.

use std::collections::BTreeMap;

use super::{
    native::{self, Place},
    process::{Process, Program},
};
use crate::{ids::ProcKey, stack::Frame};

/// So many processes are remembered.
const PROCESSES: usize = 256;

/// The frames at addresses of processes.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<ProcKey, Names>);

#[derive(Debug, Default)]
struct Names {
    /// An exec leaves nothing of these valid.
    program: Option<Program>,
    frames: BTreeMap<Place, Vec<Frame>>,
}

impl Known {
    /// The frames of a stack; without names, if the process shows none.
    pub(super) fn frames(
        &mut self,
        key: ProcKey,
        process: Option<&Process>,
        addresses: &[u64],
    ) -> Vec<Frame> {
        if self.0.len() >= PROCESSES && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let names = self.0.entry(key).or_default();
        let place = |(index, &address): (usize, &u64)| Place {
            address,
            returns: index > 0,
        };
        let places: Vec<Place> = addresses.iter().enumerate().map(place).collect();
        if let Some(process) = process {
            if names.program != Some(process.program()) {
                *names = Names {
                    program: Some(process.program()),
                    ..Names::default()
                };
            }
            let mut missing = places.clone();
            missing.retain(|place| !names.frames.contains_key(place));
            if !missing.is_empty() {
                let found = native::frames(process, &missing);
                names.frames.extend(missing.into_iter().zip(found));
            }
        }
        let bare = |place: &Place| {
            vec![Frame {
                address: Some(place.address),
                ..Frame::default()
            }]
        };
        let of = |place: &Place| {
            names
                .frames
                .get(place)
                .cloned()
                .unwrap_or_else(|| bare(place))
        };
        places.iter().flat_map(of).collect()
    }
}
