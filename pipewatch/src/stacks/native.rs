//! Names for addresses: from ELF symbols, debug information and perf maps, also
//! of files that are deleted or in another mount namespace.

use blazesym::{
    Pid,
    symbolize::{
        CodeInfo, Input, Symbolized, Symbolizer,
        source::{self, Source},
    },
};

use super::process::Process;
use crate::stack::{Frame, FrameKind};

/// An address on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) address: u64,
    /// The call that it belongs to is before it.
    pub(super) returns: bool,
}

impl Place {
    /// An address within the instruction that the frame is at.
    pub(super) fn call(self) -> u64 {
        self.address.saturating_sub(u64::from(self.returns))
    }
}

/// The frames at some places, innermost first: several where functions are inlined
/// into others.
pub(super) fn frames(process: &Process, places: &[Place]) -> Vec<Vec<Frame>> {
    let Some(source) = source(process) else {
        let bare = |place: &Place| frames_at(process, *place, None);
        return places.iter().map(bare).collect();
    };
    let symbolizer = Symbolizer::new();
    let calls: Vec<u64> = places.iter().map(|place| place.call()).collect();
    let all = symbolizer.symbolize(&Source::Process(source.clone()), Input::AbsAddr(&calls));
    if let Ok(all) = all {
        let found = all.into_iter().map(Some);
        let pairs = places.iter().zip(found);
        return pairs
            .map(|(place, found)| frames_at(process, *place, found))
            .collect();
    }
    // One file that cannot be read costs no more than the names in it; if that is
    // for its debug information, not even these.
    let names_only = source::Process {
        debug_syms: false,
        ..source.clone()
    };
    let alone = |place: &Place| {
        let sources = [&source, &names_only].map(|it| Source::Process(it.clone()));
        let call = Input::AbsAddr(place.call());
        let found = sources
            .iter()
            .find_map(|source| symbolizer.symbolize_single(source, call).ok());
        frames_at(process, *place, found)
    };
    places.iter().map(alone).collect()
}

fn frames_at(process: &Process, place: Place, found: Option<Symbolized<'_>>) -> Vec<Frame> {
    let path = process.map_of(place.call()).map(|map| map.path.clone());
    let bare = Frame {
        kind: FrameKind::Native,
        module: path.filter(|path| !path.is_empty()),
        address: Some(place.address),
        ..Frame::default()
    };
    let Some(Symbolized::Sym(symbol)) = found else {
        return vec![bare];
    };
    let inlined = symbol.inlined.iter().rev();
    let inlined = inlined.map(|function| (&function.name, function.code_info.as_ref()));
    let outer = (&symbol.name, symbol.code_info.as_deref());
    let frame = |(name, code): (&_, Option<&CodeInfo<'_>>)| Frame {
        function: Some(String::from(std::borrow::Cow::as_ref(name))),
        file: code.map(|code| code.to_path().to_string_lossy().into_owned()),
        line: code.and_then(|code| code.line),
        ..bare.clone()
    };
    inlined.chain([outer]).map(frame).collect()
}

/// Where names are to be found. `None`: not where they can be read.
fn source(process: &Process) -> Option<source::Process> {
    let by_file = process.shows_files();
    if !by_file && !process.is_in_own_mounts() {
        // Its paths are those of other files here.
        return None;
    }
    let mut source = source::Process::new(Pid::from(process.pid.0));
    source.map_files = by_file;
    source.perf_map = process.has_honest_perf_map();
    Some(source)
}
