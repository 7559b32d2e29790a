//! What user space asks for: the ends of certain channels and fd tables, by their
//! addresses. The search for them is done by kernels since 6.2 only, so what it does again
//! and again is called by the kernel (`bpf_loop`, 5.17), and the verifier looks at it once; in
//! functions that are global, for the reason that `probes::walk` tells, is the rest.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use pipewatch_ebpf::{
    abi::{ASKED_PIPES, ASKED_SOCKETS},
    offsets::{FDT_FD, FDT_OPEN, FILE_INODE, FILE_PRIVATE, FILES_FDT, INODE_PIPE, types},
};

use crate::{
    file::{S_IFIFO, S_IFSOCK, kind_of, sockets_of},
    kernel::{Ptr, cast, member, member_at, number_of, probe, probe_at},
    maps::{ASKED, ROW},
    rows::{end_row, write},
    table::{BITS, file_in, words},
    task::table_of,
};

/// Whether the channel or table at this address is asked for.
#[inline(always)]
pub fn is_asked(address: u64) -> bool {
    ASKED.get_ptr(address).is_some()
}

/// Whether `file` is an end of a channel that is asked for.
#[inline(always)]
pub fn is_end_asked(file: Ptr) -> bool {
    match kind_of(file) {
        S_IFIFO => is_asked(member(member_at(file, FILE_INODE), INODE_PIPE)),
        S_IFSOCK => sockets_of(file).into_iter().any(is_asked),
        _ => false,
    }
}

/// So many rows one thread can have: its rows are written as one (`bpf_seq_read`), and
/// have to fit into 32 KiB.
const MAX_ROWS: u32 = 192;

/// What is looked for in a table: ends of pipes, of pairs of sockets, that are asked for;
/// all ends.
const PIPES: u32 = 1;
const SOCKETS: u32 = 2;
const ALL: u32 = 4;

/// An fd table that is gone through.
#[repr(C)]
struct Search {
    ctx: Ptr,
    /// Whose it is, as a number.
    task: u64,
    /// The table, and the table itself.
    files: u64,
    fdt: u64,
    slots: u64,
    /// Which descriptors of a word of its bitmap are open.
    open: u64,
    /// The first of that word.
    first: u32,
    /// [`PIPES`], [`SOCKETS`], [`ALL`].
    wanted: u32,
    rows: u32,
}

/// Writes the rows of all ends in the table of `task` that are asked for; false if that
/// are not all, since there are too many, or the table has been replaced meanwhile.
///
/// # Safety
///
/// `ctx` must be the context of an iterator over tasks, this one.
#[inline(always)]
pub unsafe fn search(ctx: Ptr, task: Ptr) -> bool {
    // As numbers, for the reason that `task::table_of` tells.
    let files = table_of(task);
    let wanted = PIPES * u32::from(is_asked(ASKED_PIPES))
        | SOCKETS * u32::from(is_asked(ASKED_SOCKETS))
        | ALL * u32::from(is_asked(files));
    if wanted == 0 {
        return true;
    }
    let fdt = probe(files as Ptr, FILES_FDT);
    let none = 0;
    let mut search = Search {
        ctx,
        task: number_of(task),
        files,
        fdt,
        slots: probe(fdt as Ptr, FDT_FD),
        open: 0,
        first: 0,
        wanted,
        // The verifier would follow each count apart, if it knew the first.
        rows: probe_at(&raw const none),
    };
    repeat(words(fdt), look_at_word, &mut search);
    search.rows <= MAX_ROWS && is_table(search.task, files, fdt) != 0
}

/// Calls `body` so many times, or until it returns 1.
#[inline(always)]
fn repeat(times: u32, body: extern "C" fn(u32, *mut Search) -> u64, search: &mut Search) {
    let search: *mut Search = search;
    // SAFETY: `body` gets what it takes.
    unsafe { bpf_loop(times, body as *mut c_void, search.cast(), 0) };
}

/// Goes through one word of the bitmap.
#[inline(never)]
extern "C" fn look_at_word(word: u32, search: *mut Search) -> u64 {
    // SAFETY: `repeat` hands it on.
    let search = unsafe { &mut *search };
    let bitmap: u64 = member(cast(search.fdt, types::FDTABLE), FDT_OPEN);
    search.open = probe_at((bitmap + 8 * u64::from(word)) as *const u64);
    search.first = BITS * word;
    if search.open != 0 {
        repeat(BITS, look_at_bit, search);
    }
    u64::from(search.rows > MAX_ROWS)
}

/// Writes the row of a descriptor of this word, if it is open and asked for.
#[inline(never)]
extern "C" fn look_at_bit(bit: u32, search: *mut Search) -> u64 {
    // SAFETY: `repeat` hands it on.
    let search = unsafe { &mut *search };
    let left = search.open >> bit;
    if left & 1 == 0 {
        return u64::from(left == 0);
    }
    let fd = search.first + bit;
    if is_slot_asked(search.slots, fd, search.wanted) == 0
        || fill_row(search.task, search.files, search.fdt, fd) == 0
    {
        return 0;
    }
    search.rows += 1;
    if search.rows > MAX_ROWS {
        return 1;
    }
    if let Some(row) = ROW.get_ptr(0) {
        // SAFETY: as `search` demands; a value of the map, which nobody else uses.
        unsafe { write(search.ctx, &*row) };
    }
    0
}

/// 1 if what the slot of this descriptor refers to is wanted. Memory that is not in the
/// cache is what this takes: a file that is a pipe has the pipe's address by itself
/// (`fifo_open`, `create_pipe_files` of fs/pipe.c), so its inode is not read.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_slot_asked(slots: u64, fd: u32, wanted: u32) -> u32 {
    let file = file_in(slots, fd);
    if wanted & PIPES != 0 && is_asked(member(file, FILE_PRIVATE)) {
        return 1;
    }
    if wanted & (SOCKETS | ALL) == 0 {
        return 0;
    }
    let kind = kind_of(file);
    let found = match wanted & ALL {
        0 => kind == S_IFSOCK && sockets_of(file).into_iter().any(is_asked),
        _ => matches!(kind, S_IFIFO | S_IFSOCK),
    };
    u32::from(found)
}

/// Puts the row of descriptor `fd` into `ROW`, and returns 1, if it is of an end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn fill_row(number: u64, files: u64, fdt: u64, fd: u32) -> u32 {
    let task = cast(number, types::TASK);
    let slots = member(cast(fdt, types::FDTABLE), FDT_FD);
    let file = file_in(slots, fd);
    // SAFETY: both were cast.
    let Some(row) = (unsafe { end_row(task, file, fd) }) else {
        return 0;
    };
    let Some(place) = ROW.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a value of the map, which nobody else uses.
    unsafe { *place = row };
    // Nothing holds the table, nor the file: if both are there still, what was read
    // meanwhile is of them.
    let is_file = file_in(slots, fd) == file;
    if is_file {
        is_table(number, files, fdt)
    } else {
        0
    }
}

/// 1 if `files` is the table of `task`, and has `fdt`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_table(task: u64, files: u64, fdt: u64) -> u32 {
    let same = table_of(task as Ptr) == files && probe::<u64>(files as Ptr, FILES_FDT) == fdt;
    u32::from(same)
}
