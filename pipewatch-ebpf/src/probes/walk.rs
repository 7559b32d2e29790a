//! Reporting every pipe end of an fd table.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use pipewatch_ebpf::{
    abi::{End, KIND_ENTRY, KIND_TABLE, Record},
    offsets::{FDT_FD, FDT_MAX, FDT_OPEN},
};

use crate::{
    emit::{send, send_quietly},
    file::end_of,
    kernel::{Ptr, probe, probe_at},
    task::fdt_of,
};

/// A walk in progress, handed to the loop's callback. Its numbers are ones that
/// the verifier does not know, addresses rather than counts: it follows a loop
/// until nothing new is left, and a count would be new each time.
struct Walk {
    /// Kept where it is: two programs' worth of stack is all there is.
    record: *mut Record,
    fdt: u64,
    /// Where the files are.
    slots: u64,
    /// Where the bitmap of open descriptors begins and ends, and its next word.
    open: u64,
    end: u64,
    next: u64,
    /// Descriptors of the present word still to be visited.
    left: u64,
}

/// Sends a `KIND_ENTRY` for each pipe end in the table `record.peer_table`,
/// and the closing `KIND_TABLE`. `record` brings the members that name the
/// parties.
///
/// Goes by the `open_fds` bitmap, so that an almost empty table of any size is
/// cheap. `bpf_loop` (5.17) keeps the verifier's work independent of the
/// table's size; one flat loop keeps it small.
#[inline(always)]
pub fn walk(record: &mut Record) {
    let fdt = fdt_of(record.peer_table);
    let slots = probe::<u32>(fdt, FDT_MAX);
    let words = slots.div_ceil(64);
    let open: u64 = probe(fdt, FDT_OPEN);
    let mut walk = Walk {
        record: &raw mut *record,
        fdt: fdt as u64,
        slots: probe(fdt, FDT_FD),
        open,
        end: open + 8 * u64::from(words),
        next: open + 8,
        left: 0,
    };
    // The first word is read here, so that `left` is a value the verifier does
    // not know: before 6.7 it follows a callback only once, took a zero for what
    // it always is, and cut off the code for anything else.
    walk.left = probe_at(open as *const u64);
    record.kind = KIND_ENTRY;
    let context = (&raw mut walk).cast::<c_void>();
    let callback = step as extern "C" fn(u32, *mut c_void) -> i64;
    // At most a step for each word and one for each descriptor.
    // SAFETY: the callback has the signature the helper wants, and `walk`
    // outlives the call.
    unsafe { bpf_loop(slots + words, callback as *mut c_void, context, 0) };
    record.kind = KIND_TABLE;
    send(record);
}

/// Visits one descriptor, or goes on to the next word. Nonzero ends the loop.
#[inline(never)]
extern "C" fn step(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `bpf_loop` hands over what `walk` gave it.
    let walk = unsafe { &mut *context.cast::<Walk>() };
    if walk.left == 0 {
        if walk.next >= walk.end {
            return 1;
        }
        walk.left = probe_at(walk.next as *const u64);
        walk.next += 8;
        return 0;
    }
    let bits = (walk.next - 8 - walk.open) * 8;
    let fd = bits as u32 + walk.left.trailing_zeros();
    walk.left &= walk.left - 1;
    let file: u64 = probe_at((walk.slots + 8 * u64::from(fd)) as *const u64);
    if let Some(end) = end_of(file, walk.fdt as Ptr, fd) {
        // SAFETY: `walk`'s caller keeps it until the loop has ended.
        let record = unsafe { &mut *walk.record };
        record.end = end;
        send_quietly(record);
        // So that each turn ends as it began.
        record.end = End::default();
    }
    0
}
