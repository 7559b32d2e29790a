//! Reading kernel structures by the offsets of the running kernel.

use core::{ffi::c_void, mem::MaybeUninit, ptr::read_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use zerocopy::FromBytes;

use crate::maps::{OFFSETS, SYSCALLS, setting};

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
/// an unreadable one yields zero.
#[inline(always)]
pub fn probe<T: FromBytes>(object: Ptr, field: usize) -> T {
    probe_at(object.wrapping_add(offset(field)).cast())
}

/// Reads a value at any kernel address; an unreadable one yields zero. No branch,
/// of which the verifier of 5.10 would follow both ways through all that comes.
#[inline(always)]
pub fn probe_at<T: FromBytes>(address: *const T) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and fills all of `value`: with zeros
    // if it fails (5.5 and later, `bpf_probe_read_kernel_common`), of which any
    // `FromBytes` can consist.
    unsafe {
        let into = value.as_mut_ptr().cast::<c_void>();
        bpf_probe_read_kernel(into, size_of::<T>() as u32, address.cast());
        value.assume_init()
    }
}

/// Reads member `field` by a plain load, where the kernel can tell the current
/// task by type.
///
/// # Safety
///
/// `object` must be a pointer the verifier knows by type (a tp_btf or iterator
/// argument, the current task, or a pointer loaded from one): it checks the
/// member, and the kernel turns a fault into zero.
#[inline(always)]
pub unsafe fn load<T: Copy + FromBytes>(object: Ptr, field: usize) -> T {
    if setting!(TYPED_TASKS) != 1 {
        return probe(object, field);
    }
    // SAFETY: see above.
    unsafe { read_volatile(object.add(offset(field)).cast()) }
}

/// The object that member `field` points to, which the verifier knows by type
/// where [`load`] is a plain load.
///
/// # Safety
///
/// As for [`load`].
#[inline(always)]
pub unsafe fn follow(object: Ptr, field: usize) -> Ptr {
    // SAFETY: see above.
    unsafe { load::<u64>(object, field) as Ptr }
}
