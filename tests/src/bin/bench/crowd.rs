//! Many processes that do nothing but hold pipes.

use std::io::{self, Read as _};

/// They end with this.
pub struct Crowd {
    leader: libc::pid_t,
}

impl Crowd {
    /// So many processes with so many pipes each, all of them children of one.
    pub fn of(processes: u32, pipes: u32) -> io::Result<Self> {
        raise_limit()?;
        let (mut ready, writer) = io::pipe()?;
        // SAFETY: this program has one thread, so the child may do anything.
        let leader = unsafe { libc::fork() };
        if leader == 0 {
            drop(ready);
            // SAFETY: a group of its own, which is killed as one.
            unsafe { libc::setpgid(0, 0) };
            end_with_the_parent();
            for _ in 0..processes {
                // SAFETY: as above.
                if unsafe { libc::fork() } == 0 {
                    hold(pipes, writer);
                }
            }
            drop(writer);
            sleep_for_ever();
        }
        if leader < 0 {
            return Err(io::Error::last_os_error());
        }
        drop(writer);
        let crowd = Self { leader };
        for _ in 0..processes {
            ready.read_exact(&mut [0])?;
        }
        Ok(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // SAFETY: a group that was made above, whose leader has not been reaped.
        unsafe {
            libc::killpg(self.leader, libc::SIGKILL);
            libc::waitpid(self.leader, std::ptr::null_mut(), 0);
        }
    }
}

/// Makes pipes, tells that by a byte, and keeps them.
fn hold(pipes: u32, ready: io::PipeWriter) -> ! {
    end_with_the_parent();
    let mut kept = Vec::new();
    for _ in 0..pipes {
        match io::pipe() {
            Ok(ends) => kept.push(ends),
            // Whoever waits for the byte gets an end of file.
            // SAFETY: ends the process.
            Err(_) => unsafe { libc::_exit(1) },
        }
    }
    let told = io::Write::write_all(&mut &ready, &[0]);
    drop(ready);
    if told.is_err() {
        // SAFETY: ends the process.
        unsafe { libc::_exit(1) };
    }
    sleep_for_ever()
}

/// Leaves no crowd behind a measurement that was killed.
fn end_with_the_parent() {
    // SAFETY: takes a number.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// As many descriptors as are allowed.
fn raise_limit() -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads into, and from, a place of the right type.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    if done {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
