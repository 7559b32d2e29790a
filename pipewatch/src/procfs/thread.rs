//! One thread: its state, and the system call it sleeps in.

use std::io;

use super::read;
use crate::ids::{Comm, Pid, Tid};

/// What `status` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) comm: Comm,
    /// The letter that ps prints.
    pub(super) state: u8,
    pub(super) parent: Pid,
    /// `task->nvcsw`, equal as long as the same sleep lasts.
    pub(super) nvcsw: u64,
}

impl Status {
    /// `None` if the thread is gone.
    pub(super) fn of(tid: Tid) -> Option<Self> {
        Self::parse(&read(&format!("/proc/{tid}/status")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let lines = || text.split(|&byte| byte == b'\n');
        let field = |name: &str| {
            let value = lines().find_map(|line| line.strip_prefix(name.as_bytes()))?;
            Some(value.trim_ascii())
        };
        let number = |name| std::str::from_utf8(field(name)?).ok();
        Some(Self {
            comm: comm(lines().find_map(|line| line.strip_prefix(b"Name:\t"))?),
            state: *field("State:")?.first()?,
            parent: Pid(number("PPid:")?.parse().ok()?),
            nvcsw: number("voluntary_ctxt_switches:")?.parse().ok()?,
        })
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// It sleeps interruptibly.
    pub(super) fn is_asleep(&self) -> bool {
        self.state == b'S'
    }
}

/// The kernel writes a line feed as `\n`, and a backslash twice.
fn comm(escaped: &[u8]) -> Comm {
    let mut bytes = [0; 16];
    let mut rest = escaped.iter();
    for byte in &mut bytes[..15] {
        *byte = match rest.next() {
            Some(b'\\') if rest.as_slice().first() == Some(&b'n') => {
                rest.next();
                b'\n'
            }
            Some(b'\\') => {
                rest.next();
                b'\\'
            }
            Some(plain) => *plain,
            None => break,
        };
    }
    Comm::new(bytes)
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
        Ok(line) => (call(&line).map_or(Place::Nowhere, Place::Call), Shown::All),
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

/// `NUMBER 0xARG ... 0xSP 0xPC`; `running`, or -1 for a number, is no call.
fn call(line: &[u8]) -> Option<[u64; 3]> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some([number, argument()?, argument()?])
}

/// When a process started, in clock ticks since boot, and its parent; `None` if
/// it is gone.
pub(super) fn start_and_parent(pid: Pid) -> Option<(u64, Pid)> {
    // By its main thread: the process's own file sums up all threads.
    start_of(&read(&format!("/proc/{pid}/task/{pid}/stat")).ok()?)
}

/// `PID (COMM) STATE PPID ...`, where COMM may hold anything.
fn start_of(stat: &[u8]) -> Option<(u64, Pid)> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[end + 1..])
        .ok()?
        .split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some((start, Pid(parent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status() {
        let text = b"Name:\ta\\n\\\\ b\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nPPid:\t3\n\
                     Threads:\t1\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t9\n";
        let status = Status::parse(text).expect("a status");
        assert_eq!(status.comm, Comm::from("a\n\\ b"));
        assert_eq!(
            (status.state, status.parent, status.nvcsw),
            (b'S', Pid(3), 42)
        );
        assert!(status.is_asleep() && !status.is_dead() && !status.is_stopped());
        assert_eq!(Status::parse(b"Name:\tx\n"), None);
        assert_eq!(Status::parse(b"\xff"), None);
    }

    #[test]
    fn a_system_call() {
        let line = b"0 0x3 0x7f45b8f16000 0x20000 0x0 0x0 0x0 0x7ffea7b71f08 0x7f45b908f2ad\n";
        assert_eq!(call(line), Some([0, 3, 0x7f45_b8f1_6000]));
        assert_eq!(call(b"running\n"), None);
        assert_eq!(call(b"-1 0x7ffe 0x7f45\n"), None);
    }

    #[test]
    fn a_stat_with_a_name_that_looks_like_more() {
        let stat = b"7 (a) S 1) S 3 4 4 0 -1 4194560 431 0 0 0 0 0 0 0 20 0 1 0 1400545 31 4\n";
        assert_eq!(start_of(stat), Some((1_400_545, Pid(3))));
        assert_eq!(start_of(b"7"), None);
    }
}
