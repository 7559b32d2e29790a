//! Reporting every pipe end of an fd table.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use pipewatch_ebpf::{
    abi::{KIND_ENTRY, KIND_TABLE, Record},
    offsets::{FDT_FD, FDT_MAX, FDT_OPEN},
};

use crate::{
    emit::send,
    file::end_of,
    kernel::{Ptr, probe, probe_at},
    task::fdt_of,
};

/// A walk in progress, handed to the loop's callback.
struct Walk {
    /// Kept where it is: two programs' worth of stack is all there is.
    record: *mut Record,
    fdt: u64,
    slots: u64,
    open: u64,
    /// How many words the bitmap has, and which comes next.
    words: u32,
    word: u32,
    /// Descriptors of the present word still to be visited.
    left: u64,
    found: u64,
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
    let mut walk = Walk {
        record: &raw mut *record,
        fdt: fdt as u64,
        slots: probe(fdt, FDT_FD),
        open: probe(fdt, FDT_OPEN),
        words: slots.div_ceil(64),
        word: 1,
        left: 0,
        found: 0,
    };
    // The first word is read here, so that `left` is a value the verifier does
    // not know: before 6.7 it follows a callback only once, took a zero for what
    // it always is, and cut off the code for anything else.
    walk.left = probe_at(walk.open as *const u64);
    record.kind = KIND_ENTRY;
    let context = (&raw mut walk).cast::<c_void>();
    let callback = step as extern "C" fn(u32, *mut c_void) -> i64;
    // At most a step for each word and one for each descriptor.
    let steps = slots + walk.words;
    // SAFETY: the callback has the signature the helper wants, and `walk`
    // outlives the call.
    unsafe { bpf_loop(steps, callback as *mut c_void, context, 0) };
    record.kind = KIND_TABLE;
    record.args[0] = walk.found;
    send(record);
}

/// Visits one descriptor, or goes on to the next word. Nonzero ends the loop.
#[inline(never)]
extern "C" fn step(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `bpf_loop` hands over what `walk` gave it.
    let walk = unsafe { &mut *context.cast::<Walk>() };
    if walk.left == 0 {
        if walk.word >= walk.words {
            return 1;
        }
        walk.left = probe_at((walk.open + 8 * u64::from(walk.word)) as *const u64);
        walk.word += 1;
        return 0;
    }
    let fd = (walk.word - 1) * 64 + walk.left.trailing_zeros();
    walk.left &= walk.left - 1;
    let file: u64 = probe_at((walk.slots + 8 * u64::from(fd)) as *const u64);
    if let Some(end) = end_of(file, walk.fdt as Ptr, fd) {
        // SAFETY: `walk`'s caller keeps it until the loop has ended.
        let record = unsafe { &mut *walk.record };
        record.end = end;
        walk.found += 1;
        send(record);
    }
    0
}
