//! System calls in the form the scenarios want: bare descriptor numbers that
//! close when told to and only then, and failures that end the program.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::wait::waitpid;
use nix::unistd::{self, ForkResult, Pid};

/// Both ends of a pipe, by number: a copy of this is no copy of the descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Pipe {
    pub r: RawFd,
    pub w: RawFd,
}

/// Makes a pipe as careful programs do, close-on-exec from birth.
pub fn pipe() -> Pipe {
    let (r, w) = unistd::pipe2(OFlag::O_CLOEXEC).expect("pipe2");
    Pipe {
        r: r.into_raw_fd(),
        w: w.into_raw_fd(),
    }
}

/// Forks; `None` in the child, which must end in [`quit`].
pub fn fork() -> Option<Pid> {
    // SAFETY: the child of a process with threads may only do what needs no
    // lock another thread could have held. Ours sleep, read, write, close, exec
    // and _exit; they allocate, which glibc makes safe across fork.
    match unsafe { unistd::fork() }.expect("fork") {
        ForkResult::Child => None,
        ForkResult::Parent { child } => Some(child),
    }
}

/// Starts a program by fork and exec.
pub fn start(program: &CStr) -> Pid {
    let Some(child) = fork() else {
        let error = unistd::execvp(program, &[program]).unwrap_err();
        eprintln!("exec {program:?}: {error}");
        std::process::abort()
    };
    child
}

/// Ends a forked child without running what the parent registered for its own end.
pub fn quit() -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(0) }
}

/// Waits for the child to end.
pub fn reap(child: Pid) {
    waitpid(child, None).expect("waitpid");
}

/// Closes by number.
pub fn close(fd: RawFd) {
    unistd::close(fd).expect("close");
}

/// Reads once; the number of bytes, 0 at EOF.
pub fn read(fd: RawFd) -> usize {
    unistd::read(borrow(fd), &mut [0; 64]).expect("read")
}

/// Writes all in one call.
pub fn write(fd: RawFd, bytes: &[u8]) {
    let written = unistd::write(borrow(fd), bytes).expect("write");
    assert_eq!(written, bytes.len(), "a short write");
}

/// The descriptor in the form `nix` wants.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    assert!(fd >= 0);
    // SAFETY: no scenario closes a descriptor while it uses it; a number that
    // is closed all the same yields EBADF, which ends the program.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// What the kernel calls the calling thread.
pub fn thread_name() -> String {
    let name = std::fs::read_to_string("/proc/thread-self/comm").expect("the name of this thread");
    name.trim_end().to_owned()
}
