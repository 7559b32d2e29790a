//! Descriptors: made, duplicated, closed, marked. What is done when a system
//! call begins or returns, whichever kind of probe tells (`calls`). Arguments
//! come from the saved registers, so that most calls need one probe, at their
//! return.

use aya_ebpf::{EbpfContext, helpers::bpf_probe_read_user};
use pipewatch_ebpf::abi::{
    END_SOCKET, End, KIND_CLOSE, KIND_CLOSE_RANGE, KIND_CREATE, KIND_DUP, KIND_SETFD, KIND_UNSHARE,
};

use super::{calls::Called, walk::walk};
use crate::{
    emit::{record, send, stack},
    file::{end_at, may_be_end},
    kernel::casts,
    python::place,
    table::file_at,
    task::{Syscall, by_current, current, current_call, current_watched, table_of},
};

const F_DUPFD: u64 = 0;
const F_SETFD: u64 = 2;
const F_DUPFD_CLOEXEC: u64 = 1030;
/// `include/uapi/linux/close_range.h`.
const CLOSE_RANGE_UNSHARE: u64 = 2;
/// `CLONE_FILES` of `include/uapi/linux/sched.h`.
const CLONE_FILES: u64 = 0x400;

/// The end that a descriptor of the current task refers to, if it is one.
#[inline(always)]
fn current_end(fd: u32) -> Option<End> {
    // SAFETY: `current` is typed.
    unsafe { end_at(current(), fd) }
}

/// A pipe or a pair of sockets was made, whose two descriptors the call has
/// stored at `fds`.
#[inline(always)]
fn created<C: EbpfContext>(ctx: &C, returned: i64, fds: impl Fn(Syscall) -> u64) {
    if !current_watched() || returned != 0 {
        return;
    }
    let mut record = record(KIND_CREATE);
    let fds = fds(current_call()) as *const [u32; 2];
    // SAFETY: the helper checks the address.
    let Ok([read, write]) = (unsafe { bpf_probe_read_user(fds) }) else {
        return;
    };
    by_current(&mut record);
    // Another thread may have closed either end already.
    let Some(end) = current_end(read) else {
        return;
    };
    record.end = end;
    record.args[0] = u64::from(write);
    record.args[1] = match current_end(write) {
        Some(other) if other.pipe == end.pipe => other.file,
        Some(other) if end.flags & END_SOCKET != 0 && other.inode == u64::from(end.head) => {
            other.file
        }
        _ => 0,
    };
    record.stack = place(ctx, record.time);
    send(&record);
}

/// Return of pipe and pipe2.
#[inline(always)]
pub fn made_pipe<C: EbpfContext>(ctx: &C, returned: i64) {
    created(ctx, returned, |call| call.args[0]);
}

/// Return of socketpair.
#[inline(always)]
pub fn made_socketpair<C: EbpfContext>(ctx: &C, returned: i64) {
    created(ctx, returned, |call| call.args[3]);
}

/// Entry of close: the last moment at which the descriptor tells its pipe. A
/// valid descriptor is released whatever close returns.
#[inline(always)]
pub fn closes<C: Called>(ctx: &C) {
    // Most descriptors are of no end. Where that is cheap to see, watched processes need
    // not be looked for.
    // SAFETY: `current` is typed.
    let may_be_end = |fd| unsafe { may_be_end(current(), fd) };
    if casts() && !may_be_end(ctx.first_argument() as u32) {
        return;
    }
    if current_watched() {
        closing(ctx.first_argument() as u32);
    }
}

/// Tells that a descriptor is being closed, if it is of an end.
#[inline(always)]
fn closing(fd: u32) {
    // Most are not, and cost no more than that.
    if let Some(end) = current_end(fd) {
        let mut record = record(KIND_CLOSE);
        by_current(&mut record);
        record.end = end;
        send(&record);
    }
}

/// Return of close_range. Where it made the table private first, what is left
/// in it is reported as for unshare.
#[inline(always)]
pub fn closed_range<C: EbpfContext>(_: &C, returned: i64) {
    if !current_watched() || returned != 0 {
        return;
    }
    let [first, last, flags, _] = current_call().args;
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        table_is_private();
        return;
    }
    let mut record = record(KIND_CLOSE_RANGE);
    by_current(&mut record);
    record.args[0] = first & 0xffff_ffff;
    record.args[1] = last & 0xffff_ffff;
    record.args[2] = flags & 0xffff_ffff;
    send(&record);
}

/// Return of unshare: a task that asked for CLONE_FILES has a table of its own.
#[inline(always)]
pub fn unshared<C: EbpfContext>(_: &C, returned: i64) {
    if current_watched() && returned == 0 && current_call().args[0] & CLONE_FILES != 0 {
        table_is_private();
    }
}

#[inline(always)]
fn table_is_private() {
    let mut record = record(KIND_UNSHARE);
    by_current(&mut record);
    record.peer = record.task;
    record.peer_table = table_of(current());
    send(&record);
    walk(&mut record);
}

/// Entry of dup2 and dup3: whatever `new` was is closed.
#[inline(always)]
pub fn replaces<C: EbpfContext>(_: &C) {
    if !current_watched() {
        return;
    }
    let [old, new, ..] = current_call().args.map(|arg| arg as u32);
    // The call fails, and closes nothing, if there is no such `old`.
    // SAFETY: `current` is typed.
    if old != new && unsafe { file_at(current(), old) }.is_some() {
        closing(new);
    }
}

/// Return of dup, dup2, dup3, and fcntl where it duplicates.
#[inline(always)]
pub fn duplicated<C: EbpfContext>(ctx: &C, returned: i64) {
    if !current_watched() || returned < 0 {
        return;
    }
    let old = current_call().args[0] as u32;
    if i64::from(old) == returned {
        return;
    }
    if let Some(end) = current_end(returned as u32) {
        let mut record = record(KIND_DUP);
        by_current(&mut record);
        record.end = end;
        record.args[0] = u64::from(old);
        record.stack = stack(ctx);
        send(&record);
    }
}

/// Return of fcntl.
#[inline(always)]
pub fn controlled<C: EbpfContext>(ctx: &C, returned: i64) {
    if !current_watched() || returned < 0 {
        return;
    }
    let [fd, command, ..] = current_call().args;
    match command & 0xffff_ffff {
        F_DUPFD | F_DUPFD_CLOEXEC => duplicated(ctx, returned),
        F_SETFD => {
            if let Some(end) = current_end(fd as u32) {
                let mut record = record(KIND_SETFD);
                by_current(&mut record);
                record.end = end;
                send(&record);
            }
        }
        _ => {}
    }
}
