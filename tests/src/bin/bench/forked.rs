//! Forked processes of this program.

use std::io;

/// A child, which ends with this.
pub struct Forked {
    pid: libc::pid_t,
}

impl Forked {
    /// Forks a child for `work`, which ends with that, or with its parent. `ours` stays here,
    /// what `work` owns goes there.
    pub fn fork<T>(ours: T, work: impl FnOnce() -> io::Result<()>) -> io::Result<(Self, T)> {
        // SAFETY: other threads of this program, if there are any, hold no lock that the
        // child needs: they only read from pipes.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(ours);
                // SAFETY: takes a number. Nothing is left behind by a measurement that is killed.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let failed = work().is_err();
                // SAFETY: ends the process.
                unsafe { libc::_exit(i32::from(failed)) }
            }
            pid => Ok((Self { pid }, ours)),
        }
    }

    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: a child of ours that has not been reaped.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Until it is killed.
pub fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}
