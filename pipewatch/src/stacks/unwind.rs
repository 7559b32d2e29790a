//! The native stack of a sleeping thread, by what its files tell of their
//! frames (`.eh_frame`), so that programs without frame pointers are no secret.
//!
//! Without stopping a thread only two of its registers are known, those that
//! `/proc/PID/task/TID/syscall` shows. That is enough as long as frames are found
//! from the stack pointer. A function that finds its frame from the frame pointer
//! needs that too; it is learned from a caller's saved copy, or from where the
//! kernel, which follows frame pointers, has found return addresses.

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

/// The stack of a thread that sleeps. `walked` is what the kernel found of it by
/// frame pointers.
pub(super) fn unwind(process: &Process, sleep: &Sleep, walked: &[u64]) -> Addresses {
    let Some(stack) = Stack::of(process, sleep) else {
        return Addresses::default();
    };
    let mut unwinder = Unwinder::<Vec<u8>>::new();
    let mut cache = Cache::<_>::new();
    let mut modules: Vec<Range<u64>> = Vec::new();
    let mut registers = registers(sleep, stack.frame_pointer(walked).unwrap_or(UNKNOWN));
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

    /// The frame pointer of a thread, if what the kernel found by it shows where
    /// on the stack it must point: at the caller's frame pointer, with the return
    /// address that the kernel found above it.
    fn frame_pointer(&self, walked: &[u64]) -> Option<u64> {
        let callers = walked.get(1..)?;
        let last = callers.len().checked_sub(1)?;
        let slots = (self.from..).step_by(8).take(self.bytes.len() / 8);
        let leads_to_all = |start: u64| {
            let mut frame = start;
            callers.iter().enumerate().all(|(index, &caller)| {
                let returns = frame.checked_add(8).and_then(|above| self.word(above));
                let up = self.word(frame);
                let goes_on = index == last || up.is_some_and(|up| up > frame);
                frame = up.unwrap_or(0);
                returns == Some(caller) && goes_on
            })
        };
        slots.into_iter().find(|&slot| leads_to_all(slot))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack at 0x1000 of these words.
    fn stack(words: &[u64]) -> Stack {
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
        Stack {
            from: 0x1000,
            bytes: bytes.collect(),
        }
    }

    #[test]
    fn the_frame_pointer_is_where_it_leads_to_what_the_kernel_found() {
        // 0x1010 and 0x1028 look alike, only the former leads on to 0xbb.
        let stack = stack(&[0, 0xaa, 0x1030, 0xaa, 7, 0x1038, 0x1040, 0xbb, 0, 0xcc]);
        assert_eq!(stack.frame_pointer(&[1, 0xaa, 0xbb]), Some(0x1010));
        assert_eq!(stack.frame_pointer(&[1, 0xaa, 0xbb, 0xcc]), Some(0x1010));
        assert_eq!(stack.frame_pointer(&[1, 0xcc]), Some(0x1040));
        assert_eq!(stack.frame_pointer(&[1, 0xaa, 0xcc]), None);
        assert_eq!(stack.frame_pointer(&[1]), None);
        assert_eq!(stack.frame_pointer(&[]), None);
    }
}
