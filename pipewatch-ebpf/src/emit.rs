//! Handing records to user space.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_stackid},
};
use pipewatch_ebpf::abi::{COUNTER_DROPPED, COUNTER_EVENTS, Record};

use crate::maps::{COUNTERS, EVENTS, STACKS, setting};

const BPF_F_USER_STACK: u64 = 1 << 8;
const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;

/// A record of `kind`, stamped now.
#[inline(always)]
pub fn record(kind: u16) -> Record {
    Record {
        // SAFETY: a helper without arguments.
        time: unsafe { bpf_ktime_get_ns() },
        kind,
        stack: -1,
        ..Record::default()
    }
}

/// Sends a record that user space may read at its next look: it is woken only
/// when many have come, so that an event costs the watched process no wake-up
/// of another task.
#[inline(always)]
pub fn send(record: &Record) {
    let wake = EVENTS.query(BPF_RB_AVAIL_DATA) > u64::from(setting!(WAKE_BYTES));
    output(
        record,
        if wake {
            BPF_RB_FORCE_WAKEUP
        } else {
            BPF_RB_NO_WAKEUP
        },
    );
}

/// Sends a record that wakes nobody, as one of many before another one.
#[inline(always)]
pub fn send_quietly(record: &Record) {
    output(record, BPF_RB_NO_WAKEUP);
}

/// Sends a record that a person waits for.
#[inline(always)]
pub fn send_urgent(record: &Record) {
    output(record, BPF_RB_FORCE_WAKEUP);
}

#[inline(always)]
fn output(record: &Record, flags: u64) {
    let sent = EVENTS.output::<Record>(record, flags).is_ok();
    count(if sent {
        COUNTER_EVENTS
    } else {
        COUNTER_DROPPED
    });
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub fn count(counter: u32) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter) {
        // SAFETY: a per-CPU element; a program is not preempted by itself.
        unsafe { *value += 1 };
    }
}

/// Id of the current task's user stack, or a negative error number.
#[inline(always)]
pub fn stack<C: EbpfContext>(ctx: &C) -> i32 {
    if setting!(WITH_STACKS) != 1 {
        return -1;
    }
    let map = (&raw const STACKS).cast_mut().cast();
    // SAFETY: `ctx` is this program's context and `map` a stack map.
    unsafe { bpf_get_stackid(ctx.as_ptr(), map, BPF_F_USER_STACK) as i32 }
}
