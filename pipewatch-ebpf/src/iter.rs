//! The kernel's own tables, read on request: every pipe end of the host, every
//! user thread. aya-ebpf has no macro for iterators, hence the bare sections.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::seq_file,
    helpers::generated::{bpf_loop, bpf_seq_write},
};
use pipewatch_ebpf::{
    abi::{
        END_SOCKET, End, FLAG_IN_READ, FLAG_RING, FLAG_SLEEPING, FLAG_STOPPED, KIND_ROW_END,
        KIND_ROW_TASK, MODE_READ, Record,
    },
    offsets::{
        ABSENT, CONTEXT_TASK, FILE_INODE, INODE_MODE, PIPE_RD_WAIT, REQUEST_CONTEXT, REQUEST_FILE,
        REQUEST_TASK, TASK_ARRIVAL, TASK_FLAGS, TASK_LEADER, TASK_NVCSW, TASK_PARENT, WAIT_ENTRY,
        WAIT_PRIVATE,
    },
};

use crate::{
    emit::record,
    file::{S_IFIFO, S_IFMT, S_IFSOCK, end_at, end_of, state_of},
    kernel::{Ptr, load, offset, probe, probe_at},
    probes::is_read,
    task::{
        INTERRUPTIBLE, PF_IO_WORKER, PF_KTHREAD, STOPPED, about, fdt_of, flags, identity, state,
        syscall_of,
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

/// Every descriptor of the host that refers to a pipe, a FIFO or one end of a
/// pair of sockets. The kernel visits each fd table once per process, and once
/// for each thread that has a table of its own.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn iter_ends(ctx: Ptr) -> i32 {
    // SAFETY: context { meta, task, fd, file }, typed by the iterator.
    unsafe {
        let (task, file) = (slot::<1>(ctx), slot::<3>(ctx));
        if task.is_null() || file.is_null() {
            return 0;
        }
        let inode: Ptr = load(file, FILE_INODE);
        if !matches!(load::<u16>(inode, INODE_MODE) & S_IFMT, S_IFIFO | S_IFSOCK) {
            return 0;
        }
        let fd: u32 = core::ptr::read_volatile(ctx.add(16).cast());
        let mut record = record(KIND_ROW_END);
        about(&mut record, task);
        let Some(end) = end_of(file as u64, fdt_of(record.table), fd) else {
            return 0;
        };
        record.end = end;
        let socket = end.flags & END_SOCKET != 0;
        record.args = state_of(end.pipe, socket);
        if !socket && end.mode & MODE_READ != 0 && awaited_by_ring(&end, load(task, TASK_LEADER)) {
            record.flags |= FLAG_RING;
        }
        write(ctx, &record);
    }
    0
}

/// So many of those who wait for a pipe are looked at.
const WAITERS: u32 = 16;

/// A look at who waits for a pipe, handed to the loop's callback.
struct Queue {
    /// Where the queue begins and ends, and the next entry.
    head: u64,
    next: u64,
    file: u64,
    leader: u64,
    found: u64,
}

/// Whether an io_uring of the process led by `leader` waits to read `end`: by a
/// request that is woken when there are bytes (`io_poll`, whose wait queue entry
/// points to the request), or by a worker that reads for it.
#[inline(always)]
fn awaited_by_ring(end: &End, leader: u64) -> bool {
    if offset(REQUEST_FILE) == ABSENT as usize {
        return false;
    }
    let head = end.pipe + offset(PIPE_RD_WAIT) as u64;
    let mut queue = Queue {
        head,
        next: probe_at(head as *const u64),
        file: end.file,
        leader,
        found: 0,
    };
    if queue.next == head {
        return false;
    }
    let callback = waiter as extern "C" fn(u32, *mut c_void) -> i64;
    let context = (&raw mut queue).cast::<c_void>();
    // SAFETY: the callback has the signature the helper wants, and `queue`
    // outlives the call.
    unsafe { bpf_loop(WAITERS, callback as *mut c_void, context, 0) };
    // The callback may have changed it.
    // SAFETY: a local variable.
    unsafe { core::ptr::read_volatile(&raw const queue.found) != 0 }
}

/// Looks at one entry of the queue. Nonzero ends the loop.
#[inline(never)]
extern "C" fn waiter(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `bpf_loop` hands over what `awaited_by_ring` gave it.
    let queue = unsafe { &mut *context.cast::<Queue>() };
    if queue.next == 0 || queue.next == queue.head {
        return 1;
    }
    let entry = queue.next.wrapping_sub(offset(WAIT_ENTRY) as u64) as Ptr;
    queue.next = probe_at(queue.next as *const u64);
    let waiter: u64 = probe(entry, WAIT_PRIVATE);
    // Bit 0 tells which of two entries of the request this is. Anything else
    // that waits has another address where a request has its file.
    let request = (waiter & !1) as Ptr;
    let asks = probe::<u64>(request, REQUEST_FILE) == queue.file
        && probe::<u64>(owner(request), TASK_LEADER) == queue.leader;
    let works = probe::<u64>(waiter as Ptr, TASK_LEADER) == queue.leader
        && probe::<u32>(waiter as Ptr, TASK_FLAGS) & PF_IO_WORKER != 0;
    if asks || works {
        queue.found = 1;
        return 1;
    }
    0
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
        let mut record = record(KIND_ROW_TASK);
        about(&mut record, task);
        let parent: Ptr = load(task, TASK_PARENT);
        record.peer = identity(parent);
        record.time = load(task, TASK_ARRIVAL);
        let call = syscall_of(task);
        record.args = [load(task, TASK_NVCSW), call.nr, call.args[0], call.args[1]];
        let state = state(task);
        if state & STOPPED != 0 {
            record.flags |= FLAG_STOPPED;
        }
        if state & INTERRUPTIBLE != 0 {
            record.flags |= FLAG_SLEEPING;
            if is_read(call.nr) {
                if let Some(end) = end_at(record.table, call.args[0] as u32) {
                    record.end = end;
                    record.flags |= FLAG_IN_READ;
                }
            }
        }
        write(ctx, &record);
    }
    0
}
