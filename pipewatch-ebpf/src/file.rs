//! From a descriptor to the pipe or pair of sockets it refers to.

use pipewatch_ebpf::{
    abi::{END_CLOEXEC, END_FIFO, END_SOCKET, End, MODE_READ, MODE_WRITE},
    offsets::{
        ABSENT, FDT_CLOEXEC, FDT_FD, FDT_MAX, FILE_INODE, FILE_MODE, FILE_PRIVATE, INODE_INO,
        INODE_MODE, INODE_PIPE, INODE_SB, PIPE_HEAD, PIPE_READERS, PIPE_TAIL, PIPE_WRITERS, SB_DEV,
        SB_MAGIC, SOCK_FAMILY, SOCK_QUEUE, SOCK_SHUTDOWN, SOCK_SOCKET, SOCKET_INODE, SOCKET_SK,
        SOCKET_TYPE, UNIX_ADDRESS, UNIX_PEER,
    },
};

use crate::{
    kernel::{Ptr, offset, probe, probe_at},
    task::fdt_of,
};

/// Mask of the file type in `i_mode`.
pub const S_IFMT: u16 = 0o170_000;
/// A pipe or FIFO.
pub const S_IFIFO: u16 = 0o010_000;
/// `PIPEFS_MAGIC` of `include/uapi/linux/magic.h`.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// A socket.
pub const S_IFSOCK: u16 = 0o140_000;
/// `SOCKFS_MAGIC`.
const SOCKFS_MAGIC: u64 = 0x534f_434b;
const AF_UNIX: u16 = 1;
const SOCK_STREAM: u16 = 1;
const SOCK_SEQPACKET: u16 = 5;
/// `RCV_SHUTDOWN` of `include/net/sock.h`: what is read ends here.
const RCV_SHUTDOWN: u8 = 1;

/// The end that descriptor `fd` of the table `files` refers to, if it is one.
#[inline(always)]
pub fn end_at(files: u64, fd: u32) -> Option<End> {
    let file = file_at(files, fd)?;
    end_of(file, fd, || cloexec(fdt_of(files), fd))
}

/// [`END_CLOEXEC`] if descriptor `fd` of the table `fdt` closes on exec.
#[inline(always)]
pub fn cloexec(fdt: Ptr, fd: u32) -> u16 {
    let word = probe::<u64>(fdt, FDT_CLOEXEC) + 8 * u64::from(fd / 64);
    const { assert!(END_CLOEXEC == 1) };
    (probe_at::<u64>(word as *const u64) >> (fd % 64)) as u16 & 1
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

/// The end behind `file`, which descriptor `fd` refers to, if it is a pipe, a FIFO or
/// one end of a pair of sockets; `cloexec` as [`cloexec`] tells.
#[inline(always)]
pub fn end_of(file: u64, fd: u32, cloexec: impl FnOnce() -> u16) -> Option<End> {
    let inode: u64 = probe(file as Ptr, FILE_INODE);
    let inode = inode as Ptr;
    let superblock = probe::<u64>(inode, INODE_SB) as Ptr;
    let (pipe, head, flags) = match probe::<u16>(inode, INODE_MODE) & S_IFMT {
        S_IFIFO => {
            let pipe: u64 = probe(inode, INODE_PIPE);
            let named = is_not_zero(probe::<u64>(superblock, SB_MAGIC) ^ PIPEFS_MAGIC);
            (pipe, probe(pipe as Ptr, PIPE_HEAD), named * END_FIFO)
        }
        S_IFSOCK if probe::<u64>(superblock, SB_MAGIC) == SOCKFS_MAGIC => paired(file)?,
        _ => return None,
    };
    Some(End {
        file,
        pipe,
        inode: probe(inode, INODE_INO),
        dev: probe(superblock, SB_DEV),
        head,
        fd,
        mode: probe::<u32>(file as Ptr, FILE_MODE) as u16 & (MODE_READ | MODE_WRITE),
        flags: flags | cloexec(),
    })
}

/// 1 unless `number` is zero, and no branch: the verifier follows each way apart.
#[inline(always)]
fn is_not_zero(number: u64) -> u16 {
    ((number | number.wrapping_neg()) >> 63) as u16
}

/// What is special in the end behind `file`, `pipe`, `head` and `flags`, if it is
/// one of a pair of sockets: neither it nor its peer has an
/// address, which every socket has that was connected to by one.
#[inline(always)]
fn paired(file: u64) -> Option<(u64, u32, u16)> {
    if offset(UNIX_PEER) == ABSENT as usize {
        return None;
    }
    let socket = probe::<u64>(file as Ptr, FILE_PRIVATE) as Ptr;
    if !matches!(probe(socket, SOCKET_TYPE), SOCK_STREAM | SOCK_SEQPACKET) {
        return None;
    }
    let sock: u64 = probe(socket, SOCKET_SK);
    if probe::<u16>(sock as Ptr, SOCK_FAMILY) != AF_UNIX {
        return None;
    }
    let peer = probe::<u64>(sock as Ptr, UNIX_PEER) as Ptr;
    let address = probe::<u64>(sock as Ptr, UNIX_ADDRESS);
    if peer.is_null() || address != 0 || probe::<u64>(peer, UNIX_ADDRESS) != 0 {
        return None;
    }
    // A peer that is closed has no socket any more, and so no inode.
    let other: u64 = probe(peer, SOCK_SOCKET);
    let head = if other == 0 {
        0
    } else {
        probe::<u64>((other + offset(SOCKET_INODE) as u64) as Ptr, INODE_INO) as u32
    };
    Some((sock, head, END_SOCKET))
}

/// The `struct sock` behind `file`, which is a socket, and that of its peer: the channels
/// that it reads from and writes to, if it is one of a pair; else the second means nothing.
#[inline(always)]
pub fn sockets_of(file: Ptr) -> [u64; 2] {
    let sock: u64 = probe(probe::<u64>(file, FILE_PRIVATE) as Ptr, SOCKET_SK);
    [sock, probe(sock as Ptr, UNIX_PEER)]
}

/// What a row or a wake-up tells of the channel behind `pipe`, which is a
/// `struct sock` if `socket`: see `KIND_ROW_END`.
#[inline(always)]
pub fn state_of(pipe: u64, socket: bool) -> [u64; 4] {
    let pipe = pipe as Ptr;
    if socket {
        let peer = probe::<u64>(pipe, UNIX_PEER) as Ptr;
        let open = |sock| u64::from(probe::<u8>(sock, SOCK_SHUTDOWN) & RCV_SHUTDOWN == 0);
        let queued = |sock| u64::from(probe::<u32>(sock, SOCK_QUEUE));
        [open(peer), open(pipe), queued(pipe), queued(peer)]
    } else {
        [
            u64::from(probe::<u32>(pipe, PIPE_READERS)),
            u64::from(probe::<u32>(pipe, PIPE_WRITERS)),
            u64::from(probe::<u32>(pipe, PIPE_HEAD)),
            u64::from(probe::<u32>(pipe, PIPE_TAIL)),
        ]
    }
}
