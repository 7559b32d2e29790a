//! Processes and threads: fork, exec, exit, and the fd tables they pass on.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use pipewatch_ebpf::{
    abi::{FLAG_GROUP, KIND_EXEC, KIND_EXIT, KIND_FORK},
    offsets::{BPRM_FILE, SIGNAL_LIVE, TASK_SIGNAL, TASK_TGID},
};

use super::walk::walk;
use crate::{
    emit::{record, send, send_urgent},
    kernel::{Ptr, follow, load, probe},
    maps::{ARMED, SLEEPS, WATCHED, setting},
    python::{is_python, place},
    task::{
        PF_KTHREAD, by_current, current, current_watched, distrusted, flags, identity, table_of,
        watch, watched,
    },
};

/// `sched_process_fork(parent, child)`: kernel_clone calls it when the child
/// is complete and has not run yet, for processes and threads alike.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_fork(ctx: BtfTracePointContext) -> i32 {
    let (parent, child): (Ptr, Ptr) = (ctx.arg(0), ctx.arg(1));
    // SAFETY: typed by the tracepoint.
    let (parent_is_kernel, parent_tgid) =
        unsafe { (flags(parent) & PF_KTHREAD != 0, load(parent, TASK_TGID)) };
    if parent_is_kernel || !watched(parent_tgid) {
        return 0;
    }
    let mut record = record(KIND_FORK);
    by_current(&mut record);
    // SAFETY: typed by the tracepoint.
    record.peer = unsafe { identity(child) };
    record.peer_table = table_of(child);
    if record.peer.tgid != parent_tgid {
        watch(record.peer.tgid, record.peer.start);
        record.stack = place(&ctx, record.time);
    }
    if setting!(VERBOSE) == 1 {
        aya_log_ebpf::debug!(&ctx, "fork: {} by {}", record.peer.tid, parent_tgid);
    }
    send(&record);
    if record.table != record.peer_table {
        walk(&mut record);
    }
    0
}

/// `sched_process_exec(task, old_pid, bprm)`: exec_binprm calls it after
/// begin_new_exec, so close-on-exec has been done and the process is down to
/// one thread with a table of its own.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    if !current_watched() {
        return 0;
    }
    let mut record = record(KIND_EXEC);
    by_current(&mut record);
    // Its name and its table may be others now.
    let _ = SLEEPS.remove(record.task.tid);
    // The thread that called it has the id of the group leader now.
    let old: u32 = ctx.arg(1);
    if old != record.task.tid {
        let _ = SLEEPS.remove(old);
        let _ = ARMED.remove(old);
    }
    record.peer = record.task;
    record.peer_table = table_of(current());
    if setting!(VERBOSE) == 1 {
        aya_log_ebpf::debug!(&ctx, "exec: {}", record.task.tgid);
    }
    let program: Ptr = ctx.arg(2);
    if setting!(WITH_STACKS) == 1 && is_python(probe::<u64>(program, BPRM_FILE) as Ptr) {
        // It is looked at before it does what is to be told.
        send_urgent(&record);
    } else {
        send(&record);
    }
    walk(&mut record);
    0
}

/// `sched_process_exit(task)`: do_exit calls it after `signal->live` was
/// counted down and before exit_files.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let task: Ptr = ctx.arg(0);
    // SAFETY: typed by the tracepoint.
    let who = unsafe { identity(task) };
    if !watched(who.tgid) {
        return 0;
    }
    let mut record = record(KIND_EXIT);
    by_current(&mut record);
    // SAFETY: typed, as is what is loaded from it.
    let live: u32 = unsafe { load(follow(distrusted(task), TASK_SIGNAL), SIGNAL_LIVE) };
    let _ = SLEEPS.remove(who.tid);
    let armed = ARMED.remove(who.tid).is_ok();
    if live == 0 {
        record.flags = FLAG_GROUP;
        let _ = WATCHED.remove(who.tgid);
    }
    if armed {
        send_urgent(&record);
    } else {
        send(&record);
    }
    0
}
