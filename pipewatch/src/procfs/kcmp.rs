//! Whether two things of two threads are one and the same in the kernel.

use crate::ids::{Fd, Tid};

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Same {
    Yes,
    No,
    /// Not permitted, or the kernel was built without it.
    Unknown,
}

/// `include/uapi/linux/kcmp.h`.
const KCMP_FILE: libc::c_int = 0;
const KCMP_FILES: libc::c_int = 2;

/// Whether two descriptors refer to one open file description.
pub(super) fn files((a, a_fd): (Tid, Fd), (b, b_fd): (Tid, Fd)) -> Same {
    compare(a, b, KCMP_FILE, a_fd.0, b_fd.0)
}

/// Whether two threads use one fd table.
pub(super) fn tables(a: Tid, b: Tid) -> Same {
    compare(a, b, KCMP_FILES, 0, 0)
}

fn compare(a: Tid, b: Tid, what: libc::c_int, a_index: u32, b_index: u32) -> Same {
    let word = libc::c_ulong::from;
    // SAFETY: kcmp takes five integers, reads no memory of ours and changes
    // nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            word(a.0),
            word(b.0),
            what,
            word(a_index),
            word(b_index),
        )
    };
    match result {
        0 => Same::Yes,
        -1 => match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::ESRCH | libc::EBADF) => Same::No,
            Some(_) | None => Same::Unknown,
        },
        _ => Same::No,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_duplicate_is_the_same_and_another_end_is_not() {
        let own = Tid(rustix::thread::gettid().as_raw_pid().unsigned_abs());
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        let again = read.try_clone().expect("a duplicate");
        let [read, write, again] =
            [&read, &write, &again].map(|fd| (own, Fd(fd.as_raw_fd().unsigned_abs())));
        assert_eq!(files(read, again), Same::Yes);
        assert_eq!(files(read, write), Same::No);
        assert_eq!(files(read, (own, Fd(1 << 20))), Same::No);
    }

    #[test]
    fn threads_share_a_table() {
        let gettid = || Tid(rustix::thread::gettid().as_raw_pid().unsigned_abs());
        let own = gettid();
        let same = std::thread::spawn(move || tables(own, gettid())).join();
        assert_eq!(same.expect("an answer"), Same::Yes);
    }
}
