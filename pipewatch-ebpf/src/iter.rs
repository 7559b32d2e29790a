//! The kernel's own tables, read on request: every pipe end of the host, every
//! user thread. aya-ebpf has no macro for iterators, hence the bare sections.

use pipewatch_ebpf::{
    abi::{FLAG_IN_READ, FLAG_SLEEPING, FLAG_STOPPED, KIND_ROW_MORE, KIND_ROW_TASK},
    offsets::{
        FILE_INODE, INODE_MODE, TASK_ARRIVAL, TASK_LEADER, TASK_NVCSW, TASK_PARENT, TASK_PID,
        TASK_TGID,
    },
};

use crate::{
    asked::{is_asked, is_end_asked, search},
    emit::record,
    file::{S_IFIFO, S_IFMT, S_IFSOCK, end_at},
    kernel::{Ptr, follow, load},
    rows::{end_row, slot, write},
    task::{
        INTERRUPTIBLE, PF_KTHREAD, STOPPED, Syscall, about, distrusted, flags, identity, state,
        syscall_of, table_of, watched,
    },
};

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

/// The same of every process, and of every thread with a table of its own, by looking
/// into its table, which takes a small part of what it takes the kernel to go through all
/// descriptors, each of which it keeps open meanwhile. If that are not all of a table,
/// `KIND_ROW_MORE` follows.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn iter_asked(ctx: Ptr) -> i32 {
    // SAFETY: context { meta, task }, typed by the iterator.
    unsafe {
        let task = slot::<1>(ctx);
        if task.is_null() || flags(task) & PF_KTHREAD != 0 {
            return 0;
        }
        let is_thread = load::<u32>(task, TASK_PID) != load(task, TASK_TGID);
        if is_thread && table_of(task) == table_of(follow(distrusted(task), TASK_LEADER)) {
            return 0;
        }
        if !search(ctx, task) {
            write(ctx, &record(KIND_ROW_MORE));
        }
    }
    0
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
        let kind = load::<u16>(follow(file, FILE_INODE), INODE_MODE) & S_IFMT;
        if !matches!(kind, S_IFIFO | S_IFSOCK) {
            return 0;
        }
        let wanted = if only_asked {
            is_end_asked(file) || is_asked(table_of(task))
        } else {
            watched(load(task, TASK_TGID))
        };
        if wanted {
            let fd = core::ptr::read_volatile(ctx.add(16).cast());
            if let Some(row) = end_row(task, file, fd) {
                write(ctx, &row);
            }
        }
    }
    0
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
        let parent = follow(distrusted(task), TASK_PARENT);
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
                if let Some(end) = end_at(task, call.args[0] as u32) {
                    record.end = end;
                    record.flags |= FLAG_IN_READ;
                }
            }
        }
        write(ctx, &record);
    }
}
