//! Every program of the object, what it hangs on, and what it is for.

use std::io;

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FEntry, FExit, Iter, KProbe, ProgramError, TracePoint, kprobe::KProbeError,
    },
};

use super::tracefs::with_tracefs;
use crate::{
    arch,
    problem::{Problem, chain},
};

/// How a system call is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// By the type of the call's function; other calls cost nothing more.
    Fentry,
    /// By a breakpoint in the call's function; the same, and a little more for
    /// this one.
    Kprobe,
    /// By its tracepoint, which makes every call of the host take the longer way.
    Tracepoint,
}

impl Mechanism {
    /// The best one first.
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Where a program hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A tracepoint with typed arguments (`tp_btf`).
    Typed(&'static str),
    /// The beginning of a system call, by its name.
    Enter(&'static str),
    /// Its return.
    Exit(&'static str),
    /// An iterator, run on request.
    Iterator(&'static str),
}

impl Hook {
    /// Name of the tracepoint, call or kind of iterator.
    pub fn name(self) -> &'static str {
        match self {
            Self::Typed(name) | Self::Enter(name) | Self::Exit(name) | Self::Iterator(name) => name,
        }
    }
}

/// A program; of a system call, one of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object; none for system calls, whose programs are named
    /// after mechanism and call.
    pub name: &'static str,
    /// What it is attached to.
    pub hook: Hook,
    /// What pipewatch would not see without it.
    pub reports: &'static str,
    /// Not every architecture or kernel has the call.
    pub optional: bool,
}

impl Program {
    /// Its name in the object, by one mechanism if it is of a system call.
    fn name_by(&self, mechanism: Mechanism) -> String {
        let prefix = match (self.hook, mechanism) {
            (Hook::Typed(_) | Hook::Iterator(_), _) => return self.name.to_owned(),
            (Hook::Enter(_), Mechanism::Fentry) => "fentry",
            (Hook::Exit(_), Mechanism::Fentry) => "fexit",
            (Hook::Enter(_), Mechanism::Kprobe) => "kprobe",
            (Hook::Exit(_), Mechanism::Kprobe) => "kretprobe",
            (Hook::Enter(_), Mechanism::Tracepoint) => "enter",
            (Hook::Exit(_), Mechanism::Tracepoint) => "exit",
        };
        format!("{prefix}_{}", self.hook.name())
    }
}

const fn program(name: &'static str, hook: Hook, reports: &'static str) -> Program {
    Program {
        name,
        hook,
        reports,
        optional: false,
    }
}

const fn call(hook: Hook, reports: &'static str) -> Program {
    program("", hook, reports)
}

/// Newer architectures lack these calls.
const fn old_call(hook: Hook, reports: &'static str) -> Program {
    Program {
        optional: true,
        ..call(hook, reports)
    }
}

/// All programs.
pub const PROGRAMS: &[Program] = &[
    program(
        "process_fork",
        Hook::Typed("sched_process_fork"),
        "which ends a fork hands on",
    ),
    program(
        "process_exec",
        Hook::Typed("sched_process_exec"),
        "which ends an exec keeps",
    ),
    program(
        "process_exit",
        Hook::Typed("sched_process_exit"),
        "processes that end",
    ),
    program(
        "switch",
        Hook::Typed("sched_switch"),
        "reads that go to sleep",
    ),
    program("waking", Hook::Typed("sched_waking"), "how a hang ends"),
    call(Hook::Enter("close"), "closed descriptors"),
    call(Hook::Exit("pipe2"), "pipes made by pipe2"),
    old_call(Hook::Exit("pipe"), "pipes made by pipe"),
    call(Hook::Exit("socketpair"), "pairs of sockets"),
    call(Hook::Exit("close_range"), "closed ranges"),
    old_call(Hook::Enter("dup2"), "descriptors replaced by dup2"),
    old_call(Hook::Exit("dup2"), "duplicates by dup2"),
    call(Hook::Enter("dup3"), "descriptors replaced by dup3"),
    call(Hook::Exit("dup3"), "duplicates by dup3"),
    call(Hook::Exit("dup"), "duplicates by dup"),
    call(Hook::Exit("fcntl"), "duplicates and flags by fcntl"),
    call(Hook::Exit("unshare"), "fd tables made private"),
    program(
        "iter_tasks",
        Hook::Iterator("task"),
        "who sleeps in a read now",
    ),
    program(
        "iter_ends",
        Hook::Iterator("task_file"),
        "who holds which pipe end now",
    ),
];

/// How system calls are followed, and why not better.
#[derive(Debug)]
pub struct Attached {
    /// The best mechanism that works here.
    pub mechanism: Mechanism,
    /// Why better ones do not, and which calls are followed by a lesser one.
    pub fallbacks: Vec<String>,
}

/// Loads the iterators.
pub(super) fn load_iterators(ebpf: &mut Ebpf, btf: &Btf) -> Result<(), Problem> {
    for program in PROGRAMS {
        if let Hook::Iterator(kind) = program.hook {
            typed::<Iter>(ebpf, program.name)
                .and_then(|iter| iter.load(kind, btf))
                .map_err(|error| explain(program, None, &error).problem)?;
        }
    }
    Ok(())
}

/// Loads and attaches all other programs: those of system calls by the first of
/// `mechanisms` that works.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    mechanisms: &[Mechanism],
) -> Result<Attached, Problem> {
    let mut calls = Vec::new();
    for program in PROGRAMS {
        match program.hook {
            Hook::Typed(name) => attach_typed(ebpf, btf, program, name)
                .map_err(|error| explain(program, None, &error).problem)?,
            Hook::Enter(_) | Hook::Exit(_) => calls.push(program),
            Hook::Iterator(_) => {}
        }
    }
    let mut best = None;
    let mut fallbacks = Vec::new();
    let mut left: Vec<(&Program, Option<Failure>)> =
        calls.into_iter().map(|program| (program, None)).collect();
    for &mechanism in mechanisms {
        let tried = std::mem::take(&mut left);
        let attached = |ebpf: &mut Ebpf| attach_calls(ebpf, btf, mechanism, &tried);
        let failures = if mechanism == Mechanism::Tracepoint && !tried.is_empty() {
            with_tracefs(|| attached(ebpf))?
        } else {
            attached(ebpf)
        };
        for ((program, before), failure) in tried.into_iter().zip(failures) {
            let call = program.hook.name();
            match (best, failure) {
                (None, Ok(())) => best = Some(mechanism),
                (Some(best), Ok(())) if best != mechanism => {
                    let why = before.map_or_else(String::new, |failure| failure.reason);
                    fallbacks.push(format!("{call} is followed by {}: {why}", mechanism.name()));
                }
                (Some(_), Ok(())) => {}
                (_, Err(failure)) => left.push((program, failure.or(before))),
            }
        }
        if best.is_none()
            && let Some((_, Some(failure))) = left.first()
        {
            let why = &failure.reason;
            fallbacks.push(format!("{} does not work here ({why})", mechanism.name()));
        }
    }
    left.retain(|(program, _)| best.is_none() || !program.optional);
    match (best, left.into_iter().find_map(|(_, failure)| failure)) {
        (Some(mechanism), None) => Ok(Attached {
            mechanism,
            fallbacks,
        }),
        (_, Some(failure)) => Err(failure.problem),
        (None, None) => Err(Problem::new(
            "no way to follow system calls is left",
            "report this as a bug",
        )),
    }
}

/// Attaches the programs of system calls by one mechanism. What became of each;
/// if the first fails, the others are not tried.
fn attach_calls(
    ebpf: &mut Ebpf,
    btf: &Btf,
    mechanism: Mechanism,
    programs: &[(&Program, Option<Failure>)],
) -> Vec<Result<(), Option<Failure>>> {
    let mut works = true;
    let attach = |(program, _): &(&Program, Option<Failure>)| {
        if !works {
            return Err(None);
        }
        let attached = attach_call(ebpf, btf, program, mechanism)
            .map_err(|error| Some(explain(program, Some(mechanism), &error)));
        works = attached.is_ok() || program.hook.name() != FIRST_CALL;
        attached
    };
    programs.iter().map(attach).collect()
}

/// One that every kernel has: a mechanism that does not work for it works for
/// none.
const FIRST_CALL: &str = "close";

fn attach_typed(
    ebpf: &mut Ebpf,
    btf: &Btf,
    program: &Program,
    tracepoint: &str,
) -> Result<(), ProgramError> {
    let program = typed::<BtfTracePoint>(ebpf, program.name)?;
    program.load(tracepoint, btf)?;
    program.attach().map(drop)
}

fn attach_call(
    ebpf: &mut Ebpf,
    btf: &Btf,
    program: &Program,
    mechanism: Mechanism,
) -> Result<(), ProgramError> {
    let call = program.hook.name();
    let returns = matches!(program.hook, Hook::Exit(_));
    let function = match (mechanism, returns) {
        (Mechanism::Fentry | Mechanism::Kprobe, _) => format!("{}{call}", arch::FUNCTION),
        (Mechanism::Tracepoint, false) => format!("sys_enter_{call}"),
        (Mechanism::Tracepoint, true) => format!("sys_exit_{call}"),
    };
    let name = &program.name_by(mechanism);
    match (mechanism, returns) {
        (Mechanism::Fentry, false) => {
            let program = typed::<FEntry>(ebpf, name)?;
            program.load(&function, btf)?;
            program.attach().map(drop)
        }
        (Mechanism::Fentry, true) => {
            let program = typed::<FExit>(ebpf, name)?;
            program.load(&function, btf)?;
            program.attach().map(drop)
        }
        (Mechanism::Kprobe, _) => {
            let program = typed::<KProbe>(ebpf, name)?;
            program.load()?;
            program.attach(&function, 0).map(drop)
        }
        (Mechanism::Tracepoint, _) => {
            let program = typed::<TracePoint>(ebpf, name)?;
            program.load()?;
            program.attach("syscalls", &function).map(drop)
        }
    }
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

/// Why a program is not attached.
struct Failure {
    reason: String,
    problem: Problem,
}

/// How the lines begin that the verifier's log ends with.
const ACCOUNTS: [&str; 5] = [
    "processed",
    "verification time",
    "stack depth",
    "subprog",
    "Verification failed",
];

/// Errno 524 of `include/linux/errno.h`, which has no name in user space: where
/// ftrace cannot call directly, nothing can be attached by type (arm64 before 6.4).
const ENOTSUPP: i32 = 524;

/// Why a mechanism is not to be had, if that is well known.
fn briefly(error: &ProgramError) -> Option<&'static str> {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        // The verifier, which says so too, gives its reasons.
        let refused = io_error.raw_os_error() == Some(libc::EPERM)
            && verifier_log.to_string().trim().is_empty();
        return refused.then_some("not permitted");
    }
    if let ProgramError::SyscallError(error) = error {
        let unsupported = error.io_error.raw_os_error() == Some(ENOTSUPP);
        return unsupported.then_some("not supported by this kernel, errno 524");
    }
    if let ProgramError::KProbeError(KProbeError::FileError { io_error, .. }) = error {
        let absent = io_error.kind() == io::ErrorKind::NotFound;
        return absent.then_some("not in this kernel");
    }
    None
}

