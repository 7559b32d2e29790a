//! Many processes that do nothing but hold pipes.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
};

use super::forked::{Forked, sleep_for_ever};

/// They end with this.
pub struct Crowd {
    _leader: Forked,
}

impl Crowd {
    /// So many processes with so many pipes each, all of them children of one.
    pub fn of(processes: u32, pipes: u32) -> io::Result<Self> {
        raise_limit()?;
        let (ready, writer) = io::pipe()?;
        let (leader, mut ready) = Forked::fork(ready, move || {
            // Whoever reads what this program prints waits for no crowd.
            let nowhere = File::options().write(true).open("/dev/null")?;
            nix::unistd::dup2_stdout(&nowhere)?;
            nix::unistd::dup2_stderr(&nowhere)?;
            let mut writer = Some(writer);
            let members = (0..processes).map(|_| Forked::fork((), || hold(pipes, writer.take())));
            let _members = members.collect::<io::Result<Vec<_>>>()?;
            drop(writer);
            sleep_for_ever()
        })?;
        for _ in 0..processes {
            ready.read_exact(&mut [0])?;
        }
        Ok(Self { _leader: leader })
    }
}

/// Makes pipes, tells that by a byte, and keeps them.
fn hold(pipes: u32, ready: Option<io::PipeWriter>) -> io::Result<()> {
    let _kept: Vec<_> = (0..pipes).map(|_| io::pipe()).collect::<io::Result<_>>()?;
    // Whoever waits for the byte gets an end of file if it does not come.
    ready.map_or(Ok(()), |mut ready| ready.write_all(&[0]))?;
    sleep_for_ever()
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
