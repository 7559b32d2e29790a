//! Reading kernel structures by the offsets of the running kernel.

use core::ptr::read_volatile;

use aya_ebpf::helpers::bpf_probe_read_kernel;

use crate::maps::{OFFSETS, SYSCALLS};

/// Address of a kernel object.
pub type Ptr = *const u8;

/// Offset of member `field` (an index of `offsets`).
#[inline(always)]
pub fn offset(field: usize) -> usize {
    // SAFETY: `field` is a constant below the array's length.
    unsafe { read_volatile((&raw const OFFSETS).cast::<u32>().add(field)) as usize }
}

/// Number of system call `index` (of `offsets::syscalls`).
#[inline(always)]
pub fn syscall(index: usize) -> u64 {
    // SAFETY: `index` is a constant below the array's length.
    unsafe {
        u64::from(read_volatile(
            (&raw const SYSCALLS).cast::<u32>().add(index),
        ))
    }
}

/// Reads member `field` of the object at `object`, which may be any address;
/// an unreadable one yields the default.
#[inline(always)]
pub fn probe<T: Default>(object: Ptr, field: usize) -> T {
    probe_at(object.wrapping_add(offset(field)).cast())
}

/// Reads a value at any kernel address; an unreadable one yields the default.
#[inline(always)]
pub fn probe_at<T: Default>(address: *const T) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address) }.unwrap_or_default()
}

/// Reads member `field` by a plain load.
///
/// # Safety
///
/// `object` must be a pointer the verifier knows by type (a tp_btf or iterator
/// argument, or a pointer loaded from one): it checks the member, and the
/// kernel turns a fault into zero.
#[inline(always)]
pub unsafe fn load<T: Copy>(object: Ptr, field: usize) -> T {
    // SAFETY: see above.
    unsafe { read_volatile(object.add(offset(field)).cast()) }
}
