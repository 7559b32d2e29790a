//! Makes a thread of another process close a descriptor, by ptrace, and go on as though
//! nothing had happened (docs/release.md).
//!
//! The thread is taken at the entry of a system call of its own, and makes the other
//! call in its place, by its own instruction; then it makes its own one. So it is never
//! somewhere it would not have been, nothing is written to its memory, and one that
//! sleeps in a call is there at once: a stop gets it out of the call, and the kernel
//! lets it make it again (`restart_syscall` where time has gone by).

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::{cell::Cell, thread, time::Duration};

use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::{SigSet, SigmaskHow},
    },
    unistd::Pid,
};
use rustix::process::{WaitOptions, waitpid};

#[cfg(target_arch = "aarch64")]
use self::aarch64 as arch;
#[cfg(target_arch = "x86_64")]
use self::x86_64 as arch;
use crate::ids::{Fd, Tid};

type Registers = libc::user_regs_struct;

/// How often it is asked whether the thread has come to a stop: nothing tells.
const ASKING: Duration = Duration::from_micros(50);
/// So often it is asked, which takes a second or two. Not by the clock, which goes on
/// while both are frozen.
const ASKS: u32 = 10_000;

/// The system call that a thread slept in before it was stopped, as `/proc` told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its number.
    pub number: i64,
    /// Its first argument.
    pub argument: u64,
    /// The stack pointer.
    pub stack: u64,
    /// The instruction after the one that made the call.
    pub instruction: u64,
}

/// What is to be closed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The descriptor.
    pub fd: Fd,
    /// What takes its number, so that no other file gets it and is closed, or written to,
    /// by a process that still remembers the number.
    pub stand_in: Option<Fd>,
    /// The stand-in is to be closed on exec.
    pub cloexec: bool,
}

impl Closing {
    /// The system call that does it: its number and arguments.
    fn call(self) -> (libc::c_long, [u64; 3]) {
        let fd = self.fd.0.into();
        let flags = if self.cloexec { libc::O_CLOEXEC } else { 0 };
        match self.stand_in {
            None => (libc::SYS_close, [fd, 0, 0]),
            Some(by) => (
                libc::SYS_dup3,
                [by.0.into(), fd, flags.unsigned_abs().into()],
            ),
        }
    }

    /// What that returns when it has been done.
    fn done(self) -> i64 {
        self.stand_in.map_or(0, |_| self.fd.0.into())
    }
}

/// Why a thread did not do it. Unless it was filtered or killed, it goes on as it would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It has ended.
    Gone,
    /// The kernel does not permit to trace it, or somebody else does.
    NotPermitted,
    /// It made no system call in time: it computes, or sleeps uninterruptibly.
    NoCall,
    /// It is stopped by a signal outside of a system call, so that it would have to run.
    Stopped,
    /// It makes system calls of another kind (32 bit).
    Foreign,
    /// The descriptor is not the one it was any more.
    Changed,
    /// The call failed with this error, perhaps by a filter of system calls.
    Refused(i32),
    /// A filter of system calls has sent it SIGSYS for it.
    Filtered,
    /// A request to the kernel failed, with this error.
    Request(i32),
    /// No thread can be started for it.
    NoThread,
    /// It was killed while it made the call.
    Killed,
}

impl Failure {
    /// Another thread may do better.
    pub fn is_of_thread(self) -> bool {
        matches!(
            self,
            Self::Gone | Self::NoCall | Self::Stopped | Self::Foreign
        )
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        if matches!(error, Errno::ESRCH | Errno::ECHILD) {
            Self::Gone
        } else if error == Errno::EPERM {
            Self::NotPermitted
        } else {
            Self::Request(error as i32)
        }
    }
}

