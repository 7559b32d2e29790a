//! Tables of descriptors.

use pipewatch_ebpf::{
    abi::END_CLOEXEC,
    offsets::{FDT_CLOEXEC, FDT_FD, FDT_MAX, FILES_FDT, SLOT_FILE, types},
};

use crate::kernel::{Ptr, cast, member, member_at, probe_at};

/// Descriptors that a word of the bitmap of open descriptors tells of, words in a
/// part of it, and most parts that are looked at: those of a table of 1,048,576
/// descriptors, which is as large as tables get by default (`fs.nr_open`).
pub const BITS: u32 = 64;
/// See [`BITS`].
pub const PART: u32 = 64;
/// See [`BITS`].
pub const MAX_PARTS: u32 = 256;

/// The current fd table (`struct fdtable`) of a `struct files_struct`.
#[inline(always)]
pub fn fdt_of(files: u64) -> Ptr {
    member_at(cast(files, types::FILES), FILES_FDT)
}

/// How many words the bitmap has of the table itself at `fdt`.
#[inline(always)]
pub fn words(fdt: u64) -> u32 {
    member::<u32>(cast(fdt, types::FDTABLE), FDT_MAX).div_ceil(BITS)
}

/// [`END_CLOEXEC`] if descriptor `fd` of the table `fdt` closes on exec.
#[inline(always)]
pub fn cloexec(fdt: Ptr, fd: u32) -> u16 {
    let word = member::<u64>(fdt, FDT_CLOEXEC) + 8 * u64::from(fd / 64);
    const { assert!(END_CLOEXEC == 1) };
    (probe_at::<u64>(word as *const u64) >> (fd % 64)) as u16 & 1
}

/// The `struct file` that descriptor `fd` of the table `files` refers to.
#[inline(always)]
pub fn file_at(files: u64, fd: u32) -> Option<Ptr> {
    let fdt = fdt_of(files);
    if fd >= member::<u32>(fdt, FDT_MAX) {
        return None;
    }
    let file = file_in(member(fdt, FDT_FD), fd);
    (!file.is_null()).then_some(file)
}

/// The `struct file` in slot `fd` of those at `slots`, a table's.
#[inline(always)]
pub fn file_in(slots: u64, fd: u32) -> Ptr {
    let slot = cast(slots + 8 * u64::from(fd), types::SLOT);
    member_at(slot, SLOT_FILE)
}
