//! The kernel's own tables, read on request: every pipe end of the host, every
//! user thread. aya-ebpf has no macro for iterators, hence the bare sections.

use core::ffi::c_void;

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};
use pipewatch_ebpf::{
    abi::{
        END_SOCKET, FLAG_IN_READ, FLAG_RING, FLAG_SLEEPING, FLAG_STOPPED, KIND_ROW_END,
        KIND_ROW_TASK, MODE_READ, Record,
    },
    offsets::{
        ABSENT, CONTEXT_TASK, FILE_INODE, INODE_MODE, INODE_PIPE, PIPE_RD_WAIT, REQUEST_CONTEXT,
        REQUEST_FILE, REQUEST_TASK, TASK_ARRIVAL, TASK_FLAGS, TASK_LEADER, TASK_NVCSW, TASK_PARENT,
        TASK_TGID, WAIT_ENTRY, WAIT_PRIVATE,
    },
};

use crate::{
    emit::record,
    file::{S_IFIFO, S_IFMT, S_IFSOCK, cloexec, end_at, end_of, sockets_of, state_of},
    kernel::{Ptr, follow, load, member, offset, probe, probe_at},
    maps::ASKED,
    task::{
        INTERRUPTIBLE, PF_IO_WORKER, PF_KTHREAD, STOPPED, Syscall, about, fdt_of, flags, identity,
        state, syscall_of, table_of, watched,
    },
};

/// Loads pointer number `N` of an iterator's context. The offset must be a
/// literal to the verifier.
#[inline(always)]
unsafe fn slot<const N: usize>(ctx: Ptr) -> Ptr {
    // SAFETY: the verifier checks the context's bounds.
    unsafe { core::ptr::read_volatile(ctx.cast::<Ptr>().add(N)) }
}

/// Appends a record to the iterator's file.
#[inline(always)]
unsafe fn write(ctx: Ptr, record: &Record) {
    // SAFETY: slot 0 is `struct bpf_iter_meta *`, whose first member is the
    // `struct seq_file *`.
    unsafe {
        let seq: *mut seq_file = core::ptr::read_volatile(slot::<0>(ctx).cast());
        bpf_seq_write(
            seq,
            (&raw const *record).cast::<c_void>().cast_mut(),
            size_of::<Record>() as u32,
        );
    }
}

/// Every descriptor of a watched process that refers to a pipe, a FIFO or one end of
/// a pair of sockets. The kernel visits each fd table once per process, and once
/// for each thread that has a table of its own.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn iter_ends(ctx: Ptr) -> i32 {
    // SAFETY: this is such an iterator.
    unsafe { tell_end(ctx, false) }
}

/// The same of any process, if its channel or the table that it is in is asked for.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn iter_ends_asked(ctx: Ptr) -> i32 {
    // SAFETY: this is such an iterator.
    unsafe { tell_end(ctx, true) }
}

/// Writes the row of a descriptor, if it is of an end, and asked for.
///
/// # Safety
///
/// `ctx` must be the context of an iterator over descriptors.
#[inline(always)]
unsafe fn tell_end(ctx: Ptr, only_asked: bool) -> i32 {
    // SAFETY: context { meta, task, fd, file }, typed by the iterator.
    unsafe {
        let (task, file) = (slot::<1>(ctx), slot::<3>(ctx));
        if task.is_null() || file.is_null() {
            return 0;
        }
        let inode = follow(file, FILE_INODE);
        let kind = load::<u16>(inode, INODE_MODE) & S_IFMT;
        if !matches!(kind, S_IFIFO | S_IFSOCK) {
            return 0;
        }
        if only_asked {
            let is_asked = |address: u64| ASKED.get_ptr(address).is_some();
            let found = match kind {
                S_IFIFO => is_asked(member(inode, INODE_PIPE)),
                _ => sockets_of(file).into_iter().any(is_asked),
            };
            if !found && !is_asked(table_of(task)) {
                return 0;
            }
        } else if !watched(load(task, TASK_TGID)) {
            return 0;
        }
        let fd: u32 = core::ptr::read_volatile(ctx.add(16).cast());
        let mut record = record(KIND_ROW_END);
        about(&mut record, task);
        let Some(end) = end_of(file, fd, || cloexec(fdt_of(record.table), fd)) else {
            return 0;
        };
        record.end = end;
        let socket = end.flags & END_SOCKET != 0;
        let [readers, writers, head, tail] = state_of(end.pipe, socket);
        record.args = [readers, writers, head, tail, 0];
        if !socket && end.mode & MODE_READ != 0 {
            // As a number, for the reason that `task::table_of` tells.
            let file = probe_at(ctx.cast::<u64>().add(3));
            if awaited_by_ring(end.pipe, file, probe(task, TASK_LEADER)) {
                record.flags |= FLAG_RING;
            }
        }
        write(ctx, &record);
    }
    0
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

/// Every user thread of the host, and the pipe it sleeps on, if it does.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn iter_tasks(ctx: Ptr) -> i32 {
    // SAFETY: context { meta, task }, typed by the iterator.
    unsafe {
        let task = slot::<1>(ctx);
        if task.is_null() || flags(task) & PF_KTHREAD != 0 {
            return 0;
        }
        tell(ctx, task, &syscall_of(task));
    }
    0
}

/// Of these the watched ones that sleep in a call that waits for several descriptors:
/// this is asked for often, and many others cost user space much.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn iter_pollers(ctx: Ptr) -> i32 {
    // SAFETY: context { meta, task }, typed by the iterator.
    unsafe {
        let task = slot::<1>(ctx);
        if task.is_null() || flags(task) & PF_KTHREAD != 0 || state(task) & INTERRUPTIBLE == 0 {
            return 0;
        }
        let call = syscall_of(task);
        if call.is_poll() && watched(load(task, TASK_TGID)) {
            tell(ctx, task, &call);
        }
    }
    0
}

/// Writes the row of a thread that is in this call.
///
/// # Safety
///
/// `ctx` must be an iterator's context, and `task` known to the verifier as a
/// `task_struct`.
#[inline(always)]
unsafe fn tell(ctx: Ptr, task: Ptr, call: &Syscall) {
    // SAFETY: typed, as is what is loaded from it.
    unsafe {
        let mut record = record(KIND_ROW_TASK);
        about(&mut record, task);
        let parent = follow(task, TASK_PARENT);
        record.peer = identity(parent);
        record.time = load(task, TASK_ARRIVAL);
        let [first, second, ..] = call.args;
        record.args = [load(task, TASK_NVCSW), call.nr, first, second, call.frame];
        let state = state(task);
        if state & STOPPED != 0 {
            record.flags |= FLAG_STOPPED;
        }
        if state & INTERRUPTIBLE != 0 {
            record.flags |= FLAG_SLEEPING;
            if call.is_read() {
                if let Some(end) = end_at(record.table, call.args[0] as u32) {
                    record.end = end;
                    record.flags |= FLAG_IN_READ;
                }
            }
        }
        write(ctx, &record);
    }
}
