//! How the programs are loaded and attached, and what is said if one cannot be.

use std::{panic::resume_unwind, thread};

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FEntry, FExit, Iter, KProbe, ProgramError, TracePoint},
};

use super::{
    Cause, NotLoaded,
    programs::{Hook, Mechanism, PROGRAMS, Program, SEARCH},
    tracefs::with_tracefs,
};
use crate::{
    arch,
    problem::{Problem, chain},
};

/// How system calls are followed, and why not better.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The best mechanism that works here.
    pub mechanism: Mechanism,
    /// Why better ones do not, and which calls are followed by a lesser one.
    pub fallbacks: Vec<String>,
}

/// Loads the iterators, all at once, since the verifier takes its time; [`SEARCH`] only
/// where programs may tell the types of addresses.
pub(super) fn load_iterators(ebpf: &mut Ebpf, btf: &Btf, casts: bool) -> Result<(), NotLoaded> {
    let iterators = ebpf.programs_mut().filter_map(|(name, loaded)| {
        let program = PROGRAMS.iter().find(|program| program.name == name)?;
        let Hook::Iterator(kind) = program.hook else {
            return None;
        };
        (casts || name != SEARCH).then_some((program, kind, loaded))
    });
    thread::scope(|scope| {
        let load = |(program, kind, loaded)| {
            let load = move || <&mut Iter>::try_from(loaded)?.load(kind, btf);
            (program, scope.spawn(load))
        };
        let loading: Vec<_> = iterators.map(load).collect();
        for (program, load) in loading {
            let loaded = load.join().unwrap_or_else(|panic| resume_unwind(panic));
            loaded.map_err(|error| explain(program, None, &error).refused)?;
        }
        Ok(())
    })
}

/// Loads and attaches all other programs: those of system calls by the first of
/// `mechanisms` that works.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    mechanisms: &[Mechanism],
) -> Result<Attached, NotLoaded> {
    let mut calls = Vec::new();
    for program in PROGRAMS {
        match program.hook {
            Hook::Typed(name) => attach_typed(ebpf, btf, program, name)
                .map_err(|error| explain(program, None, &error).refused)?,
            Hook::Enter(_) | Hook::Exit(_) => calls.push(program),
            Hook::Iterator(_) => {}
        }
    }
    follow(calls, mechanisms, |mechanism, tried| {
        let mut attached = || attach_calls(ebpf, btf, mechanism, tried);
        if mechanism == Mechanism::Tracepoint && !tried.is_empty() {
            with_tracefs(attached)
        } else {
            Ok(attached())
        }
    })
}

