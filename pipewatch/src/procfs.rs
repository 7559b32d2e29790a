//! What only `/proc` tells of a process.

use std::{fs, io, ops::Range, os::unix::fs::FileExt as _, path::PathBuf};

use crate::{
    event::{Call, Multiplexed},
    ids::{Fd, Pid, Tid},
};

/// Command line of a process. `None` if it is gone or has none (a zombie).
/// Bytes that are no text are replaced.
pub fn cmdline(pid: Pid) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if bytes.is_empty() {
        return None;
    }
    let words = bytes.split(|&byte| byte == 0);
    Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

/// Path behind a descriptor of a process.
pub fn path(pid: Pid, fd: Fd) -> Option<String> {
    let target: PathBuf = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// The process that a process or thread id belongs to. `None` if there is none.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn process_of(id: u32) -> io::Result<Option<Pid>> {
    let status = match fs::read_to_string(format!("/proc/{id}/status")) {
        Ok(status) => status,
        // A process that ends while it is read says ESRCH.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let field = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Ok(field.and_then(|value| value.trim().parse().ok()).map(Pid))
}

/// How many descriptors of a set are looked at.
const SET: usize = 4096;

/// The descriptors that a sleeping thread waits to read from; none if that
/// cannot be read any more.
pub fn waited_for(tid: Tid, multiplexed: &Multiplexed) -> Vec<Fd> {
    let Multiplexed {
        call, set, count, ..
    } = *multiplexed;
    let count = usize::try_from(count).unwrap_or(SET).min(SET);
    match call {
        Call::Poll => memory(tid, set, count * size_of::<libc::pollfd>())
            .map_or_else(|_| Vec::new(), |bytes| polled(&bytes)),
        Call::Select => memory(tid, set, count.div_ceil(64) * 8)
            .map_or_else(|_| Vec::new(), |bytes| selected(&bytes)),
        Call::Epoll => fs::read_to_string(format!("/proc/{tid}/fdinfo/{set}")).map_or_else(
            |_| Vec::new(),
            |info| info.lines().filter_map(registered).collect(),
        ),
        Call::Read | Call::Readv | Call::Recv | Call::Splice | Call::Tee | Call::IoUring => {
            Vec::new()
        }
    }
}

fn memory(tid: Tid, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    fs::File::open(format!("/proc/{tid}/mem"))?.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}

/// `struct pollfd`: descriptor, events, and two bytes of what came.
fn polled(bytes: &[u8]) -> Vec<Fd> {
    let entries = bytes
        .chunks_exact(size_of::<libc::pollfd>())
        .filter_map(|entry| {
            let (fd, events) = (entry.first_chunk()?, entry.get(4..6)?.first_chunk()?);
            let reads = i16::from_ne_bytes(*events) & libc::POLLIN != 0;
            // A negative one is passed over by the kernel too.
            let fd = u32::try_from(i32::from_ne_bytes(*fd)).ok();
            fd.filter(|_| reads).map(Fd)
        });
    entries.collect()
}

/// An `fd_set`: a bit for each descriptor, in words of 64.
fn selected(bytes: &[u8]) -> Vec<Fd> {
    let words = bytes.chunks_exact(8).filter_map(|word| word.first_chunk());
    let set = |(base, word): (u32, &[u8; 8])| {
        let word = u64::from_ne_bytes(*word);
        (0..64)
            .filter(move |bit| word >> bit & 1 == 1)
            .map(move |bit| Fd(base * 64 + bit))
    };
    (0..).zip(words).flat_map(set).collect()
}

/// `tfd: FD events: HEX data: HEX ...` of an epoll instance's fdinfo.
fn registered(line: &str) -> Option<Fd> {
    let mut words = line.strip_prefix("tfd:")?.split_whitespace();
    let fd = words.next()?.parse().ok()?;
    let events = words
        .nth(1)
        .and_then(|events| u32::from_str_radix(events, 16).ok())?;
    (events & libc::EPOLLIN as u32 != 0).then_some(Fd(fd))
}

/// A file that a process has mapped executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeMap {
    /// Where.
    pub range: Range<u64>,
    /// Which.
    pub path: String,
}

/// What a process has mapped executable; nothing if it is gone.
pub fn code_maps(pid: Pid) -> Vec<CodeMap> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter_map(code_map).collect()
}

/// `start-end perms offset dev inode path`, if it is executable and has a path.
fn code_map(line: &str) -> Option<CodeMap> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let path = words.nth(3)?.trim_start();
    if !permissions.contains('x') || path.is_empty() {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(CodeMap {
        range: hex(start)?..hex(end)?,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_descriptors() {
        let entry =
            |fd: i32, events: i16| [&fd.to_ne_bytes()[..], &events.to_ne_bytes(), &[0; 2]].concat();
        let array = [
            entry(5, libc::POLLIN),
            entry(6, libc::POLLOUT),
            entry(-1, libc::POLLIN),
        ]
        .concat();
        assert_eq!(polled(&array), [Fd(5)]);
        let set = [(1_u64 << 3 | 1 << 63).to_ne_bytes(), 1_u64.to_ne_bytes()].concat();
        assert_eq!(selected(&set), [Fd(3), Fd(63), Fd(64)]);
        assert_eq!(
            registered("tfd:        5 events:       19 data: 5  pos:0"),
            Some(Fd(5))
        );
        assert_eq!(registered("tfd:        5 events:       1c data: 5"), None);
        assert_eq!(registered("pos:\t0"), None);
    }

    #[test]
    fn a_line_of_maps() {
        let line = "7f01000-7f02000 r-xp 00001000 fe:00 42   /usr/lib/lib c.so";
        let expected = CodeMap {
            range: 0x7f0_1000..0x7f0_2000,
            path: "/usr/lib/lib c.so".to_owned(),
        };
        assert_eq!(code_map(line), Some(expected));
        assert_eq!(
            code_map("7f01000-7f02000 rw-p 00001000 fe:00 42 /usr/lib/libc.so"),
            None
        );
        assert_eq!(code_map("7f01000-7f02000 r-xp 00000000 00:00 0 "), None);
        assert_eq!(code_map("nonsense"), None);
    }

    #[test]
    fn a_thread_stands_for_its_process() {
        let own = std::process::id();
        let ask = || {
            let tid = rustix::thread::gettid().as_raw_pid().unsigned_abs();
            (tid, process_of(tid).expect("/proc"))
        };
        let (tid, process) = std::thread::spawn(ask).join().expect("an answer");
        assert_ne!(tid, own);
        assert_eq!(process, Some(Pid(own)));
        assert_eq!(process_of(u32::MAX).expect("/proc"), None);
    }
}
