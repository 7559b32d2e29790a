//! A process that something is to be done to: what must be known of it before.

use std::{
    fs,
    io::{self, Read as _},
};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

use super::{parse, read, tables, thread};
use crate::{
    event::Mode,
    ids::{Comm, Fd, Pid, PipeId, Tid},
};

/// Major and minor of `/dev/null` (Documentation/admin-guide/devices.txt).
const NULL: (u32, u32) = (1, 3);

/// The state of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name.
    pub comm: Comm,
    /// The letter that ps prints.
    pub state: u8,
    /// `task->nvcsw`, equal as long as the same sleep lasts.
    pub nvcsw: u64,
    /// Who traces it.
    pub tracer: Option<Pid>,
    /// A signal waits to be delivered that it does not block.
    pub pending: bool,
    /// `SECCOMP_MODE_*` (include/uapi/linux/seccomp.h): 0 nothing, 1 strict, 2 a filter.
    pub seccomp: u32,
}

/// What a descriptor refers to, if that is a pipe, a FIFO or a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Referent {
    /// Its device and inode.
    pub id: PipeId,
    /// It is a socket.
    pub socket: bool,
    /// Direction.
    pub mode: Mode,
    /// Closes on exec.
    pub cloexec: bool,
}

/// When a process started, in clock ticks since boot; `None` if it is gone.
pub fn start(pid: Pid) -> Option<u64> {
    thread::start_and_parent(pid).map(|(start, _)| start)
}

/// The threads of a process.
pub fn threads(pid: Pid) -> Vec<Tid> {
    tables::threads(pid)
}

/// The state of a thread; `None` if it is gone.
pub fn condition(tid: Tid) -> Option<Condition> {
    let text = read(&format!("/proc/{tid}/status")).ok()?;
    let status = parse::Status::parse(&text)?;
    let number = |name| parse::number(&text, name);
    let signals = |name| parse::signals(&text, name).unwrap_or(0);
    Some(Condition {
        pending: (signals("SigPnd:") | signals("ShdPnd:")) & !signals("SigBlk:") != 0,
        comm: status.comm,
        state: status.state,
        nvcsw: status.nvcsw,
        tracer: number("TracerPid:").filter(|pid| *pid != 0).map(Pid),
        // Kernels without it show nothing.
        seccomp: number("Seccomp:").unwrap_or(0),
    })
}

/// The system call that a thread is in: its number, first argument, stack pointer and
/// next instruction. `None` if it runs, or may not be looked into.
pub fn call(tid: Tid) -> Option<[u64; 4]> {
    parse::place(&read(&format!("/proc/{tid}/syscall")).ok()?)
}

/// What a descriptor of a thread refers to; `None` if that is no pipe, FIFO or socket.
///
/// # Errors
///
/// There is no such descriptor, or it may not be looked at.
pub fn referent(tid: Tid, fd: Fd) -> io::Result<Option<Referent>> {
    // A file on a network file system must not be asked after.
    let flags = AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::TYPE | StatxFlags::INO;
    let stat = statx(CWD, format!("/proc/{tid}/fd/{fd}"), flags, wanted)?;
    let socket = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Fifo => false,
        FileType::Socket => true,
        FileType::RegularFile
        | FileType::Directory
        | FileType::Symlink
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => return Ok(None),
    };
    let flags = parse::flags(&read(&format!("/proc/{tid}/fdinfo/{fd}"))?);
    Ok(flags.map(|(mode, cloexec)| Referent {
        id: PipeId {
            dev: stat.stx_dev_major << 20 | stat.stx_dev_minor,
            inode: stat.stx_ino,
        },
        socket,
        mode,
        cloexec,
    }))
}

/// A descriptor of a thread that can take the number of a write end, so that nothing
/// comes of it: a read end of the same pipe, or else one of the null device.
pub fn stand_in(tid: Tid, file: &Referent) -> Option<Fd> {
    let names = fs::read_dir(format!("/proc/{tid}/fd")).ok()?;
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut fds: Vec<Fd> = names.filter_map(|name| name.parse().ok()).map(Fd).collect();
    fds.sort();
    let find = |is_it: &dyn Fn(Fd) -> bool| fds.iter().copied().find(|fd| is_it(*fd));
    find(&|fd| is_read_end(tid, fd, file)).or_else(|| find(&|fd| is_null(tid, fd)))
}

/// Whether a descriptor can still.
pub fn can_stand_in(tid: Tid, fd: Fd, file: &Referent) -> bool {
    is_read_end(tid, fd, file) || is_null(tid, fd)
}

fn is_read_end(tid: Tid, fd: Fd, file: &Referent) -> bool {
    let found = referent(tid, fd).ok().flatten();
    found.is_some_and(|it| it.id == file.id && !it.mode.write)
}

fn is_null(tid: Tid, fd: Fd) -> bool {
    let path = format!("/proc/{tid}/fd/{fd}");
    let stat = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE);
    stat.is_ok_and(|stat| {
        FileType::from_raw_mode(stat.stx_mode.into()) == FileType::CharacterDevice
            && (stat.stx_rdev_major, stat.stx_rdev_minor) == NULL
    })
}

/// Whether a process runs a program of 32 bit (`EI_CLASS`, elf(5)). `None` if that
/// cannot be read.
pub fn is_32_bit(pid: Pid) -> Option<bool> {
    let mut begin = [0; 5];
    let mut program = fs::File::open(format!("/proc/{pid}/exe")).ok()?;
    program.read_exact(&mut begin).ok()?;
    Some(begin == *b"\x7fELF\x01")
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn own() -> Tid {
        Tid(rustix::thread::gettid().as_raw_pid().unsigned_abs())
    }

    #[test]
    fn ends_and_sockets_and_nothing_else() {
        let number = |fd: i32| Fd(fd.unsigned_abs());
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        let (socket, _) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let null = fs::File::open("/dev/null").expect("a file");
        let of = |fd: i32| referent(own(), number(fd)).expect("a descriptor");
        let read_fd = read.as_raw_fd();
        let read = of(read_fd).expect("the read end");
        let write = of(write.as_raw_fd()).expect("the write end");
        assert_eq!((read.id, read.socket), (write.id, false));
        assert!(read.mode.read && !read.mode.write && write.mode.write && !write.mode.read);
        let socket = of(socket.as_raw_fd()).expect("the socket");
        assert!(socket.socket && socket.mode.write && socket.id != read.id);
        assert_eq!(of(null.as_raw_fd()), None);
        assert_eq!(stand_in(own(), &write), Some(number(read_fd)));
        assert!(stand_in(own(), &socket).is_some_and(|fd| fd <= number(null.as_raw_fd())));
        let none = referent(own(), Fd(1 << 20)).expect_err("no descriptor");
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_state_of_this_thread() {
        let condition = condition(own()).expect("a state");
        assert_eq!(condition.state, b'R');
        assert_eq!(is_32_bit(Pid(std::process::id())), Some(false));
        assert!(threads(Pid(std::process::id())).contains(&own()));
    }
}
