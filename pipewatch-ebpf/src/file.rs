//! From a descriptor to the pipe it refers to.

use pipewatch_ebpf::{
    abi::{END_CLOEXEC, END_FIFO, End, MODE_READ, MODE_WRITE},
    offsets::{
        FDT_CLOEXEC, FDT_FD, FDT_MAX, FILE_INODE, FILE_MODE, INODE_INO, INODE_MODE, INODE_PIPE,
        INODE_SB, PIPE_HEAD, SB_DEV, SB_MAGIC,
    },
};

use crate::{
    kernel::{Ptr, probe, probe_at},
    task::fdt_of,
};

/// Mask of the file type in `i_mode`.
pub const S_IFMT: u16 = 0o170_000;
/// A pipe or FIFO.
pub const S_IFIFO: u16 = 0o010_000;
/// `PIPEFS_MAGIC` of `include/uapi/linux/magic.h`.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// The pipe end that descriptor `fd` of the table `files` refers to, if it is
/// a pipe or FIFO.
#[inline(always)]
pub fn end_at(files: u64, fd: u32) -> Option<End> {
    let file = file_at(files, fd)?;
    end_of(file, fdt_of(files), fd)
}

/// The `struct file` that descriptor `fd` of the table `files` refers to.
#[inline(always)]
pub fn file_at(files: u64, fd: u32) -> Option<u64> {
    let fdt = fdt_of(files);
    if fd >= probe::<u32>(fdt, FDT_MAX) {
        return None;
    }
    let slots: u64 = probe(fdt, FDT_FD);
    let file: u64 = probe_at((slots + 8 * u64::from(fd)) as *const u64);
    (file != 0).then_some(file)
}

/// The pipe end behind `file`, which descriptor `fd` of the table `fdt` refers
/// to, if it is a pipe or FIFO.
#[inline(always)]
pub fn end_of(file: u64, fdt: Ptr, fd: u32) -> Option<End> {
    let inode: u64 = probe(file as Ptr, FILE_INODE);
    let inode = inode as Ptr;
    if probe::<u16>(inode, INODE_MODE) & S_IFMT != S_IFIFO {
        return None;
    }
    let superblock = probe::<u64>(inode, INODE_SB) as Ptr;
    let pipe: u64 = probe(inode, INODE_PIPE);
    let cloexec = probe::<u64>(fdt, FDT_CLOEXEC) + 8 * u64::from(fd / 64);
    let mut flags = 0;
    if probe_at::<u64>(cloexec as *const u64) >> (fd % 64) & 1 == 1 {
        flags |= END_CLOEXEC;
    }
    if probe::<u64>(superblock, SB_MAGIC) != PIPEFS_MAGIC {
        flags |= END_FIFO;
    }
    Some(End {
        file,
        pipe,
        inode: probe(inode, INODE_INO),
        dev: probe(superblock, SB_DEV),
        head: probe(pipe as Ptr, PIPE_HEAD),
        fd,
        mode: probe::<u32>(file as Ptr, FILE_MODE) as u16 & (MODE_READ | MODE_WRITE),
        flags,
    })
}
