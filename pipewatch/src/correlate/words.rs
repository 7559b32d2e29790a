//! A judgement in words: why, and what to do.

use std::collections::BTreeSet;

use super::{
    Evidence, Wait,
    role::{Holding, Role},
};
use crate::{
    event::{Sleep, TaskRow},
    finding::{Created, Verdict},
    ids::{Fd, PipeId, ProcKey},
    listing::list,
};

/// Two sentences at most, and advice.
pub(super) struct Words {
    pub(super) why: String,
    pub(super) hint: String,
}

/// "the write end (fd 19)" of a holder.
fn write_end(holding: &Holding<'_>) -> String {
    let writes = holding.rows.iter().filter(|row| row.end.mode.write);
    let fds: Vec<String> = writes.map(|row| format!("fd {}", row.end.fd)).collect();
    format!("the write end ({})", fds.join(", "))
}

/// What makes a command let go of its write ends.
fn letting_go(holding: &Holding<'_>) -> String {
    let writes = holding.rows.iter().filter(|row| row.end.mode.write);
    let fds: Vec<Fd> = writes.map(|row| row.end.fd).collect();
    if fds.iter().all(|fd| fd.is_output()) {
        return "redirect the output (>/dev/null 2>&1)".to_owned();
    }
    let closed = fds.iter().map(|fd| format!("{fd}>&-"));
    format!(
        "close {} ({})",
        write_end(holding),
        closed.collect::<Vec<_>>().join(" ")
    )
}

/// The code after the fork may be that of a library, as with workers of a pool.
fn end_with_parent(in_child: &str) -> String {
    format!(
        "{in_child}; where a library forks, let the child end with its parent, by \
         prctl(PR_SET_PDEATHSIG) when it starts (in Python, from the initializer of the pool)"
    )
}

/// Nobody follows a longer chain of processes.
const CHAIN: usize = 64;

fn others(count: usize) -> &'static str {
    match count {
        0 => "",
        1 => ". Another process holds it in the same way",
        _ => ". Other processes hold it in the same way",
    }
}

/// What was concluded of a hang.
#[derive(Clone, Copy)]
pub(super) struct Conclusion {
    pub(super) verdict: Verdict,
    pub(super) created: Option<Created>,
    pub(super) race: bool,
    pub(super) maker_gone: bool,
    pub(super) cycle: bool,
    /// They wait for what only their parent would write, which has died.
    pub(super) pool: bool,
    pub(super) certain: bool,
    /// The kernel has told how much was written.
    pub(super) counted: bool,
    pub(super) exact: bool,
}

