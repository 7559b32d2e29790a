//! One thread: its state, and the system call it sleeps in.

use std::io;

use super::{
    parse::{self, Status},
    read,
};
use crate::ids::{Pid, Tid};

/// What `status` tells; `None` if the thread is gone.
pub(super) fn status(tid: Tid) -> Option<Status> {
    Status::parse(&read(&format!("/proc/{tid}/status")).ok()?)
}

/// Where a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this system call: its number and first two arguments.
    Call([u64; 3]),
    /// In a read of some pipe, says the kernel, and no more.
    SomePipe,
    /// Nowhere that can be told: it runs, or is gone.
    Nowhere,
}

/// What of a thread's place may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    All,
    /// Not the call; Yama (`ptrace_scope`) keeps it from all but ancestors.
    NoCall,
}

/// Where a thread sleeps, and whether all of it was shown.
pub(super) fn place(tid: Tid) -> (Place, Shown) {
    match read(&format!("/proc/{tid}/syscall")) {
        Ok(line) => (
            parse::call(&line).map_or(Place::Nowhere, Place::Call),
            Shown::All,
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let channel = read(&format!("/proc/{tid}/wchan"));
            let place = match channel.as_deref() {
                Ok(b"pipe_read" | b"anon_pipe_read" | b"fifo_pipe_read" | b"pipe_wait") => {
                    Place::SomePipe
                }
                Ok(_) | Err(_) => Place::Nowhere,
            };
            (place, Shown::NoCall)
        }
        Err(_) => (Place::Nowhere, Shown::All),
    }
}

/// When a process started, in clock ticks since boot, and its parent; `None` if
/// it is gone.
pub(super) fn start_and_parent(pid: Pid) -> Option<(u64, Pid)> {
    // By its main thread: the process's own file sums up all threads.
    parse::start_and_parent(&read(&format!("/proc/{pid}/task/{pid}/stat")).ok()?)
}
