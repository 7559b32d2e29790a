//! Why nothing is released, and what is to be done then.

use std::io;

use crate::{
    finding::{Hang, Verdict},
    ids::{Fd, Pid, Tid},
    injection::Failure,
    problem::Problem,
    procfs::{self, Referent},
    render,
};

const LOOK: &str = "`pipewatch snapshot` tells what hangs, and which end keeps it up; \
                    `ls -l /proc/PID/fd` what a process has open";
const RELEASED: &str = "if it was released before, nothing is left to do: a copy of a read end, or of \
                        /dev/null, keeps its number; `pipewatch snapshot` tells what hangs";
const BY_GDB: &str = "gdb can: gdb -p PID -batch -ex 'call (int)close(FD)'";

pub(super) fn has_ended(pid: Pid) -> Problem {
    Problem::new(format!("process {pid} has ended"), LOOK)
}

pub(super) fn changed(pid: Pid, fd: Fd) -> Problem {
    let message = format!(
        "process {pid} ended, or closed descriptor {fd} itself, meanwhile; pipewatch closed nothing"
    );
    Problem::new(message, LOOK)
}

pub(super) fn is_32_bit(pid: Pid) -> Problem {
    let message = format!("process {pid} is one of 32 bit, which pipewatch cannot release");
    Problem::new(message, BY_GDB)
}

/// A descriptor if it can be what keeps a read from ending.
pub(super) fn write_end(
    pid: Pid,
    fd: Fd,
    found: io::Result<Option<Referent>>,
) -> Result<Referent, Problem> {
    let descriptor = format!("descriptor {fd} of process {pid}");
    let message = match found {
        Ok(Some(file)) if file.mode.write => return Ok(file),
        Ok(Some(_)) => {
            let message = format!("{descriptor} is a read end, which keeps no read from ending");
            let Some(write) = procfs::write_end_beside(pid, fd) else {
                return Err(Problem::new(message, RELEASED));
            };
            let hint =
                format!("of that pipe, it has this write end: pipewatch release {pid} {write}");
            return Err(Problem::new(message, hint));
        }
        Ok(None) => {
            let is = procfs::path(pid, fd).map_or_else(String::new, |path| {
                format!(": it is {}", render::printable(&path))
            });
            format!("{descriptor} is no end of a pipe{is}")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(not_permitted(pid));
        }
        Err(_) if is_zombie(pid) => return Err(has_ended(pid)),
        Err(_) => format!("process {pid} has no descriptor {fd}"),
    };
    Err(Problem::new(message, RELEASED))
}

/// Whether its first thread has ended; what its others hold is found by them.
fn is_zombie(pid: Pid) -> bool {
    procfs::condition(Tid(pid.0)).is_some_and(|condition| condition.state == b'Z')
}

pub(super) fn no_pair(pid: Pid, fd: Fd) -> Problem {
    Problem::new(
        format!("descriptor {fd} of process {pid} is not seen to be a socket of a pair"),
        "pipewatch releases pipes, FIFOs and, as root, pairs of UNIX sockets",
    )
}

pub(super) fn not_permitted(pid: Pid) -> Problem {
    let hint = if rustix::process::geteuid().is_root() {
        "this host keeps it even from root (a container, a security module, or it is hidden): ask \
         whoever may"
    } else {
        "run pipewatch as root (sudo); kernel.yama.ptrace_scope may forbid it even for one's own"
    };
    Problem::new(format!("tracing process {pid} is not permitted"), hint)
}

pub(super) fn traced(pid: Pid, tracer: Pid) -> Problem {
    let name = procfs::condition(Tid(tracer.0)).map_or_else(String::new, |condition| {
        format!(" ({})", render::printable(&condition.comm.to_string()))
    });
    Problem::new(
        format!("process {pid} is traced by process {tracer}{name}, and can have one tracer only"),
        "end that one first; gdb can close it itself: call (int)close(FD)",
    )
}

