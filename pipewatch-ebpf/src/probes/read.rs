//! Reads that sleep: when they begin, when they end.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use pipewatch_ebpf::{
    abi::{
        COUNTER_MAP_FULL, Channel, END_SOCKET, FLAG_EXECING, FLAG_EXITING, FLAG_KERNEL, KIND_SLEEP,
        KIND_WAKE, Record,
    },
    offsets::{
        FILE_INODE, INODE_INO, INODE_PIPE, PIPE_HEAD, TASK_FILES, TASK_NVCSW, TASK_PID, TASK_TGID,
        syscalls, types,
    },
};

use crate::{
    emit::{count, record, send_urgent},
    file::{end_at, state_of},
    kernel::{Ptr, cast, load, member, member_at, syscall},
    maps::{ARMED, SLEEPS},
    table::file_at,
    task::{
        INTERRUPTIBLE, PF_EXITING, PF_KTHREAD, Syscall, about, by_current, current, distrusted,
        flags, identity, state, syscall_of, watched,
    },
};

/// `sched_switch(preempt, prev, next, …)`: `prev` leaves the CPU. A read that
/// does not sleep never comes here, and a sleep costs user space nothing: the
/// latest one of each thread is kept in a map, which user space looks at.
#[btf_tracepoint(function = "sched_switch")]
pub fn switch(ctx: BtfTracePointContext) -> i32 {
    let (preempted, prev): (u64, Ptr) = (ctx.arg(0), ctx.arg(1));
    // SAFETY: typed by the tracepoint.
    unsafe {
        if preempted & 1 == 1 || state(prev) & INTERRUPTIBLE == 0 {
            return 0;
        }
        if !watched(load(prev, TASK_TGID)) || flags(prev) & PF_KTHREAD != 0 {
            return 0;
        }
        let call = syscall_of(prev);
        if !call.is_read() {
            return 0;
        }
        // __schedule has counted this switch already.
        let nvcsw = load(prev, TASK_NVCSW);
        let before = SLEEPS.get_ptr_mut(load::<u32>(prev, TASK_PID));
        if let Some(sleep) = before {
            if is_again(&*sleep, prev, &call) {
                renew(sleep, nvcsw);
                return 0;
            }
        }
        let mut record = record(KIND_SLEEP);
        about(&mut record, prev);
        let Some(end) = end_at(prev, call.args[0] as u32) else {
            return 0;
        };
        record.end = end;
        record.args[0] = nvcsw;
        record.args[1] = call.nr;
        record.args[3] = record.time;
        // A pipe counts what is written to it, a socket does not.
        if end.flags & END_SOCKET != 0 {
            if let Some(before) = before {
                // A value of the map, which is preallocated: never unmapped,
                // and written only where this very thread goes to sleep.
                if (*before).end.file == end.file {
                    record.args[2] = (*before).time;
                }
            }
        }
        if SLEEPS.insert(record.task.tid, record, 0).is_err() {
            count(COUNTER_MAP_FULL);
        }
    }
    0
}

/// Whether the sleep that begins is in the same read of the same pipe as the one
/// before it: most are, of threads that sleep often.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
unsafe fn is_again(before: &Record, task: Ptr, call: &Syscall) -> bool {
    let fd = before.end.fd;
    // SAFETY: typed, as is what is loaded from it.
    unsafe {
        let table: u64 = load(distrusted(task), TASK_FILES);
        if before.args[1] != call.nr
            || fd != call.args[0] as u32
            || before.table != table
            || before.end.flags & END_SOCKET != 0
        {
            return false;
        }
        let Some(file) = file_at(task, fd) else {
            return false;
        };
        // What was closed may be in use again as another one, but for its number.
        let inode = member_at(file, FILE_INODE);
        before.end.file == file as u64
            && before.end.inode == member(inode, INODE_INO)
            && before.end.pipe == member(inode, INODE_PIPE)
    }
}

