//! Signals sent to pipewatch, and who sent them.

use std::{mem::MaybeUninit, ptr::null, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{SignalsInfo, exfiltrator::origin::WithOrigin},
    low_level::siginfo::{Cause, Origin},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::problem::Problem;

/// A signal that asks pipewatch to end, or to pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// It came from the terminal, which sends it to the whole foreground group:
    /// a child has got it already.
    pub from_terminal: bool,
}

impl Signal {
    /// The exit status of who ends by it, as a shell tells it.
    pub fn status(self) -> u8 {
        u8::try_from(128 + self.number).unwrap_or(u8::MAX)
    }
}

impl From<Origin> for Signal {
    fn from(origin: Origin) -> Self {
        Self {
            number: origin.signal,
            from_terminal: origin.cause == Cause::Kernel,
        }
    }
}

/// Signals that are caught, and kept until somebody asks.
pub struct Caught(SignalsInfo<WithOrigin>);

/// Takes over SIGINT, SIGTERM and SIGHUP for the rest of the process's life; SIGHUP not if
/// it is ignored: then whoever started pipewatch (`nohup`) wants it to go on, and a command
/// that it starts is to ignore it, too.
///
/// # Errors
///
/// The kernel refuses to install a handler.
pub fn catch() -> Result<Caught, Problem> {
    let hangup = Some(SIGHUP).filter(|&signal| !is_ignored(signal));
    let signals = SignalsInfo::new([SIGINT, SIGTERM].into_iter().chain(hangup));
    signals.map(Caught).map_err(|error| {
        Problem::new(
            format!("cannot handle signals: {error}"),
            "report this as a bug",
        )
    })
}

/// Whether a signal is ignored now.
fn is_ignored(signal: i32) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed; the kernel writes what is so now, and zeros are such a
    // value, too.
    let now = unsafe {
        libc::sigaction(signal, null(), now.as_mut_ptr());
        now.assume_init()
    };
    now.sa_sigaction == libc::SIG_IGN
}

impl Caught {
    /// One that came already.
    pub fn pending(&mut self) -> Option<Signal> {
        self.0.pending().next().map(Signal::from)
    }

    /// Passes them on as they come, by a thread of its own.
    pub fn listen(mut self) -> UnboundedReceiver<Signal> {
        let (sender, receiver) = unbounded_channel();
        thread::spawn(move || {
            for origin in self.0.forever() {
                // The receiver is gone only when pipewatch is about to exit.
                if sender.send(origin.into()).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
