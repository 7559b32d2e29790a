//! Every program of the object, what it hangs on, and what it is for.

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, Iter, ProgramError, TracePoint},
};

use super::tracefs::with_tracefs;
use crate::problem::{Problem, chain};

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// A tracepoint with typed arguments (`tp_btf`).
    Typed(&'static str),
    /// A system call tracepoint; not every architecture has every call.
    Call(&'static str),
    /// An iterator, run on request.
    Iterator(&'static str),
}

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// What it is attached to.
    pub attach: Attach,
    /// What pipewatch would not see without it.
    pub reports: &'static str,
}

const fn program(name: &'static str, attach: Attach, reports: &'static str) -> Program {
    Program {
        name,
        attach,
        reports,
    }
}

/// All programs.
pub const PROGRAMS: &[Program] = &[
    program(
        "process_fork",
        Attach::Typed("sched_process_fork"),
        "which ends a fork hands on",
    ),
    program(
        "process_exec",
        Attach::Typed("sched_process_exec"),
        "which ends an exec keeps",
    ),
    program(
        "process_exit",
        Attach::Typed("sched_process_exit"),
        "processes that end",
    ),
    program(
        "switch",
        Attach::Typed("sched_switch"),
        "reads that go to sleep",
    ),
    program("waking", Attach::Typed("sched_waking"), "how a hang ends"),
    program(
        "exit_pipe",
        Attach::Call("sys_exit_pipe"),
        "pipes made by pipe",
    ),
    program(
        "exit_pipe2",
        Attach::Call("sys_exit_pipe2"),
        "pipes made by pipe2",
    ),
    program(
        "exit_socketpair",
        Attach::Call("sys_exit_socketpair"),
        "pairs of sockets",
    ),
    program(
        "enter_close",
        Attach::Call("sys_enter_close"),
        "closed descriptors",
    ),
    program(
        "exit_close_range",
        Attach::Call("sys_exit_close_range"),
        "closed ranges",
    ),
    program(
        "enter_dup2",
        Attach::Call("sys_enter_dup2"),
        "descriptors replaced by dup2",
    ),
    program(
        "exit_dup2",
        Attach::Call("sys_exit_dup2"),
        "duplicates by dup2",
    ),
    program(
        "enter_dup3",
        Attach::Call("sys_enter_dup3"),
        "descriptors replaced by dup3",
    ),
    program(
        "exit_dup3",
        Attach::Call("sys_exit_dup3"),
        "duplicates by dup3",
    ),
    program(
        "exit_dup",
        Attach::Call("sys_exit_dup"),
        "duplicates by dup",
    ),
    program(
        "exit_fcntl",
        Attach::Call("sys_exit_fcntl"),
        "duplicates and flags by fcntl",
    ),
    program(
        "exit_unshare",
        Attach::Call("sys_exit_unshare"),
        "fd tables made private",
    ),
    program(
        "iter_tasks",
        Attach::Iterator("task"),
        "who sleeps in a read now",
    ),
    program(
        "iter_ends",
        Attach::Iterator("task_file"),
        "who holds which pipe end now",
    ),
];

/// Loads the programs and attaches those that are not run on request; only the
/// latter, unless `probes` is set.
pub(super) fn attach(ebpf: &mut Ebpf, btf: &Btf, probes: bool) -> Result<(), Problem> {
    let on_request = |program: &&Program| matches!(program.attach, Attach::Iterator(_));
    let mut iterators = PROGRAMS.iter().filter(on_request);
    iterators.try_for_each(|program| attach_one(ebpf, btf, program))?;
    if !probes {
        return Ok(());
    }
    let mut others = PROGRAMS.iter().filter(|program| !on_request(program));
    with_tracefs(|| others.try_for_each(|program| attach_one(ebpf, btf, program)))?
}

fn attach_one(ebpf: &mut Ebpf, btf: &Btf, program: &Program) -> Result<(), Problem> {
    let attached = match program.attach {
        Attach::Typed(name) => typed::<BtfTracePoint>(ebpf, program.name).and_then(|typed| {
            typed.load(name, btf)?;
            typed.attach().map(drop)
        }),
        Attach::Call(name) => typed::<TracePoint>(ebpf, program.name).and_then(|typed| {
            typed.load()?;
            typed.attach("syscalls", name).map(drop)
        }),
        Attach::Iterator(kind) => {
            typed::<Iter>(ebpf, program.name).and_then(|typed| typed.load(kind, btf))
        }
    };
    attached.map_err(|error| explain(program, &error))
}

/// The program as the type its section says it has.
pub(super) fn typed<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, ProgramError>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| ProgramError::InvalidName {
            name: name.to_owned(),
        })?
        .try_into()
}

fn explain(program: &Program, error: &ProgramError) -> Problem {
    let on = match program.attach {
        Attach::Typed(name) => format!("tracepoint {name}"),
        Attach::Call(name) => format!("tracepoint syscalls:{name}"),
        Attach::Iterator(kind) => format!("iterator {kind}"),
    };
    let name = program.name;
    let reports = program.reports;
    let (reason, hint) = if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        // The verifier's verdict stands at the end of its log.
        let verdict = log.lines().rfind(|line| !line.starts_with("processed"));
        (
            format!(
                "bpf(BPF_PROG_LOAD) failed: {io_error} {}",
                verdict.unwrap_or_default()
            ),
            "the kernel refused the program; report this with the output of `uname -a`",
        )
    } else {
        (
            chain(error),
            "the kernel may lack this tracepoint (CONFIG_FTRACE_SYSCALLS); `pipewatch doctor` \
             tells what works here",
        )
    };
    Problem::new(
        format!(
            "cannot attach {name} ({reports}) to {on}: {}",
            reason.trim_end()
        ),
        hint,
    )
}
