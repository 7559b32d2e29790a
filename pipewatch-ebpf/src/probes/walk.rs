//! Reporting every pipe end of an fd table.
//!
//! A walk is four functions, and the three inner ones are global: the verifier
//! looks at each of them once, by itself, with arguments it knows nothing of, and
//! skips the calls. So its work depends neither on the size of the table nor on
//! how much is done for an entry, and every kernel since 5.6 can do it (`bpf_loop`
//! came with 5.17). A global function takes numbers only, up to five.

use pipewatch_ebpf::{
    abi::{END_CLOEXEC, Entry, KIND_TABLE, Record},
    offsets::{FDT_CLOEXEC, FDT_FD, FDT_OPEN, FILES_FDT, types},
};

use crate::{
    emit::{send, send_entry},
    file::end_of,
    kernel::{Ptr, cast, member, probe, probe_at},
    table::{BITS, MAX_PARTS, PART, file_in, words},
    task::{current, identity},
};

/// Sends an `Entry` for each pipe end in the table `record.peer_table`,
/// and the closing `KIND_TABLE`. `record` brings the members that name the
/// parties.
///
/// Goes by the `open_fds` bitmap, so that an almost empty table of any size is
/// cheap.
#[inline(always)]
pub fn walk(record: &mut Record) {
    // As a number, for the reason that `task::table_of` tells.
    let fdt = probe(record.peer_table as Ptr, FILES_FDT);
    let words = words(fdt);
    let mut part = 0;
    while part < MAX_PARTS && part * PART < words {
        walk_part(record.peer_table, record.time, fdt, part * PART);
        part += 1;
    }
    record.kind = KIND_TABLE;
    send(record);
}

/// Visits the descriptors that one part of the bitmap tells of.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_part(table: u64, time: u64, fdt: u64, first: u32) -> u32 {
    let words = words(fdt);
    let mut word = 0;
    while word < PART && first + word < words {
        walk_word(table, time, fdt, first + word);
        word += 1;
    }
    0
}

/// Visits the descriptors that one word of the bitmap tells of.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_word(table: u64, time: u64, fdt: u64, word: u32) -> u32 {
    let at = |bitmap: u64| probe_at::<u64>((bitmap + 8 * u64::from(word)) as *const u64);
    let slots = probe(fdt as Ptr, FDT_FD);
    let fdt = cast(fdt, types::FDTABLE);
    let mut left = at(member(fdt, FDT_OPEN));
    let mut cloexec = at(member(fdt, FDT_CLOEXEC));
    let mut bit = 0;
    while bit < BITS && left != 0 {
        if left & 1 == 1 {
            walk_fd(table, time, slots, BITS * word + bit, cloexec & 1);
        }
        left >>= 1;
        cloexec >>= 1;
        bit += 1;
    }
    0
}

/// Reports a descriptor if it refers to a pipe end. Of its table is told what its word
/// of the bitmap has in common.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_fd(table: u64, time: u64, slots: u64, fd: u32, cloexec: u64) -> u32 {
    let file = file_in(slots, fd);
    if let Some(end) = end_of(file, fd, || cloexec as u16 & END_CLOEXEC) {
        send_entry(Entry {
            time,
            // SAFETY: `current` is typed.
            task: unsafe { identity(current()) },
            table,
            end,
        });
    }
    0
}
