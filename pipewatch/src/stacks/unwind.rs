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
use framehop::{FrameAddress, Unwinder as _};

use super::{
    modules::{Bytes, Modules},
    process::{Process, Sleep},
};

/// So much of a stack is looked into, in bytes.
const STACK: u64 = 1 << 20;
/// So many frames are enough.
const FRAMES: usize = 256;
/// In place of a frame pointer that is not known: no stack is there, so that
/// unwinding ends, while zero would say that there is no caller.
const UNKNOWN: u64 = 8;

/// Addresses of a native stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The first is where the thread is, others are return addresses.
    pub(super) frames: Vec<u64>,
    /// These are all: there is no caller of the last.
    pub(super) complete: bool,
}

/// The stack of a thread that sleeps, with that frame pointer if it is known.
pub(super) fn unwind(
    modules: &mut Modules,
    process: &Process,
    sleep: &Sleep,
    frame_pointer: Option<u64>,
) -> Addresses {
    let Some(stack) = Stack::of(process, sleep) else {
        return Addresses::default();
    };
    let mut unwinder = Unwinder::<Bytes>::new();
    let mut cache = Cache::<_>::new();
    let mut looked_for: Vec<Range<u64>> = Vec::new();
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
        if !looked_for.contains(&map.range) {
            looked_for.push(map.range.clone());
            if let Some(module) = modules.of(process, map) {
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