/// Makes a thread close a descriptor. `is_it` is asked last, while the thread is
/// stopped, whether the descriptors are still those that are meant; other threads run.
/// It must make a system call of its own within a second or two.
///
/// # Errors
///
/// As [`Failure`] tells.
pub fn close(
    tid: Tid,
    closing: Closing,
    before: Option<Before>,
    is_it: impl FnOnce() -> bool + Send,
) -> Result<(), Failure> {
    let raw = i32::try_from(tid.0).map_err(|_| Failure::Gone)?;
    let taken = Taken {
        thread: Pid::from_raw(raw),
        asks: Cell::new(ASKS),
        before,
    };
    // Nobody may end or stop this process while the other one is half changed.
    let signals = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // A tracer is a thread: when it ends, the kernel lets go of what it traces, even
    // of a thread that never stopped.
    let result = thread::scope(|scope| {
        let tracer = thread::Builder::new().spawn_scoped(scope, || taken.close(closing, is_it));
        let tracer = tracer.map_err(|_| Failure::NoThread)?;
        tracer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    signals.thread_set_mask()?;
    result
}

/// A stop of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// At the entry or the end of a system call.
    Call,
    /// Because it was asked to, or its process is stopped by a signal.
    Event { group: bool },
    /// Before this signal is delivered.
    Signal(i32),
}

/// A thread that is traced.
struct Taken {
    thread: Pid,
    /// How often it is asked still, before it is let go without having done it.
    asks: Cell<u32>,
    before: Option<Before>,
}

impl Taken {
    fn close(self, closing: Closing, is_it: impl FnOnce() -> bool) -> Result<(), Failure> {
        ptrace::seize(self.thread, Options::PTRACE_O_TRACESYSGOOD)?;
        ptrace::interrupt(self.thread)?;
        let result = self.bring_to_a_call().and_then(|()| {
            let entered = ptrace::getregs(self.thread)?;
            if !text_at(self.thread, arch::call_site(&entered)).is_ok_and(arch::is_call) {
                return Err(Failure::Foreign);
            }
            if !is_it() {
                return Err(Failure::Changed);
            }
            self.swap(&entered, closing)
        });
        // If it did not stop, this fails, and the end of this thread does it.
        let _ = ptrace::detach(self.thread, None);
        result
    }

    /// Until it is about to enter a system call.
    fn bring_to_a_call(&self) -> Result<(), Failure> {
        // What the kernel left when a call ended that begins anew.
        let mut ended = None;
        loop {
            let signal = match self.stop(true)? {
                Stop::Call => return Ok(()),
                Stop::Event { group } => {
                    let stopped = ptrace::getregs(self.thread)?;
                    if let Some(anew) = arch::anew(&stopped, self.before.as_ref()) {
                        ptrace::setregs(self.thread, anew)?;
                        ended = Some(stopped);
                    } else if group && !arch::calls_next(self.thread, &stopped) {
                        return Err(Failure::Stopped);
                    }
                    0
                }
                Stop::Signal(signal) => {
                    // That is what has ended it, so it stays ended.
                    if let Some(ended) = ended.take() {
                        ptrace::setregs(self.thread, ended)?;
                    }
                    signal
                }
            };
            self.resume(signal)?;
        }
    }

    /// The window in which it must not be let go: between the two changes of its
    /// registers. `close` of a pipe waits for nobody.
    fn swap(&self, entered: &Registers, closing: Closing) -> Result<(), Failure> {
        let (number, arguments) = closing.call();
        arch::swap(self.thread, entered, number, arguments)?;
        self.resume(0)?;
        loop {
            match self.stop(false) {
                Ok(Stop::Call) => break,
                Ok(Stop::Event { .. }) => self.resume(0)?,
                Ok(Stop::Signal(signal)) => self.resume(signal)?,
                Err(Failure::Gone) => return Err(Failure::Killed),
                Err(failure) => return Err(failure),
            }
        }
        let returned = arch::returned(&ptrace::getregs(self.thread)?);
        arch::rewind(self.thread, entered)?;
        if returned == closing.done() {
            return Ok(());
        }
        match i32::try_from(-returned) {
            Ok(libc::EBADF) => Err(Failure::Changed),
            // `close` has done it then as well.
            Ok(libc::EINTR | libc::EIO) => Ok(()),
            Ok(error) if error > 0 => Err(Failure::Refused(error)),
            // No call was made: a filter rolls the registers back (`__seccomp_filter`,
            // kernel/seccomp.c).
            Ok(_) | Err(_) => Err(Failure::Filtered),
        }
    }

    /// Lets it run to the next system call, with this signal, or none if it is 0.
    fn resume(&self, signal: i32) -> Result<(), Failure> {
        // Not by `nix`, which knows no real-time signals.
        // SAFETY: the request takes a thread and a number, and no memory.
        let done = unsafe {
            libc::ptrace(
                libc::PTRACE_SYSCALL,
                self.thread.as_raw(),
                std::ptr::null_mut::<libc::c_void>(),
                libc::c_long::from(signal),
            )
        };
        Ok(Errno::result(done).map(drop)?)
    }

    /// Waits for its next stop; if that is not sure to come, no longer than it has `asks`.
    fn stop(&self, limited: bool) -> Result<Stop, Failure> {
        let thread = rustix::process::Pid::from_raw(self.thread.as_raw());
        let mut options = WaitOptions::from_bits_retain(libc::__WALL.cast_unsigned());
        options.set(WaitOptions::NOHANG, limited);
        loop {
            match waitpid(thread, options) {
                Ok(Some((_, status))) => return stop_of(status.as_raw()),
                Ok(None) => {
                    let left = self.asks.get().checked_sub(1).ok_or(Failure::NoCall)?;
                    self.asks.set(left);
                    thread::sleep(ASKING);
                }
                Err(error) => return Err(Errno::from_raw(error.raw_os_error()).into()),
            }
        }
    }
}

/// What `waitpid` tells of a thread that is traced by `PTRACE_SEIZE` (ptrace(2)).
fn stop_of(status: i32) -> Result<Stop, Failure> {
    if !libc::WIFSTOPPED(status) {
        return Err(Failure::Gone);
    }
    let signal = libc::WSTOPSIG(status);
    Ok(match (status >> 16, signal) {
        (0, signal) if signal == libc::SIGTRAP | 0x80 => Stop::Call,
        (0, signal) => Stop::Signal(signal),
        (_, signal) => Stop::Event {
            group: signal != libc::SIGTRAP,
        },
    })
}

/// A word of its text.
fn text_at(thread: Pid, address: u64) -> nix::Result<libc::c_long> {
    ptrace::read(thread, address as ptrace::AddressType)
}

/// Whether a call returned that it was interrupted.
fn is_interruption(returned: i64) -> bool {
    returned == -i64::from(libc::EINTR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_told_apart() {
        let stopped = |signal: i32, event: i32| stop_of(event << 16 | signal << 8 | 0x7f);
        assert_eq!(stopped(libc::SIGTRAP | 0x80, 0), Ok(Stop::Call));
        assert_eq!(stopped(libc::SIGTRAP, 0), Ok(Stop::Signal(libc::SIGTRAP)));
        assert_eq!(stopped(34, 0), Ok(Stop::Signal(34)));
        let event = libc::PTRACE_EVENT_STOP;
        assert_eq!(
            stopped(libc::SIGTRAP, event),
            Ok(Stop::Event { group: false })
        );
        assert_eq!(
            stopped(libc::SIGSTOP, event),
            Ok(Stop::Event { group: true })
        );
        assert_eq!(stop_of(0), Err(Failure::Gone));
        assert_eq!(stop_of(libc::SIGKILL), Err(Failure::Gone));
    }
}