pub(super) fn signalled(pid: Pid) -> Problem {
    Problem::new(
        format!("process {pid} is stopped, and would get a signal that waits for it to go on"),
        format!("let it go on first: kill -CONT {pid}"),
    )
}

/// By a mode of seccomp.
pub(super) fn filtered(pid: Pid, mode: u32) -> Problem {
    if mode == libc::SECCOMP_MODE_STRICT {
        let message = format!(
            "process {pid} is in strict seccomp mode: the kernel would kill it for a close"
        );
        return Problem::new(message, "end it to free the reader");
    }
    Problem::new(
        format!(
            "process {pid} has a filter of system calls (seccomp), which may kill it for a close"
        ),
        "those of Docker, systemd and browsers permit it: --force takes the risk",
    )
}

/// Its holder is to keep it, for all that is known.
pub(super) fn refused(pid: Pid, fd: Fd, meant: Option<&Hang>) -> Problem {
    let message = match meant {
        // Others would have to let go of theirs, too, and the reader of its own.
        Some(hang) if hang.judged && hang.is_kept_up_by_reader() => {
            let message = format!(
                "closing fd {fd} of process {pid} frees nobody: {}",
                hang.why
            );
            return Problem::new(render::printable(&message), render::printable(&hang.hint));
        }
        Some(hang) => {
            let judged = match hang.verdict {
                Verdict::Waiting if !hang.judged => {
                    "may be meant to write to it, which cannot be judged"
                }
                Verdict::Waiting => "may be meant to write to it",
                Verdict::Leaked | Verdict::Orphaned | Verdict::SelfHeld | Verdict::InFlight => {
                    "is not known to have it by mistake"
                }
            };
            let why = render::printable(&hang.why);
            format!("process {pid} is to keep fd {fd}, as it {judged}: {why}")
        }
        None => {
            format!("nobody is seen to have waited for a second for process {pid} to close fd {fd}")
        }
    };
    Problem::new(
        message,
        "--force closes it all the same; its holder may fail then, or lose what it meant to write",
    )
}

/// A thread did not close it.
pub(super) fn failed(pid: Pid, fd: Fd, (tid, failure): (Tid, Failure)) -> Problem {
    let error = io::Error::from_raw_os_error;
    let (message, hint) = match failure {
        Failure::Gone | Failure::Changed => return changed(pid, fd),
        Failure::Foreign => return is_32_bit(pid),
        Failure::NotPermitted => {
            let tracer = procfs::condition(tid).and_then(|condition| condition.tracer);
            return tracer.map_or_else(|| not_permitted(pid), |tracer| traced(pid, tracer));
        }
        Failure::NoCall => (
            format!(
                "no thread of process {pid} came to a system call in time, so none was made to \
                 close fd {fd}"
            ),
            "it computes, or waits for a device: try again later, or end it",
        ),
        Failure::Stopped => (
            format!(
                "process {pid} is stopped outside of any system call, and would have to run to \
                 close fd {fd}"
            ),
            "let it go on first: kill -CONT PID",
        ),
        Failure::Refused(number) => (
            format!("process {pid} cannot close fd {fd}: {}", error(number)),
            "a filter of system calls may forbid it; end the process to free the reader",
        ),
        Failure::Filtered => (
            format!(
                "a filter of system calls did not let process {pid} close fd {fd}, and has sent it \
                 SIGSYS"
            ),
            "unless it handles that, it has ended, and what it held is closed now",
        ),
        Failure::Killed => (
            format!("process {pid} was killed while it closed fd {fd}"),
            "what it held is closed now",
        ),
        Failure::Request(number) => (
            format!(
                "cannot trace thread {tid} of process {pid}: {}",
                error(number)
            ),
            "report this as a bug",
        ),
        Failure::NoThread => (
            "cannot start a thread".to_owned(),
            "are there processes left to start?",
        ),
    };
    Problem::new(message, hint)
}
