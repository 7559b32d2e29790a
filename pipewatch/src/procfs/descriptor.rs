//! Descriptors of pipes and FIFOs in a thread's table.

use std::{fs, io};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

use super::{parse, read};
use crate::{
    event::{End, Kind},
    ids::{Fd, FileId, PipeId, Tid},
};

/// A thread's descriptors of pipes and FIFOs.
///
/// # Errors
///
/// The table may not be read, or the thread is gone.
pub(super) fn pipes(tid: Tid) -> io::Result<Vec<(Fd, PipeId)>> {
    let names = fs::read_dir(format!("/proc/{tid}/fd"))?.filter_map(Result::ok);
    let fds = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(fds
        .map(Fd)
        .filter_map(|fd| Some((fd, pipe(tid, fd)?)))
        .collect())
}

/// All of one that refers to that pipe, but for the description. `pipefs` is the
/// device of anonymous pipes. `None` if it is gone, or can neither read nor
/// write.
pub(super) fn end(tid: Tid, (fd, pipe): (Fd, PipeId), pipefs: u32) -> Option<End> {
    let (mode, cloexec) = parse::flags(&read(&format!("/proc/{tid}/fdinfo/{fd}")).ok()?)?;
    Some(End {
        fd,
        pipe,
        address: 0,
        file: FileId(0),
        mode,
        cloexec,
        kind: if pipe.dev == pipefs {
            Kind::Pipe
        } else {
            Kind::Fifo
        },
        head: None,
    })
}

/// The pipe or FIFO that a descriptor refers to.
pub(super) fn pipe(tid: Tid, fd: Fd) -> Option<PipeId> {
    // A file on a network file system must not be asked after.
    let flags = AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::TYPE | StatxFlags::INO;
    let stat = statx(CWD, format!("/proc/{tid}/fd/{fd}"), flags, wanted).ok()?;
    let is_fifo = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Fifo;
    is_fifo.then_some(PipeId {
        dev: stat.stx_dev_major << 20 | stat.stx_dev_minor,
        inode: stat.stx_ino,
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn both_ends_of_a_pipe_and_nothing_else() {
        let own = Tid(rustix::thread::gettid().as_raw_pid().unsigned_abs());
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let file = fs::File::open("/dev/null").expect("a file");
        let number = |fd: i32| Fd(fd.unsigned_abs());
        let [read, write, file] =
            [read.as_raw_fd(), write.as_raw_fd(), file.as_raw_fd()].map(number);
        let all = pipes(own).expect("own descriptors");
        let found = |wanted| all.iter().copied().find(|(fd, _)| *fd == wanted);
        let full = |wanted| {
            let (fd, pipe) = found(wanted)?;
            end(own, (fd, pipe), pipe.dev)
        };
        let (read, write) = (
            full(read).expect("read end"),
            full(write).expect("write end"),
        );
        assert!(read.mode.read && !read.mode.write && write.mode.write && !write.mode.read);
        assert_eq!((read.pipe, read.kind), (write.pipe, Kind::Pipe));
        assert!(read.cloexec && write.cloexec);
        assert_eq!(found(file), None);
    }
}
