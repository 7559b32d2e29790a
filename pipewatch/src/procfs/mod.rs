//! What `/proc` tells: of a process, what only it does; and, where there is no
//! BPF, who waits for what and who holds what.

mod descriptor;
mod identity;
mod kcmp;
pub mod parse;
mod program;
mod subject;
mod tables;
mod thread;
mod wait_set;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::PathBuf,
};

pub use self::{
    program::language,
    subject::{
        Condition, Referent, call, can_stand_in, condition, is_32_bit, referent, stand_in, start,
        threads,
    },
    tables::Tables,
    wait_set::{waited_for, waits_for_ever},
};
use crate::{
    cgroup,
    ids::{Fd, Pid, PipeId, Tid},
};

/// Command line of a process. `None` if it is gone or has none (a zombie).
/// Bytes that are no text are replaced.
pub fn cmdline(pid: Pid) -> Option<Vec<String>> {
    parse::words(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)
}

/// The control group that a process is in, as a path. `None` if it is gone.
pub fn cgroup(pid: Pid) -> Option<String> {
    cgroup::path(&fs::read(format!("/proc/{pid}/cgroup")).ok()?)
}

/// Path behind a descriptor of a process.
pub fn path(pid: Pid, fd: Fd) -> Option<String> {
    let target: PathBuf = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// The pipes and FIFOs that this process writes its output and its errors to.
pub fn outputs() -> BTreeSet<PipeId> {
    let own = Tid(std::process::id());
    let outputs = [1, 2].map(|fd| descriptor::pipe(own, Fd(fd)));
    outputs.into_iter().flatten().collect()
}

/// Whether a process, as far as it may be looked into, holds a write end of one of these.
pub fn writes_to_any(pid: Pid, pipes: &BTreeSet<PipeId>) -> bool {
    let is_wanted = |pipe: &PipeId| pipes.contains(pipe);
    write_ends(pid, is_wanted).next().is_some()
}

/// A write end that a process has of the pipe that another descriptor of it is an end of.
pub fn write_end_beside(pid: Pid, fd: Fd) -> Option<Fd> {
    let pipe = descriptor::pipe(Tid(pid.0), fd)?;
    write_ends(pid, |other| *other == pipe).next()
}

fn write_ends(pid: Pid, is_wanted: impl Fn(&PipeId) -> bool) -> impl Iterator<Item = Fd> {
    let tid = Tid(pid.0);
    let held = descriptor::pipes(tid).unwrap_or_default().into_iter();
    let wanted = held.filter(move |(_, pipe)| is_wanted(pipe));
    let writes = wanted.filter(move |(fd, pipe)| {
        descriptor::end(tid, (*fd, *pipe), pipe.dev).is_some_and(|end| end.mode.write)
    });
    writes.map(|(fd, _)| fd)
}

/// The process that a process or thread id belongs to. `None` if there is none.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn process_of(id: u32) -> io::Result<Option<Pid>> {
    let status = match fs::read_to_string(format!("/proc/{id}/status")) {
        Ok(status) => status,
        // A process that ends while it is read says ESRCH.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let field = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Ok(field.and_then(|value| value.trim().parse().ok()).map(Pid))
}

/// Whether process ids are here as the kernel has them: in the initial pid namespace,
/// which has had this number since 3.8 (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
/// Where that cannot be read, they are taken to be.
pub fn ids_are_the_kernels() -> bool {
    let initial = OsStr::new("pid:[4026531836]");
    fs::read_link("/proc/self/ns/pid").map_or(true, |namespace| namespace == initial)
}

/// All of a small file, with as few calls as can be: they are what it costs to
/// look at every thread.
fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..])? {
            0 => break,
            count => length += count,
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_for_its_process() {
        let own = std::process::id();
        let ask = || {
            let tid = rustix::thread::gettid().as_raw_pid().unsigned_abs();
            (tid, process_of(tid).expect("/proc"))
        };
        let (tid, process) = std::thread::spawn(ask).join().expect("an answer");
        assert_ne!(tid, own);
        assert_eq!(process, Some(Pid(own)));
        assert_eq!(process_of(u32::MAX).expect("/proc"), None);
    }
}
