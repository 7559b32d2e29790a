//! Tables of descriptors.

use pipewatch_ebpf::{
    abi::END_CLOEXEC,
    offsets::{FDT_CLOEXEC, FDT_FD, FDT_MAX, FILES_FDT, SLOT_FILE, TASK_FILES, types},
};

use crate::{
    kernel::{Ptr, cast, follow, load, member, member_at, probe_at},
    task::distrusted,
};

/// Descriptors that a word of the bitmap of open descriptors tells of, words in a
/// part of it, and most parts that are looked at: those of a table of 1,048,576
/// descriptors, which is as large as tables get by default (`fs.nr_open`).
pub const BITS: u32 = 64;
/// See [`BITS`].
pub const PART: u32 = 64;
/// See [`BITS`].
pub const MAX_PARTS: u32 = 256;

/// The current fd table (`struct fdtable`) of a task.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
pub unsafe fn fdt_of(task: Ptr) -> Ptr {
    // SAFETY: typed, and so is what is loaded from it.
    unsafe { follow(follow(distrusted(task), TASK_FILES), FILES_FDT) }
}

/// How many words the bitmap has of the table itself at `fdt`.
#[inline(always)]
pub fn words(fdt: u64) -> u32 {
    member::<u32>(cast(fdt, types::FDTABLE), FDT_MAX).div_ceil(BITS)
}

/// [`END_CLOEXEC`] if descriptor `fd` of a task closes on exec.
///
/// # Safety
///
/// As for [`fdt_of`].
#[inline(always)]
pub unsafe fn cloexec(task: Ptr, fd: u32) -> u16 {
    // SAFETY: typed.
    let bits: u64 = unsafe { load(fdt_of(task), FDT_CLOEXEC) };
    let word = bits + 8 * u64::from(fd / 64);
    const { assert!(END_CLOEXEC == 1) };
    (probe_at::<u64>(word as *const u64) >> (fd % 64)) as u16 & 1
}

/// The `struct file` that descriptor `fd` of a task refers to.
///
/// # Safety
///
/// As for [`fdt_of`].
#[inline(always)]
pub unsafe fn file_at(task: Ptr, fd: u32) -> Option<Ptr> {
    // SAFETY: typed.
    let (max, slots): (u32, u64) = unsafe {
        let fdt = fdt_of(task);
        (load(fdt, FDT_MAX), load(fdt, FDT_FD))
    };
    if fd >= max {
        return None;
    }
    let file = file_in(slots, fd);
    (!file.is_null()).then_some(file)
}

/// The `struct file` in slot `fd` of those at `slots`, a table's.
#[inline(always)]
pub fn file_in(slots: u64, fd: u32) -> Ptr {
    let slot = cast(slots + 8 * u64::from(fd), types::SLOT);
    member_at(slot, SLOT_FILE)
}
