//! Signals sent to pipewatch, and who sent them.

use std::thread;

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::{SignalsInfo, exfiltrator::origin::WithOrigin},
    low_level::siginfo::Cause,
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

/// Takes over SIGINT, SIGTERM and SIGHUP for the rest of the process's life.
///
/// # Errors
///
/// The kernel refuses to install a handler.
pub fn listen() -> Result<UnboundedReceiver<Signal>, Problem> {
    let mut signals =
        SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| {
            Problem::new(
                format!("cannot handle signals: {error}"),
                "report this as a bug",
            )
        })?;
    let (sender, receiver) = unbounded_channel();
    thread::spawn(move || {
        for origin in signals.forever() {
            let from_terminal = origin.cause == Cause::Kernel;
            // The receiver is gone only when pipewatch is about to exit.
            if sender
                .send(Signal {
                    number: origin.signal,
                    from_terminal,
                })
                .is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}
