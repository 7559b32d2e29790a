//! What a thread waits for that waits for several descriptors at once.

use std::{fs, io, os::unix::fs::FileExt as _};

use super::{parse, read};
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
            .map_or_else(|_| Vec::new(), |bytes| parse::polled(&bytes)),
        Call::Select => memory(tid, set, count.div_ceil(64) * 8)
            .map_or_else(|_| Vec::new(), |bytes| parse::selected(&bytes)),
        Call::Epoll => fs::read_to_string(format!("/proc/{tid}/fdinfo/{set}")).map_or_else(
            |_| Vec::new(),
            |info| info.lines().filter_map(parse::registered).collect(),
        ),
        Call::Read | Call::Readv | Call::Recv | Call::Splice | Call::Tee | Call::IoUring => {
            Vec::new()
        }
    }
}

/// Whether a sleeping thread waits without a limit of time, as its arguments
/// say; not if they cannot be read.
pub fn waits_for_ever(tid: Tid, call: Call) -> bool {
    read(&format!("/proc/{tid}/syscall")).is_ok_and(|line| parse::has_no_limit(&line, call))
}

fn memory(tid: Tid, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    fs::File::open(format!("/proc/{tid}/mem"))?.read_exact_at(&mut bytes, address)?;
    Ok(bytes)
}
