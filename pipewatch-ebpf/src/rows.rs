//! What iterators write.

use core::ffi::c_void;

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};
use pipewatch_ebpf::{
    abi::{END_SOCKET, FLAG_RING, KIND_ROW_END, MODE_READ, Record},
    offsets::{
        ABSENT, CONTEXT_TASK, PIPE_RD_WAIT, REQUEST_CONTEXT, REQUEST_FILE, REQUEST_TASK,
        TASK_FLAGS, TASK_LEADER, WAIT_ENTRY, WAIT_PRIVATE,
    },
};

use crate::{
    emit::record,
    file::{end_of, state_of},
    kernel::{Ptr, number_of, offset, probe, probe_at},
    table::cloexec,
    task::{PF_IO_WORKER, about},
};

/// Loads pointer number `N` of an iterator's context. The offset must be a
/// literal to the verifier.
///
/// # Safety
///
/// `ctx` must be such a context, of so many pointers.
#[inline(always)]
pub unsafe fn slot<const N: usize>(ctx: Ptr) -> Ptr {
    // SAFETY: the verifier checks the context's bounds.
    unsafe { core::ptr::read_volatile(ctx.cast::<Ptr>().add(N)) }
}

/// Appends a row to the iterator's file.
///
/// # Safety
///
/// `ctx` must be the context of an iterator.
#[inline(always)]
pub unsafe fn write(ctx: Ptr, row: &Record) {
    // SAFETY: slot 0 is `struct bpf_iter_meta *`, whose first member is the
    // `struct seq_file *`.
    unsafe {
        let seq: *mut seq_file = core::ptr::read_volatile(slot::<0>(ctx).cast());
        bpf_seq_write(
            seq,
            (&raw const *row).cast::<c_void>().cast_mut(),
            size_of::<Record>() as u32,
        );
    }
}

/// The row of descriptor `fd` of `task`, which refers to `file`, if that is an end.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`; `file` is as
/// [`end_of`] takes it.
#[inline(always)]
pub unsafe fn end_row(task: Ptr, file: Ptr, fd: u32) -> Option<Record> {
    // SAFETY: as this function demands.
    let end = end_of(file, fd, || unsafe { cloexec(task, fd) })?;
    let mut record = record(KIND_ROW_END);
    // SAFETY: as this function demands.
    unsafe { about(&mut record, task) };
    record.end = end;
    let socket = end.flags & END_SOCKET != 0;
    let [readers, writers, head, tail] = state_of(end.pipe, socket);
    record.args = [readers, writers, head, tail, 0];
    if !socket && end.mode & MODE_READ != 0 {
        if awaited_by_ring(end.pipe, number_of(file), probe(task, TASK_LEADER)) {
            record.flags |= FLAG_RING;
        }
    }
    Some(record)
}

/// So many of those who wait for a pipe are looked at.
const MAX_WAITERS: u32 = 16;

/// Whether an io_uring of the process led by `leader` waits to read `file`, an end
/// of `pipe`: by a request that is woken when there are bytes (`io_poll`, whose wait queue entry
/// points to the request), or by a worker that reads for it.
#[inline(always)]
fn awaited_by_ring(pipe: u64, file: u64, leader: u64) -> bool {
    if offset(REQUEST_FILE) == ABSENT as usize {
        return false;
    }
    let head = pipe + offset(PIPE_RD_WAIT) as u64;
    let mut entry: u64 = probe_at(head as *const u64);
    let mut looked_at = 0;
    while looked_at < MAX_WAITERS && entry != 0 && entry != head {
        if is_of_ring(entry, file, leader) != 0 {
            return true;
        }
        entry = probe_at(entry as *const u64);
        looked_at += 1;
    }
    false
}

/// 1 if the entry of a wait queue is of an io_uring, of the process led by
/// `leader`, that reads `file`. Global for the reason that `probes::walk` tells.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_of_ring(entry: u64, file: u64, leader: u64) -> u32 {
    let entry = entry.wrapping_sub(offset(WAIT_ENTRY) as u64) as Ptr;
    let waiter: u64 = probe(entry, WAIT_PRIVATE);
    // Bit 0 tells which of two entries of the request this is. Anything else
    // that waits has another address where a request has its file.
    let request = (waiter & !1) as Ptr;
    let asks = probe::<u64>(request, REQUEST_FILE) == file
        && probe::<u64>(owner(request), TASK_LEADER) == leader;
    let works = probe::<u64>(waiter as Ptr, TASK_LEADER) == leader
        && probe::<u32>(waiter as Ptr, TASK_FLAGS) & PF_IO_WORKER != 0;
    u32::from(asks || works)
}

/// The task that made a request of an io_uring.
#[inline(always)]
fn owner(request: Ptr) -> Ptr {
    if offset(REQUEST_TASK) != ABSENT as usize {
        return probe::<u64>(request, REQUEST_TASK) as Ptr;
    }
    probe::<u64>(probe::<u64>(request, REQUEST_CONTEXT) as Ptr, CONTEXT_TASK) as Ptr
}