fn explain(program: &Program, mechanism: Option<Mechanism>, error: &ProgramError) -> Failure {
    let name = program.hook.name();
    let on = match (program.hook, mechanism) {
        (Hook::Typed(_), _) => format!("tracepoint {name}"),
        (Hook::Iterator(_), _) => format!("iterator {name}"),
        (_, mechanism) => format!(
            "system call {name} by {}",
            mechanism.map_or("nothing", Mechanism::name)
        ),
    };
    let reports = program.reports;
    let (reason, hint) = if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        // The verifier's verdict stands at the end of its log, before its accounts.
        let accounts = |line: &&str| ACCOUNTS.iter().any(|word| line.starts_with(word));
        let verdict = log
            .lines()
            .rfind(|line| !line.is_empty() && !accounts(line));
        let verdict = verdict.map_or_else(
            || ", this kernel permits no such program".to_owned(),
            |verdict| format!(": {}", verdict.trim_end()),
        );
        (
            format!("bpf(BPF_PROG_LOAD) failed: {io_error}{verdict}"),
            "the kernel refused the program; `pipewatch doctor` tells what works here",
        )
    } else {
        (
            chain(error),
            "the kernel may lack this; `pipewatch doctor` tells what works here",
        )
    };
    let brief = briefly(error);
    let problem = match (mechanism, brief) {
        (Some(mechanism), Some(brief)) if name == FIRST_CALL => Problem::new(
            format!("{} is not to be had here: {brief}", mechanism.name()),
            "leave out --backend, and the best one that works is used; `pipewatch doctor` tells which",
        ),
        _ => Problem::new(format!("cannot attach to {on} ({reports}): {reason}"), hint),
    };
    Failure {
        problem,
        reason: brief.map_or(reason, str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aya::sys::SyscallError;
    use aya_obj::VerifierLog;

    use super::*;

    /// What comes of the probe on close, by each of these kernels' answers.
    #[test]
    fn what_is_not_to_be_had_is_told_from_what_does_not_work() {
        let load = |errno, log: &str| ProgramError::LoadError {
            io_error: io::Error::from_raw_os_error(errno),
            verifier_log: VerifierLog::new(log.to_owned()),
        };
        let attach = |errno| {
            ProgramError::SyscallError(SyscallError {
                call: "bpf_link_create",
                io_error: io::Error::from_raw_os_error(errno),
            })
        };
        let file = |errno| {
            ProgramError::KProbeError(KProbeError::FileError {
                filename: "/sys/bus/event_source/devices/kprobe/type".into(),
                io_error: io::Error::from_raw_os_error(errno),
            })
        };
        let close = call(Hook::Enter("close"), "closed descriptors");
        for (mechanism, error, expected) in [
            (
                Mechanism::Fentry,
                attach(ENOTSUPP),
                "fentry is not to be had here: not supported by this kernel, errno 524",
            ),
            (
                Mechanism::Fentry,
                load(libc::EPERM, ""),
                "fentry is not to be had here: not permitted",
            ),
            (
                Mechanism::Kprobe,
                file(libc::ENOENT),
                "kprobe is not to be had here: not in this kernel",
            ),
            (
                Mechanism::Fentry,
                attach(libc::EINVAL),
                "cannot attach to system call close by fentry (closed descriptors): ",
            ),
            (
                Mechanism::Kprobe,
                load(libc::EPERM, "R1 leaks addr"),
                "cannot attach to system call close by kprobe (closed descriptors): ",
            ),
            (
                Mechanism::Kprobe,
                load(libc::EACCES, ""),
                "cannot attach to system call close by kprobe (closed descriptors): ",
            ),
        ] {
            let failure = explain(&close, Some(mechanism), &error);
            let told = failure.problem.message;
            assert!(told.starts_with(expected), "{told}");
        }
        // Of a call that not every kernel has, it tells nothing about the mechanism.
        let pipe = old_call(Hook::Exit("pipe"), "pipes made by pipe");
        let failure = explain(&pipe, Some(Mechanism::Kprobe), &file(libc::ENOENT));
        assert!(failure.problem.message.starts_with("cannot attach"));
    }

    #[test]
    fn the_table_names_what_the_object_has() {
        let object = aya_obj::Object::parse(super::super::OBJECT).expect("an eBPF object");
        let has: BTreeSet<String> = object.programs.keys().cloned().collect();
        let by =
            |program: &'static Program| Mechanism::ALL.map(|mechanism| program.name_by(mechanism));
        let told: BTreeSet<String> = PROGRAMS.iter().flat_map(by).collect();
        assert_eq!(has, told);
    }
}
