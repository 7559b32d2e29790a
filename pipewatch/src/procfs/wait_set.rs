//! What a thread waits for that waits for several descriptors at once.

use std::{fs, io, os::unix::fs::FileExt as _};

use crate::{
    event::{Call, Multiplexed},
    ids::{Fd, Tid},
};

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

/// Whether a sleeping thread waits without a limit of time, as its arguments
/// say; not if they cannot be read.
pub fn waits_for_ever(tid: Tid, call: Call) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{tid}/syscall")) else {
        return false;
    };
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let mut words = text.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok());
    let args: Vec<u64> = words.filter_map(hex).collect();
    // Milliseconds are negative, or the address of a time is null.
    let (at, is_number) = match (call, number) {
        (Call::Poll, number) => (2, number != Some(libc::SYS_ppoll)),
        (Call::Select, _) => (4, false),
        (Call::Epoll, number) => (3, number != Some(libc::SYS_epoll_pwait2)),
        (Call::Read | Call::Readv | Call::Recv | Call::Splice | Call::Tee | Call::IoUring, _) => {
            return false;
        }
    };
    args.get(at).is_some_and(|&limit| {
        if is_number {
            (limit as i32) < 0
        } else {
            limit == 0
        }
    })
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
}
