//! The native stack of a sleeping thread, by what its files tell of their
//! frames (`.eh_frame`), so that programs without frame pointers are no secret.
//!
//! Without stopping a thread only a few of its registers are known: the two that
//! `/proc/PID/task/TID/syscall` shows, which are enough as long as frames are found
//! from the stack pointer, and the frame pointer, which the kernel side reads where
//! the kernel has saved it.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
use framehop::aarch64::{CacheAarch64 as Cache, UnwindRegsAarch64, UnwinderAarch64 as Unwinder};
#[cfg(target_arch = "x86_64")]
use framehop::x86_64::{CacheX86_64 as Cache, UnwindRegsX86_64, UnwinderX86_64 as Unwinder};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder as _};
use object::{
    Object as _, ObjectSection as _, ObjectSegment as _, ReadCache, SegmentFlags, elf::PF_X,
};

use super::process::{Map, Process, Sleep};

/// So much of a stack is looked into, in bytes.
const STACK: u64 = 1 << 20;
/// So many frames are enough.
const FRAMES: usize = 256;
/// In place of a frame pointer that is not known: no stack is there, so that
/// unwinding ends, while zero would say that there is no caller.
const UNKNOWN: u64 = 8;
/// A section larger than this is no honest unwind information, in bytes.
const SECTION: u64 = 1 << 28;

/// Addresses of a native stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The first is where the thread is, others are return addresses.
    pub(super) frames: Vec<u64>,
    /// These are all: there is no caller of the last.
    pub(super) complete: bool,
}

/// The stack of a thread that sleeps, with that frame pointer if it is known.
pub(super) fn unwind(process: &Process, sleep: &Sleep, frame_pointer: Option<u64>) -> Addresses {
    let Some(stack) = Stack::of(process, sleep) else {
        return Addresses::default();
    };
    let mut unwinder = Unwinder::<Vec<u8>>::new();
    let mut cache = Cache::<_>::new();
    let mut modules: Vec<Range<u64>> = Vec::new();
    let mut registers = registers(sleep, frame_pointer.unwrap_or(UNKNOWN));
    let mut at = FrameAddress::from_instruction_pointer(sleep.address);
    let mut found = Addresses::default();
    while found.frames.len() < FRAMES {
        let Some(map) = process.map_of(at.address_for_lookup()) else {
            break;
        };
        if !map.executable {
            break;
        }
        if !modules.contains(&map.range) {
            modules.push(map.range.clone());
            if let Some(module) = module(process, map) {
                unwinder.add_module(module);
            }
        }
        found.frames.push(at.address());
        let mut read = |address| stack.word(address).ok_or(());
        match unwinder.unwind_frame(at, &mut registers, &mut cache, &mut read) {
            Ok(Some(caller)) => match FrameAddress::from_return_address(caller) {
                Some(caller) => at = caller,
                None => break,
            },
            Ok(None) => {
                // Code that no file describes may keep anything in that register.
                found.complete = map.path.starts_with('/');
                break;
            }
            Err(_) => break,
        }
    }
    found
}

#[cfg(target_arch = "x86_64")]
fn registers(sleep: &Sleep, frame_pointer: u64) -> UnwindRegsX86_64 {
    UnwindRegsX86_64::new(sleep.address, sleep.stack_pointer, frame_pointer)
}

/// The link register is not told: a function that has not saved it is the last
/// that is found.
#[cfg(target_arch = "aarch64")]
fn registers(sleep: &Sleep, frame_pointer: u64) -> UnwindRegsAarch64 {
    UnwindRegsAarch64::new(0, sleep.stack_pointer, frame_pointer)
}

/// The used part of a thread's stack.
struct Stack {
    from: u64,
    bytes: Vec<u8>,
}

impl Stack {
    fn of(process: &Process, sleep: &Sleep) -> Option<Self> {
        let from = sleep.stack_pointer;
        let map = process.map_of(from)?;
        let length = (map.range.end - from).min(STACK);
        let bytes = process.read(from, usize::try_from(length).ok()?);
        Some(Self { from, bytes })
    }

    fn word(&self, address: u64) -> Option<u64> {
        let start = usize::try_from(address.checked_sub(self.from)?).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}

/// What the file of a map tells of frames, where it is mapped.
fn module(process: &Process, map: &Map) -> Option<Module<Vec<u8>>> {
    let sections = if map.path.starts_with('/') {
        let cache = ReadCache::new(process.file_of(map)?);
        of_file(&object::File::parse(&cache).ok()?, map)
    } else if map.path == "[vdso]" {
        let length = map.range.end - map.range.start;
        let bytes = process.read(map.range.start, usize::try_from(length).ok()?);
        of_file(&object::File::parse(bytes.as_slice()).ok()?, map)
    } else {
        None
    };
    let (base, sections) = sections?;
    Some(Module::new(
        map.path.clone(),
        map.range.clone(),
        base,
        sections,
    ))
}

fn is_code<'data>(segment: &impl object::ObjectSegment<'data>) -> bool {
    matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0)
}

/// Where its addresses begin, and its sections.
fn of_file<'data, R: object::ReadRef<'data>>(
    file: &object::File<'data, R>,
    map: &Map,
) -> Option<(u64, ExplicitModuleSectionInfo<Vec<u8>>)> {
    let segment = file.segments().find(|segment| {
        let (offset, size) = segment.file_range();
        // The kernel maps whole pages.
        let mapped = map.offset..map.offset + (map.range.end - map.range.start);
        let here =
            mapped.contains(&offset) || (offset..offset.saturating_add(size)).contains(&map.offset);
        here && is_code(segment)
    })?;
    let base = map
        .range
        .start
        .wrapping_sub(map.offset)
        .wrapping_add(segment.file_range().0)
        .wrapping_sub(segment.address());
    let section = |name: &str| {
        let section = file.section_by_name(name)?;
        let range = section.address()..section.address().checked_add(section.size())?;
        Some((range, section))
    };
    let data = |name: &str| {
        let (range, section) = section(name)?;
        let data = (section.size() <= SECTION)
            .then(|| section.data().ok())
            .flatten()?;
        Some((range, data.to_vec()))
    };
    let (eh_frame_svma, eh_frame) = data(".eh_frame").unzip();
    let (eh_frame_hdr_svma, eh_frame_hdr) = data(".eh_frame_hdr").unzip();
    let sections = ExplicitModuleSectionInfo {
        text_svma: section(".text").map(|(range, _)| range),
        got_svma: section(".got").map(|(range, _)| range),
        eh_frame_svma,
        eh_frame,
        eh_frame_hdr_svma,
        eh_frame_hdr,
        ..ExplicitModuleSectionInfo::default()
    };
    Some((base, sections))
}