/// Makes of a sleep the one that begins. User space may be copying it: the last word
/// is written first and the first one last, so that they differ meanwhile.
///
/// # Safety
///
/// `sleep` must be a value of the map, and of the thread that goes to sleep.
#[inline(always)]
unsafe fn renew(sleep: *mut Record, nvcsw: u64) {
    // SAFETY: a value of the map, which is preallocated: never unmapped, and written
    // only where its thread goes to sleep.
    unsafe {
        let now = bpf_ktime_get_ns();
        (&raw mut (*sleep).args[3]).write_volatile(now);
        let head = member(cast((*sleep).end.pipe, types::PIPE), PIPE_HEAD);
        (&raw mut (*sleep).end.head).write_volatile(head);
        (&raw mut (*sleep).args[0]).write_volatile(nvcsw);
        (&raw mut (*sleep).time).write_volatile(now);
    }
}

/// `sched_waking(task)`, called by the waker: who ended an armed wait, and
/// what the pipe looks like at that moment. Armed for one report only, so that
/// a reader that goes on to read busily costs nothing.
#[btf_tracepoint(function = "sched_waking")]
pub fn waking(ctx: BtfTracePointContext) -> i32 {
    let sleeper: Ptr = ctx.arg(0);
    // SAFETY: typed by the tracepoint.
    let tid: u32 = unsafe { load(sleeper, TASK_PID) };
    let Some(armed) = ARMED.get_ptr_mut(tid) else {
        return 0;
    };
    let mut found = Found::default();
    // SAFETY: a value of the map, which is preallocated: never unmapped.
    let [first, second, third, fourth] = unsafe { &mut (*armed).channels };
    // One by one: of a loop, the compiler makes an address before the value, which
    // the verifier of 7.3 refuses.
    found.look_at(first);
    found.look_at(second);
    found.look_at(third);
    found.look_at(fourth);
    if found.left == 0 {
        let _ = ARMED.remove(tid);
    }
    if found.pipe != 0 {
        report(sleeper, found.pipe, found.args);
    }
    0
}

/// What a wake-up is told of: no more than one channel, since each way out
/// multiplies the verifier's work (6.1 gave up on a report for each).
#[derive(Default)]
struct Found {
    pipe: u64,
    args: [u64; 4],
    /// How many channels stay armed.
    left: u32,
}

impl Found {
    #[inline(always)]
    fn look_at(&mut self, channel: &mut Channel) {
        if channel.pipe == 0 {
            return;
        }
        let socket = channel.socket == 1;
        let [_, writers, head, tail] = state_of(channel.pipe, socket);
        let tail = if socket { 0 } else { tail };
        let over = channel.among_others == 0 || writers == 0 || head != tail;
        if self.pipe == 0 && over {
            self.pipe = channel.pipe;
            self.args = [writers, head, tail, channel.nvcsw];
            channel.pipe = 0;
        } else {
            self.left += 1;
        }
    }
}

#[inline(always)]
fn report(sleeper: Ptr, pipe: u64, args: [u64; 4]) {
    let mut record = record(KIND_WAKE);
    by_current(&mut record);
    record.peer = record.task;
    // SAFETY: typed.
    unsafe {
        record.task = identity(sleeper);
        let waker = current();
        let waker_flags = flags(waker);
        if waker_flags & PF_KTHREAD != 0 {
            record.flags |= FLAG_KERNEL;
        } else {
            let nr = syscall_of(waker).nr;
            if nr == syscall(syscalls::EXECVE) || nr == syscall(syscalls::EXECVEAT) {
                record.flags |= FLAG_EXECING;
            }
        }
        if waker_flags & PF_EXITING != 0 {
            record.flags |= FLAG_EXITING;
        }
    }
    record.end.pipe = pipe;
    let [writers, head, tail, nvcsw] = args;
    record.args = [writers, head, tail, nvcsw, 0];
    send_urgent(&record);
}
