//! The mission's race, for real: a thread makes a pipe, another one forks
//! before the first has closed its write end, and the first one's read hangs.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::Barrier,
    thread,
};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::problem::Problem;

/// How long the forked child keeps the write end.
const HELD: libc::time_t = 3;

/// Plays it once, in about three seconds.
///
/// # Errors
///
/// The kernel has no pipe, thread or process left to give.
pub fn enact() -> Result<(), Problem> {
    let failed = |error: io::Error| {
        Problem::new(
            format!("the demo could not be played: {error}"),
            "are there processes left to start?",
        )
    };
    let made = Barrier::new(2);
    let forked = Barrier::new(2);
    let (read, child) = thread::scope(|scope| {
        let reader = thread::Builder::new()
            .name("starter".to_owned())
            .spawn_scoped(scope, || {
                let pipe = pipe_with(PipeFlags::CLOEXEC);
                made.wait();
                forked.wait();
                let (read, write) = pipe?;
                drop(write);
                // Nobody writes, so this ends as soon as nobody can any more.
                File::from(read).read(&mut [0; 16])
            })?;
        let forker = thread::Builder::new()
            .name("updater".to_owned())
            .spawn_scoped(scope, || {
                made.wait();
                let child = fork_a_sleeper();
                forked.wait();
                child
            })?;
        let join = |result: thread::Result<_>| {
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let child = forker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((join(reader.join()), child))
    })
    .map_err(failed)?;
    read.map_err(failed)?;
    wait_for(child.map_err(failed)?);
    Ok(())
}

/// Forks a child that runs no new program, so that it keeps every descriptor.
fn fork_a_sleeper() -> io::Result<libc::pid_t> {
    // SAFETY: other threads run, so the child calls only functions that are
    // async-signal-safe: nanosleep, and _exit without any destructor.
    let pid = unsafe { libc::fork() };
    if pid == -1 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let held = libc::timespec {
            tv_sec: HELD,
            tv_nsec: 0,
        };
        // SAFETY: see above; `held` is valid, and the rest need not be known.
        unsafe {
            libc::nanosleep(&raw const held, std::ptr::null_mut());
            libc::_exit(0);
        }
    }
    Ok(pid)
}

fn wait_for(child: libc::pid_t) {
    // SAFETY: a null status is allowed; the child is our own.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}
