//! Descriptors: made, duplicated, closed, marked. By system call tracepoints,
//! which every kernel has; arguments come from the saved registers, so that
//! most calls need one probe, at their return.

use aya_ebpf::{
    EbpfContext, helpers::bpf_probe_read_user, macros::tracepoint, programs::TracePointContext,
};
use pipewatch_ebpf::abi::{
    END_SOCKET, KIND_CLOSE, KIND_CLOSE_RANGE, KIND_CREATE, KIND_DUP, KIND_SETFD,
};

use crate::{
    emit::{record, send, stack},
    file::{end_at, file_at},
    probes::process::unshared,
    task::{Syscall, by_current, current, current_watched, syscall_of},
};

const F_DUPFD: u64 = 0;
const F_SETFD: u64 = 2;
const F_DUPFD_CLOEXEC: u64 = 1030;
/// `include/uapi/linux/close_range.h`.
const CLOSE_RANGE_UNSHARE: u64 = 2;

/// What the system call returned (`sys_exit_*` tracepoints).
#[inline(always)]
pub fn returned(ctx: &TracePointContext) -> i64 {
    // SAFETY: syscall_trace_exit is { u64 common, i32 nr, i64 ret }; the
    // verifier checks the bounds.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u8>().add(16).cast()) }
}

/// Argument `N` of the system call (`sys_enter_*` tracepoints).
#[inline(always)]
fn argument<const N: usize>(ctx: &TracePointContext) -> u64 {
    // SAFETY: syscall_trace_enter is { u64 common, i32 nr, u64 args[] }; the
    // verifier checks the bounds.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u8>().add(16 + 8 * N).cast()) }
}

/// The system call that is about to return.
#[inline(always)]
fn call() -> Syscall {
    // SAFETY: the current task is typed and in a system call.
    unsafe { syscall_of(current()) }
}

/// A pipe or a pair of sockets, whose two descriptors the call has stored at
/// `fds`.
#[inline(always)]
fn created(ctx: &TracePointContext, fds: impl Fn() -> u64) -> u32 {
    if !current_watched() || returned(ctx) != 0 {
        return 0;
    }
    let mut record = record(KIND_CREATE);
    // SAFETY: the helper checks the address.
    let Ok([read, write]) = (unsafe { bpf_probe_read_user(fds() as *const [u32; 2]) }) else {
        return 0;
    };
    by_current(&mut record);
    // Another thread may have closed either end already.
    let Some(end) = end_at(record.table, read) else {
        return 0;
    };
    record.end = end;
    record.args[0] = u64::from(write);
    record.args[1] = match end_at(record.table, write) {
        Some(other) if other.pipe == end.pipe => other.file,
        Some(other) if end.flags & END_SOCKET != 0 && other.inode == u64::from(end.head) => {
            other.file
        }
        _ => 0,
    };
    record.stack = stack(ctx);
    send(&record);
    0
}

/// Return of pipe.
#[tracepoint(category = "syscalls", name = "sys_exit_pipe")]
pub fn exit_pipe(ctx: TracePointContext) -> u32 {
    created(&ctx, || call().args[0])
}

/// Return of pipe2.
#[tracepoint(category = "syscalls", name = "sys_exit_pipe2")]
pub fn exit_pipe2(ctx: TracePointContext) -> u32 {
    created(&ctx, || call().args[0])
}

/// Return of socketpair.
#[tracepoint(category = "syscalls", name = "sys_exit_socketpair")]
pub fn exit_socketpair(ctx: TracePointContext) -> u32 {
    created(&ctx, || call().args[3])
}

/// Entry of close: the last moment at which the descriptor tells its pipe. A
/// valid descriptor is released whatever close returns.
#[tracepoint(category = "syscalls", name = "sys_enter_close")]
pub fn enter_close(ctx: TracePointContext) -> u32 {
    if !current_watched() {
        return 0;
    }
    let mut record = record(KIND_CLOSE);
    by_current(&mut record);
    if let Some(end) = end_at(record.table, argument::<0>(&ctx) as u32) {
        record.end = end;
        send(&record);
    }
    0
}

/// Return of close_range. Where it made the table private first, what is left
/// in it is reported as for unshare.
#[tracepoint(category = "syscalls", name = "sys_exit_close_range")]
pub fn exit_close_range(ctx: TracePointContext) -> u32 {
    if !current_watched() || returned(&ctx) != 0 {
        return 0;
    }
    let mut record = record(KIND_CLOSE_RANGE);
    by_current(&mut record);
    let [first, last, flags, _] = call().args;
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        unshared(&mut record);
        return 0;
    }
    record.args = [
        first & 0xffff_ffff,
        last & 0xffff_ffff,
        flags & 0xffff_ffff,
        0,
    ];
    send(&record);
    0
}

/// Entry of dup2 and dup3: whatever `new` was is closed.
#[inline(always)]
fn replaced(ctx: &TracePointContext) -> u32 {
    if !current_watched() {
        return 0;
    }
    let (old, new) = (argument::<0>(ctx) as u32, argument::<1>(ctx) as u32);
    let mut record = record(KIND_CLOSE);
    by_current(&mut record);
    // The call fails, and closes nothing, if there is no such `old`.
    if old == new || file_at(record.table, old).is_none() {
        return 0;
    }
    if let Some(end) = end_at(record.table, new) {
        record.end = end;
        send(&record);
    }
    0
}

/// Entry of dup2.
#[tracepoint(category = "syscalls", name = "sys_enter_dup2")]
pub fn enter_dup2(ctx: TracePointContext) -> u32 {
    replaced(&ctx)
}

/// Entry of dup3.
#[tracepoint(category = "syscalls", name = "sys_enter_dup3")]
pub fn enter_dup3(ctx: TracePointContext) -> u32 {
    replaced(&ctx)
}

#[inline(always)]
fn duplicated(ctx: &TracePointContext) -> u32 {
    let new = returned(ctx);
    if !current_watched() || new < 0 {
        return 0;
    }
    let old = call().args[0] as u32;
    if i64::from(old) == new {
        return 0;
    }
    let mut record = record(KIND_DUP);
    by_current(&mut record);
    if let Some(end) = end_at(record.table, new as u32) {
        record.end = end;
        record.args[0] = u64::from(old);
        record.stack = stack(ctx);
        send(&record);
    }
    0
}

/// Return of dup.
#[tracepoint(category = "syscalls", name = "sys_exit_dup")]
pub fn exit_dup(ctx: TracePointContext) -> u32 {
    duplicated(&ctx)
}

/// Return of dup2.
#[tracepoint(category = "syscalls", name = "sys_exit_dup2")]
pub fn exit_dup2(ctx: TracePointContext) -> u32 {
    duplicated(&ctx)
}

/// Return of dup3.
#[tracepoint(category = "syscalls", name = "sys_exit_dup3")]
pub fn exit_dup3(ctx: TracePointContext) -> u32 {
    duplicated(&ctx)
}

/// Return of fcntl.
#[tracepoint(category = "syscalls", name = "sys_exit_fcntl")]
pub fn exit_fcntl(ctx: TracePointContext) -> u32 {
    if !current_watched() || returned(&ctx) < 0 {
        return 0;
    }
    let [fd, command, ..] = call().args;
    match command & 0xffff_ffff {
        F_DUPFD | F_DUPFD_CLOEXEC => duplicated(&ctx),
        F_SETFD => {
            let mut record = record(KIND_SETFD);
            by_current(&mut record);
            if let Some(end) = end_at(record.table, fd as u32) {
                record.end = end;
                send(&record);
            }
            0
        }
        _ => 0,
    }
}
