//! From a descriptor to the pipe or pair of sockets it refers to.

use pipewatch_ebpf::{
    abi::{END_FIFO, END_SOCKET, End, MODE_READ, MODE_WRITE},
    offsets::{
        ABSENT, FDT_FD, FILE_INODE, FILE_MODE, FILE_PRIVATE, INODE_INO, INODE_MODE, INODE_PIPE,
        INODE_SB, PIPE_HEAD, PIPE_READERS, PIPE_TAIL, PIPE_WRITERS, SB_DEV, SB_MAGIC, SOCK_FAMILY,
        SOCK_QUEUE, SOCK_SHUTDOWN, SOCK_SOCKET, SOCKET_INODE, SOCKET_SK, SOCKET_TYPE, UNIX_ADDRESS,
        UNIX_PEER, types,
    },
};

use crate::{
    kernel::{Ptr, cast, load, member, member_at, offset, probe_at},
    table::{cloexec, fdt_of, file_at, file_in},
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

/// The end that descriptor `fd` of a task refers to, if it is one.
///
/// # Safety
///
/// As for [`fdt_of`].
#[inline(always)]
pub unsafe fn end_at(task: Ptr, fd: u32) -> Option<End> {
    // SAFETY: typed.
    unsafe { end_of(file_at(task, fd)?, fd, || cloexec(task, fd)) }
}

/// What kind of file it is, by its `i_mode`.
#[inline(always)]
pub fn kind_of(file: Ptr) -> u16 {
    member::<u16>(member_at(file, FILE_INODE), INODE_MODE) & S_IFMT
}

/// Whether descriptor `fd` of a task may refer to an end, by its kind: as little as can be
/// done. Behind the table's end it may find one too, as [`end_at`] does not.
///
/// # Safety
///
/// As for [`fdt_of`].
#[inline(always)]
pub unsafe fn may_be_end(task: Ptr, fd: u32) -> bool {
    // SAFETY: typed.
    let file = file_in(unsafe { load(fdt_of(task), FDT_FD) }, fd);
    matches!(kind_of(file), S_IFIFO | S_IFSOCK)
}

/// The end behind `file`, which descriptor `fd` refers to, if it is a pipe, a FIFO or
/// one end of a pair of sockets; `cloexec` as [`cloexec`] tells.
#[inline(always)]
pub fn end_of(file: Ptr, fd: u32, cloexec: impl FnOnce() -> u16) -> Option<End> {
    let kind = kind_of(file);
    if !matches!(kind, S_IFIFO | S_IFSOCK) {
        return None;
    }
    let inode = member_at(file, FILE_INODE);
    let superblock = member_at(inode, INODE_SB);
    let magic: u64 = member(superblock, SB_MAGIC);
    let (pipe, head, flags) = match kind {
        S_IFIFO => {
            let pipe = member_at(inode, INODE_PIPE);
            let named = is_not_zero(magic ^ PIPEFS_MAGIC);
            (pipe as u64, member(pipe, PIPE_HEAD), named * END_FIFO)
        }
        _ if magic == SOCKFS_MAGIC => paired(file)?,
        _ => return None,
    };
    Some(End {
        file: file as u64,
        pipe,
        inode: member(inode, INODE_INO),
        dev: member(superblock, SB_DEV),
        head,
        fd,
        mode: member::<u32>(file, FILE_MODE) as u16 & (MODE_READ | MODE_WRITE),
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
fn paired(file: Ptr) -> Option<(u64, u32, u16)> {
    if offset(UNIX_PEER) == ABSENT as usize {
        return None;
    }
    let socket = cast(member(file, FILE_PRIVATE), types::SOCKET);
    if !matches!(member(socket, SOCKET_TYPE), SOCK_STREAM | SOCK_SEQPACKET) {
        return None;
    }
    let sock = member_at(socket, SOCKET_SK);
    if member::<u16>(sock, SOCK_FAMILY) != AF_UNIX {
        return None;
    }
    let sock = cast(sock as u64, types::UNIX);
    let peer = cast(member(sock, UNIX_PEER), types::UNIX);
    let address: u64 = member(sock, UNIX_ADDRESS);
    if peer.is_null() || address != 0 || member::<u64>(peer, UNIX_ADDRESS) != 0 {
        return None;
    }
    // A peer that is closed has no socket any more, and so no inode.
    let other: u64 = member(peer, SOCK_SOCKET);
    let head = if other == 0 {
        0
    } else {
        let inode = (other + offset(SOCKET_INODE) as u64) as Ptr;
        probe_at::<u64>(inode.wrapping_add(offset(INODE_INO)).cast()) as u32
    };
    Some((sock as u64, head, END_SOCKET))
}

/// The `struct sock` behind `file`, which is a socket, and that of its peer: the channels
/// that it reads from and writes to, if it is one of a pair; else the second means nothing.
#[inline(always)]
pub fn sockets_of(file: Ptr) -> [u64; 2] {
    let socket = cast(member(file, FILE_PRIVATE), types::SOCKET);
    let sock = cast(member(socket, SOCKET_SK), types::UNIX);
    [sock as u64, member(sock, UNIX_PEER)]
}

/// What a row or a wake-up tells of the channel behind `pipe`, which is a
/// `struct sock` if `socket`: see `KIND_ROW_END`.
#[inline(always)]
pub fn state_of(pipe: u64, socket: bool) -> [u64; 4] {
    if socket {
        let sock = cast(pipe, types::UNIX);
        let peer = member_at(sock, UNIX_PEER);
        let open = |sock| u64::from(member::<u8>(sock, SOCK_SHUTDOWN) & RCV_SHUTDOWN == 0);
        let queued = |sock| u64::from(member::<u32>(sock, SOCK_QUEUE));
        [open(peer), open(sock), queued(sock), queued(peer)]
    } else {
        let pipe = cast(pipe, types::PIPE);
        [
            u64::from(member::<u32>(pipe, PIPE_READERS)),
            u64::from(member::<u32>(pipe, PIPE_WRITERS)),
            u64::from(member::<u32>(pipe, PIPE_HEAD)),
            u64::from(member::<u32>(pipe, PIPE_TAIL)),
        ]
    }
}