/// Follows each call by the first of `mechanisms` that works for it, as told by
/// `attach`, which is asked for a mechanism and what is left to be followed.
fn follow<'a>(
    calls: Vec<&'a Program>,
    mechanisms: &[Mechanism],
    mut attach: impl FnMut(Mechanism, &[(&'a Program, Option<Failure>)]) -> Result<Tried, Problem>,
) -> Result<Attached, NotLoaded> {
    let mut best = None;
    let mut fallbacks = Vec::new();
    let mut left: Vec<(&Program, Option<Failure>)> =
        calls.into_iter().map(|program| (program, None)).collect();
    for &mechanism in mechanisms {
        let tried = std::mem::take(&mut left);
        let failures = attach(mechanism, &tried)?;
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
        (_, Some(failure)) => Err(failure.refused),
        (None, None) => Err(Problem::new(
            "no way to follow system calls is left",
            "report this as a bug",
        )
        .into()),
    }
}

/// What became of each program; nothing is known of those that were not tried.
type Tried = Vec<Result<(), Option<Failure>>>;

/// Attaches the programs of system calls by one mechanism. What became of each;
/// if the first fails, the others are not tried.
fn attach_calls(
    ebpf: &mut Ebpf,
    btf: &Btf,
    mechanism: Mechanism,
    programs: &[(&Program, Option<Failure>)],
) -> Tried {
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
    refused: NotLoaded,
}

/// How the lines begin that the verifier's log ends with.
const ACCOUNTS: [&str; 5] = [
    "processed",
    "verification time",
    "stack depth",
    "subprog",
    "Verification failed",
];

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
    let cause = Cause::of(error);
    let problem = match (cause, cause.words(), mechanism) {
        // Whatever the program is.
        (Cause::Lockdown, Some(words), _) => Problem::new(
            words,
            "the boot option lockdown=integrity permits it; --backend procfs does without",
        ),
        // Whatever the call is.
        (_, Some(words), Some(mechanism)) if name == FIRST_CALL => Problem::new(
            format!("{} is not to be had here: {words}", mechanism.name()),
            "leave out --backend, and the best one that works is used; `pipewatch doctor` tells which",
        ),
        _ => Problem::new(format!("cannot attach to {on} ({reports}): {reason}"), hint),
    };
    Failure {
        reason: cause.words().map_or(reason, str::to_owned),
        refused: NotLoaded { problem, cause },
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use aya::{programs::kprobe::KProbeError, sys::SyscallError};
    use aya_obj::VerifierLog;

    use super::{
        super::programs::{call, old_call},
        *,
    };

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
                attach(524),
                "fentry is not to be had here: not supported: this kernel takes the program",
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
                load(libc::EACCES, ""),
                "cannot attach to system call close by kprobe (closed descriptors): ",
            ),
        ] {
            let failure = explain(&close, Some(mechanism), &error);
            let told = failure.refused.problem.message;
            assert!(told.starts_with(expected), "{told}");
        }
        // Of a call that not every kernel has, it tells nothing about the mechanism.
        let pipe = old_call(Hook::Exit("pipe"), "pipes made by pipe");
        let failure = explain(&pipe, Some(Mechanism::Kprobe), &file(libc::ENOENT));
        assert!(failure.refused.problem.message.starts_with("cannot attach"));
    }

    fn failed(cause: Cause) -> Failure {
        let refused = NotLoaded {
            problem: Problem::new("cannot attach", "a hint"),
            cause,
        };
        let reason = cause.words().unwrap_or("the verifier's words").to_owned();
        Failure { reason, refused }
    }

    /// Follows all calls where `answer` is what became of each.
    fn on_a_host(
        answer: impl Fn(Mechanism, &'static str) -> Option<Cause>,
    ) -> Result<Attached, NotLoaded> {
        let is_call = |program: &&Program| matches!(program.hook, Hook::Enter(_) | Hook::Exit(_));
        let calls = PROGRAMS.iter().filter(is_call).collect();
        follow(calls, &Mechanism::ALL, |mechanism, tried| {
            let outcome = |(program, _): &(&'static Program, Option<Failure>)| {
                let cause = answer(mechanism, program.hook.name());
                cause.map_or(Ok(()), |cause| Err(Some(failed(cause))))
            };
            Ok(tried.iter().map(outcome).collect())
        })
    }

    #[test]
    fn the_best_mechanism_that_attaches_is_used() {
        let attached = on_a_host(|_, _| None).expect("all of them work");
        assert_eq!(attached.mechanism, Mechanism::Fentry);
        assert_eq!(attached.fallbacks, [""; 0]);
    }

    #[test]
    fn arm64_before_6_4_loads_fentry_and_cannot_attach_it() {
        let attached = on_a_host(|mechanism, call| match (mechanism, call) {
            // It never had these calls.
            (_, "pipe" | "dup2") => Some(Cause::Absent),
            (Mechanism::Fentry, _) => Some(Cause::Unsupported),
            _ => None,
        });
        let attached = attached.expect("kprobes");
        assert_eq!(attached.mechanism, Mechanism::Kprobe);
        let why = "fentry does not work here (not supported: this kernel takes the program, and \
                   cannot attach it)";
        assert_eq!(attached.fallbacks, [why]);
    }

    #[test]
    fn a_host_may_have_neither_fentry_nor_kprobes() {
        let attached = on_a_host(|mechanism, _| match mechanism {
            Mechanism::Fentry => Some(Cause::Forbidden),
            Mechanism::Kprobe => Some(Cause::Absent),
            Mechanism::Tracepoint => None,
        });
        let attached = attached.expect("tracepoints");
        assert_eq!(attached.mechanism, Mechanism::Tracepoint);
        let why = [
            "fentry does not work here (not permitted: this kernel takes no program of this kind)",
            "kprobe does not work here (not in this kernel)",
        ];
        assert_eq!(attached.fallbacks, why);
    }

    #[test]
    fn one_call_may_be_followed_in_a_lesser_way() {
        let attached = on_a_host(|mechanism, call| {
            (mechanism == Mechanism::Fentry && call == "dup3").then_some(Cause::Unexpected)
        });
        let attached = attached.expect("fentry");
        assert_eq!(attached.mechanism, Mechanism::Fentry);
        let why = "dup3 is followed by kprobe: the verifier's words";
        // At its beginning and at its return.
        assert_eq!(attached.fallbacks, [why, why]);
    }

    #[test]
    fn a_call_that_cannot_be_followed_is_a_complaint() {
        let refused = on_a_host(|_, call| (call == "close_range").then_some(Cause::Absent));
        assert_eq!(
            refused.map_err(|refused| refused.cause).err(),
            Some(Cause::Absent)
        );
    }
}
