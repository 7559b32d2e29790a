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

/// How much is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// The names of functions, which is quick.
    Names,
    /// Their source lines too, and what is inlined into them: for this, debug
    /// information has to be unpacked and read.
    Lines,
}

/// The frames at some places, innermost first: several where functions are inlined
/// into others.
pub(super) fn frames(
    symbolizer: &Symbolizer,
    process: &Process,
    places: &[Place],
    depth: Depth,
) -> Vec<Vec<Frame>> {
    let Some(names) = source(process) else {
        let bare = |place: &Place| frames_at(process, *place, None);
        return places.iter().map(bare).collect();
    };
    let lines = source::Process {
        debug_syms: true,
        ..names.clone()
    };
    let sources = match depth {
        Depth::Names => vec![Source::Process(names)],
        Depth::Lines => vec![Source::Process(lines), Source::Process(names)],
    };
    let calls: Vec<u64> = places.iter().map(|place| place.call()).collect();
    if let Ok(all) = symbolizer.symbolize(&sources[0], Input::AbsAddr(&calls)) {
        let pairs = places.iter().zip(all);
        let at = |(place, found): (&Place, _)| frames_at(process, *place, Some(found));
        return pairs.map(at).collect();
    }
    // One file that cannot be read costs no more than the names in it; if that is
    // for its debug information, not even these.
    let alone = |place: &Place| {
        let call = Input::AbsAddr(place.call());
        let find = |source| symbolizer.symbolize_single(source, call).ok();
        frames_at(process, *place, sources.iter().find_map(find))
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
    source.debug_syms = false;
    source.map_files = by_file;
    source.perf_map = process.has_honest_perf_map();
    Some(source)
}