/// A hang; the first holder is the most culpable.
pub(super) fn of_hang(
    conclusion: Conclusion,
    found: &[(Holding<'_>, Role)],
    wait: &Wait,
    evidence: &Evidence<'_>,
) -> Words {
    let (reader, pipe) = (wait.actor.process, wait.sleep.end.pipe);
    let Conclusion {
        verdict,
        created,
        race,
        maker_gone,
        cycle,
        pool,
        certain,
        counted,
        exact,
    } = conclusion;
    let Some((first, role)) = found.first() else {
        return Words {
            why: "the kernel counts a write end that is in no fd table: it travels in a message on a \
                  socket, or io_uring keeps it"
                .to_owned(),
            hint: "look for a socket that nobody reads from, or a ring that the write end was \
                   registered with; close what was sent there"
                .to_owned(),
        };
    };
    let pid = first.process.pid;
    let end = write_end(first);
    let stopped = evidence
        .threads(first.process)
        .iter()
        .any(|row| row.stopped);
    // Every one of them keeps the read from ending, the reader itself too.
    let ids = found.iter().map(|(holding, _)| holding.process.pid);
    let all = list("process", "processes", &ids.collect::<Vec<_>>());
    let holds_too = found.iter().any(|(holding, _)| holding.process == reader);
    let free = if stopped {
        format!(
            "process {pid} is stopped: `kill -CONT {pid}` lets it go on. If that frees nobody, end it"
        )
    } else if holds_too {
        let doubt = if certain {
            ""
        } else {
            "if none of them is going to answer, "
        };
        format!("the reader holds the write end too, so nothing frees it: {doubt}end {all}")
    } else if certain {
        format!("to free the reader now, end {all}")
    } else if found.len() > 1 {
        format!("if {all} are not going to answer, end them to free the reader")
    } else {
        format!("if process {pid} is not going to answer, end it to free the reader")
    };
    let rest = others(found.len() - 1 - usize::from(holds_too && pool));
    let in_child = format!("close {end} in the child right after the fork");
    let other = other_pipe(first, reader, evidence);
    let (fd, back) = other.clone().unwrap_or_default();
    let silent = match (counted, exact) {
        (true, true) => " and has not written since",
        (true, false) => " and has not written since the wait began",
        (false, _) => "",
    };
    let (why, cure) = match (verdict, *role) {
        (Verdict::SelfHeld, _) => (
            format!(
                "the waiting process itself holds {end}, and nothing else does, so the end of file \
                 it waits for cannot come"
            ),
            if pool {
                end_with_parent(&in_child)
            } else {
                format!("close {end} before reading; in a child that reads, right after the fork")
            },
        ),
        (Verdict::Orphaned, _) => (
            format!(
                "the process that was meant to write{} is gone. Process {pid}, which it left behind, \
                 still holds {end}{silent}{rest}",
                writer_of(*role),
            ),
            format!(
                "{} in what is to stay in the background, or read only until the command itself has \
                 ended",
                letting_go(first)
            ),
        ),
        (
            _,
            Role::IdleHeir {
                left_by: Some(fork),
            },
        ) if race => {
            let maker = created.map_or(fork.actor, |created| created.act.actor);
            (
                format!(
                    "thread {} ({}) forked while thread {} ({}) was at work with this pipe, between \
                     its creation and the close of the write end. Process {pid} inherited {end} by \
                     that, has never used it, and keeps the read from ending as long as it holds \
                     it{rest}",
                    fork.actor.tid, fork.actor.comm, maker.tid, maker.comm,
                ),
                format!(
                    "{in_child}; start children before threads, or in a way that executes a new \
                     program: close-on-exec does not act on a fork alone"
                ),
            )
        }
        (
            _,
            Role::Stray {
                writer: Some(writer),
                ..
            },
        ) => (
            format!(
                "process {}, which was meant to write, has let go of its write end. Process {pid} \
                 inherited {end}{silent}{rest}. Unless it is still to answer, the read ends only when \
                 it closes that or exits",
                writer.pid
            ),
            format!("close {end} in process {pid}, or start it before the write end is opened"),
        ),
        (_, Role::ExecHeir { .. }) => (
            format!(
                "process {pid} is a program that was started while the pipe was open, and has kept \
                 {end} across the exec without using it{rest}"
            ),
            "make the pipe with O_CLOEXEC (pipe2), or start programs with all other descriptors \
             closed (Python's close_fds)"
                .to_owned(),
        ),
        (_, Role::Keeper) => (
            format!(
                "another process passed {end} on to process {pid}, by a message on a socket or by \
                 pidfd_getfd, and it has not been used since. Unless it is still to answer, the read \
                 ends only when process {pid} closes that or exits{rest}"
            ),
            format!("close {end} in process {pid} when it is not needed any more"),
        ),
        (_, Role::Stuck) if other.is_some() => (
            format!(
                "process {pid} holds {end} and waits itself, in a read of its fd {fd}, for the end \
                 of a pipe to which the reader, process {}, holds the write end ({back}): neither \
                 can go on{rest}",
                reader.pid
            ),
            format!(
                "close that write end ({back}) in process {} before it reads, which lets process \
                 {pid} end",
                reader.pid
            ),
        ),
        (_, Role::Stuck) => (
            format!(
                "process {pid} holds {end} and waits for the reader, which waits for that end to be \
                 closed: neither can go on{rest}"
            ),
            format!("close {end} in process {pid} before it waits"),
        ),
        _ if cycle => (
            format!(
                "process {pid} inherited {end} by a fork and waits, directly or through others, for \
                 this very reader: none of them can go on{rest}"
            ),
            in_child,
        ),
        _ if pool => (
            format!(
                "{}, and nobody else is to write. Process {pid} inherited {end}, as the reader has \
                 itself, and keeps it without using it{rest}",
                if maker_gone {
                    "the process that made the pipe has ended"
                } else {
                    "whoever made the pipe has ended: all who hold it hold it alike, and none of \
                     them has a parent any more"
                }
            ),
            end_with_parent(&in_child),
        ),
        _ if maker_gone => (
            format!(
                "the process that made the pipe has let go of it or ended; process {pid} inherited \
                 {end} by a fork and has never used it, so nobody will write and nobody \
                 closes{rest}"
            ),
            in_child,
        ),
        _ => (
            format!(
                "process {pid} {} and {} used its copy since. Unless it is still to \
                 answer, the read ends only when it closes that or exits{rest}",
                if exact {
                    format!("inherited {end} by a fork")
                } else {
                    format!("must have inherited {end} by a fork that was not seen")
                },
                if counted {
                    "has not"
                } else {
                    "was not seen to have"
                }
            ),
            format!(
                "{in_child}; create the pipe after the fork, or start the child with a method that \
                 executes a new program"
            ),
        ),
    };
    // A member of a cycle waits for the reader, which is told already.
    let waits_for_reader = cycle || matches!(role, Role::Itself { .. } | Role::Stuck);
    let why = if waits_for_reader {
        why
    } else {
        why + &chain(evidence, first.process, pipe)
    };
    let cure = format!("To mend it: {cure}");
    let hint = if verdict == Verdict::SelfHeld {
        cure
    } else {
        format!("{free}. {cure}")
    };
    Words { why, hint }
}

/// " (pid 4711)" of who was meant to write, if that is known.
fn writer_of(role: Role) -> String {
    if let Role::Stray {
        writer: Some(writer),
        ..
    } = role
    {
        format!(" (pid {})", writer.pid)
    } else {
        String::new()
    }
}

/// The read that a holder sleeps in, if the reader has what would end it: the
/// descriptor, and those of the reader.
fn other_pipe(
    holding: &Holding<'_>,
    reader: ProcKey,
    evidence: &Evidence<'_>,
) -> Option<(Fd, String)> {
    let [thread] = evidence.threads(holding.process) else {
        return None;
    };
    let sleep = thread.sleep?;
    let rows = evidence.holders(sleep.end.pipe).get(&reader)?;
    let writes = rows.iter().filter(|row| row.end.mode.write);
    let fds: Vec<String> = writes.map(|row| format!("fd {}", row.end.fd)).collect();
    Some((sleep.end.fd, fds.join(", ")))
}

/// A healthy wait, or one that is taken for that as it cannot be `judged`.
pub(super) fn of_wait(
    found: &[(Holding<'_>, Role)],
    pipe: PipeId,
    complete: bool,
    judged: bool,
    evidence: &Evidence<'_>,
) -> Words {
    let excused = found
        .iter()
        .find_map(|(holding, role)| Some((holding, role.excuse()?)));
    let why = match excused {
        Some((holding, excuse)) => {
            let pid = holding.process.pid;
            let chain = chain(evidence, holding.process, pipe);
            format!(
                "process {pid} ({}) may still write: {excuse}{chain}",
                comm(holding, evidence)
            )
        }
        None if found
            .iter()
            .any(|(_, role)| *role == Role::Itself { made: true }) =>
        {
            "the waiting process keeps a write end of its own, so it waits for bytes".to_owned()
        }
        None if complete => "only pipewatch itself holds a write end".to_owned(),
        None => "the kernel counts a writer that no fd table shows".to_owned(),
    };
    let hint = if judged {
        "nothing to do: this wait looks meant"
    } else {
        "this cannot be judged: pipewatch must see the pipe made and handed on"
    };
    Words {
        why,
        hint: hint.to_owned(),
    }
}

fn comm(holding: &Holding<'_>, evidence: &Evidence<'_>) -> String {
    let row = holding.rows.first();
    let task = row.and_then(|row| evidence.task(row.actor.tid));
    task.map(|task| task.actor.comm)
        .or(row.map(|row| row.actor.comm))
        .unwrap_or_default()
        .to_string()
}

/// A holder of a pipe that waits itself: in the same way, or for others; where that ends.
fn chain(evidence: &Evidence<'_>, holder: ProcKey, pipe: PipeId) -> String {
    let Some((_, sleep)) = only_read(evidence, holder) else {
        return String::new();
    };
    if sleep.end.pipe == pipe {
        return "; it waits for this pipe itself".to_owned();
    }
    let Some(row) = last_link(evidence, holder) else {
        return String::new();
    };
    format!(
        "; it waits in a read itself, and the last of that chain is thread {} ({}) of process {}",
        row.actor.tid, row.actor.comm, row.actor.process.pid
    )
}

/// The read that a process waits in, if that is all it does.
fn only_read<'a>(evidence: &Evidence<'a>, process: ProcKey) -> Option<(&'a TaskRow, Sleep)> {
    let [thread] = evidence.threads(process) else {
        return None;
    };
    Some((thread, thread.sleep?))
}

/// Following the reads of processes that wait for each other: the last reader that is
/// another process. Where they wait in a circle there is none.
fn last_link<'a>(evidence: &Evidence<'a>, process: ProcKey) -> Option<&'a TaskRow> {
    let mut met = BTreeSet::from([process]);
    let mut last = None;
    let mut link = process;
    while met.len() <= CHAIN {
        let Some((row, sleep)) = only_read(evidence, link) else {
            return last;
        };
        last = Some(row).filter(|_| link != process);
        let holders = evidence.holders(sleep.end.pipe).keys();
        let mut others = holders.filter(|holder| **holder != link).peekable();
        if others.peek().is_none() {
            return last;
        }
        link = *others.find(|holder| !met.contains(*holder))?;
        met.insert(link);
    }
    None
}
