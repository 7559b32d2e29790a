//! Handing records to user space.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_stackid},
};
use pipewatch_ebpf::abi::{
    COMM_LEN, COUNTER_DROPPED, COUNTER_EVENTS, End, Entry, PythonStack, Record, Task,
};

use crate::maps::{COUNTERS, EVENTS, STACKS, WOKEN_AT, setting};

const BPF_F_USER_STACK: u64 = 1 << 8;
const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;
const BPF_RB_AVAIL_DATA: u64 = 0;
const BPF_RB_PROD_POS: u64 = 3;

/// A record of `kind`, stamped now.
#[inline(always)]
pub fn record(kind: u16) -> Record {
    // Of what it knows to be zero, the compiler makes calls of memset, which clears
    // byte by byte and needs a frame of the stack.
    let zero = setting!(ZERO);
    let nobody = || Task {
        tgid: zero as u32,
        tid: zero as u32,
        start: zero,
    };
    Record {
        // SAFETY: a helper without arguments.
        time: unsafe { bpf_ktime_get_ns() },
        kind,
        flags: zero as u16,
        stack: -1,
        task: nobody(),
        table: zero,
        comm: words_to_comm([zero; 2]),
        peer: nobody(),
        peer_table: zero,
        end: no_end(zero),
        args: [zero; 5],
    }
}

/// No end, written with the zero that the compiler does not know.
#[inline(always)]
fn no_end(zero: u64) -> End {
    End {
        file: zero,
        pipe: zero,
        inode: zero,
        dev: zero as u32,
        head: zero as u32,
        fd: zero as u32,
        mode: zero as u16,
        flags: zero as u16,
    }
}

/// A name from two words.
#[inline(always)]
pub fn words_to_comm(words: [u64; 2]) -> [u8; COMM_LEN] {
    // SAFETY: of one size, and any bytes are a name.
    unsafe { core::mem::transmute(words) }
}

/// Sends a record that user space may read at its next look: it is woken only when many
/// have come, so that an event costs the watched process no wake-up of another task.
#[inline(always)]
pub fn send(record: &Record) {
    output(record, wake_up());
}

/// Whether to wake user space: if much is unread, and as much has come since it was last
/// woken for that, so that it is woken once until it has got to reading.
///
/// Global, for the reason that `probes::walk` tells: each way out of here would double what
/// the verifier has to go through.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn wake_up() -> u64 {
    let many = u64::from(setting!(WAKE_BYTES));
    if EVENTS.query(BPF_RB_AVAIL_DATA) <= many {
        return BPF_RB_NO_WAKEUP;
    }
    let written = EVENTS.query(BPF_RB_PROD_POS);
    let woken_at = &raw mut WOKEN_AT;
    // SAFETY: an aligned word that lives as long as the program, read and written at once;
    // of two CPUs that come here at the same time both wake, which harms nobody.
    unsafe {
        if written.wrapping_sub(woken_at.read_volatile()) <= many {
            return BPF_RB_NO_WAKEUP;
        }
        woken_at.write_volatile(written);
    }
    BPF_RB_FORCE_WAKEUP
}

/// Sends an entry of a table, which wakes nobody: a record comes after the last one.
#[inline(always)]
pub fn send_entry(entry: Entry) {
    let Some(mut place) = EVENTS.reserve::<Entry>(0) else {
        count(COUNTER_DROPPED);
        return;
    };
    place.write(entry);
    place.submit(BPF_RB_NO_WAKEUP);
    count(COUNTER_EVENTS);
}

/// Sends the frames of a thread, which `fill` puts where user space finds them.
#[inline(always)]
pub fn send_frames(fill: impl FnOnce(&mut PythonStack)) {
    let Some(mut place) = EVENTS.reserve::<PythonStack>(0) else {
        return;
    };
    // SAFETY: any bytes are such a stack; `fill` writes what is read of it.
    fill(unsafe { place.assume_init_mut() });
    place.submit(BPF_RB_NO_WAKEUP);
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
        // Where programs are preempted by others (7.x) a count may be lost here; there
        // is no atomic addition on this target.
        // SAFETY: a per-CPU element, aligned, that lives as long as the map.
        unsafe { *value += 1 };
    }
}

/// Id of the current task's user stack, or a negative error number.
#[inline(always)]
pub fn stack<C: EbpfContext>(ctx: &C) -> i32 {
    if setting!(WITH_STACKS) != 1 {
        return -1;
    }
    let map = (&raw mut STACKS).cast();
    // SAFETY: `ctx` is this program's context and `map` a stack map.
    unsafe { bpf_get_stackid(ctx.as_ptr(), map, BPF_F_USER_STACK) as i32 }
}
