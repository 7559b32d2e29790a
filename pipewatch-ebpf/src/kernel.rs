//! Reading kernel structures by the offsets of the running kernel.

use core::{
    ffi::c_void,
    mem::{MaybeUninit, transmute},
    ptr::read_volatile,
};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use pipewatch_ebpf::offsets::{CAST_CALL, types};
use zerocopy::FromBytes;

use crate::maps::{OFFSETS, SYSCALLS, TYPES, setting};

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

/// The address of an object as a number, which is all that a global function takes.
#[inline(always)]
pub fn number_of(object: Ptr) -> u64 {
    probe_at((&raw const object).cast())
}

/// Number of type `index` (of `offsets::types`); 0: the kernel takes no casts.
#[inline(always)]
fn type_number(index: usize) -> u32 {
    // SAFETY: `index` is a constant below the array's length.
    unsafe { read_volatile((&raw const TYPES).cast::<u32>().add(index)) }
}

/// Whether the kernel takes casts, so that what follows is cheap.
#[inline(always)]
pub fn casts() -> bool {
    type_number(types::SLOT) != 0
}

/// The object at any address as one of type `index`, if the kernel takes casts: what
/// is read of it is read by [`member`].
#[inline(always)]
pub fn cast(address: u64, index: usize) -> Ptr {
    let number = type_number(index);
    if number == 0 {
        return address as Ptr;
    }
    // SAFETY: the number stands for a function of the kernel of this type, which reads
    // nothing. Where it does not, this is never reached.
    unsafe {
        let cast = transmute::<usize, extern "C" fn(u64, u32) -> Ptr>(CAST_CALL as usize);
        cast(address, number)
    }
}

/// Reads member `field` of an object that came from [`cast`], or from what was read of
/// such a one; one that is not there, or any more, yields zero.
#[inline(always)]
pub fn member<T: Copy + FromBytes>(object: Ptr, field: usize) -> T {
    if !casts() {
        return probe(object, field);
    }
    // SAFETY: the verifier knows the object's type and checks the member, and the
    // kernel turns a fault into zero.
    unsafe { read_volatile(object.add(offset(field)).cast()) }
}

/// The object that member `field` points to, as [`member`].
#[inline(always)]
pub fn member_at(object: Ptr, field: usize) -> Ptr {
    member::<u64>(object, field) as Ptr
}
