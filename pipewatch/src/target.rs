//! The command that pipewatch starts, to watch it from its first instruction.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus},
};

use rustix::process::{Pid as RawPid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::{ids::Pid, problem::Problem};

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    raw: RawPid,
    ended: OwnedFd,
}

/// Why a command did not start, as shells tell it by their exit status.
#[derive(Debug)]
pub struct NotStarted {
    /// 127 if there is none of that name, 126 if it is not executable, else 125.
    pub status: u8,
    /// In words.
    pub problem: Problem,
}

/// Starts a command, with its standard streams and environment as they are.
///
/// # Errors
///
/// There is no such command, it is not executable, or no process can be made.
pub fn start(command: &[OsString]) -> Result<Running, NotStarted> {
    let [program, arguments @ ..] = command else {
        let problem = Problem::new("no command to start", "give one after `--`");
        return Err(NotStarted {
            status: 125,
            problem,
        });
    };
    let spawned = Command::new(program).args(arguments).arg0(program).spawn();
    let child = spawned.map_err(|error| not_started(program, &error))?;
    let raw = RawPid::from_child(&child);
    match pidfd_open(raw, PidfdFlags::empty()) {
        Ok(ended) => Ok(Running { child, raw, ended }),
        Err(error) => Err(NotStarted {
            status: 125,
            problem: Problem::new(
                format!("cannot wait for {}: pidfd_open: {error}", program.display()),
                "pipewatch needs Linux 5.3 or later",
            ),
        }),
    }
}

fn not_started(program: &OsString, error: &io::Error) -> NotStarted {
    let (status, hint) = match error.raw_os_error() {
        Some(libc::ENOENT) => (127, "is it installed, and in PATH?"),
        Some(libc::EACCES) => (126, "is it executable? (chmod +x)"),
        Some(libc::ENOEXEC) => (126, "it is no program; does it lack a #! line?"),
        Some(_) | None => (125, "the command was not started"),
    };
    let problem = Problem::new(format!("cannot start {}: {error}", program.display()), hint);
    NotStarted { status, problem }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid(self.child.id())
    }

    /// Readable once it has ended.
    pub fn ended_fd(&self) -> &OwnedFd {
        &self.ended
    }

    /// Passes a signal on to it.
    pub fn signal(&self, number: i32) {
        // It may have ended by now, which is what signals are for.
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = kill_process(self.raw, signal);
        }
    }

    /// Waits for its end, which has come; its exit status as a shell tells it.
    ///
    /// # Errors
    ///
    /// Somebody else has waited for it.
    pub fn status(&mut self) -> Result<u8, Problem> {
        let status = self.child.wait().map_err(|error| {
            Problem::new(
                format!("cannot learn how the command ended: {error}"),
                "report this as a bug",
            )
        })?;
        Ok(shell_status(status))
    }
}

fn shell_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125)
}
