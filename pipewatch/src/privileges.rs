//! What pipewatch may do beyond what its user may (capabilities(7)): what it needs,
//! and that it gives up all else once it has what it wanted.

use rustix::{
    process::{getegid, geteuid, getgid, getuid},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

use crate::problem::Problem;

/// A capability that something needs.
#[derive(Debug)]
pub struct Need {
    name: &'static str,
    purpose: &'static str,
    /// Any of these will do; the first is the least.
    any: &'static [CapabilitySet],
}

/// `bpf_capable` (include/linux/capability.h), 5.8; also for each later use of a map
/// on kernels where the system call as a whole is withheld from others
/// (`__sys_bpf`, kernel/bpf/syscall.c, before 6.5).
const BPF: Need = Need {
    name: "CAP_BPF",
    purpose: "to load programs, and read the kernel's tables by them",
    any: &[CapabilitySet::BPF, CapabilitySet::SYS_ADMIN],
};
/// `perfmon_capable` (include/linux/capability.h), 5.8.
const PERFMON: Need = Need {
    name: "CAP_PERFMON",
    purpose: "to let programs read kernel memory, and attach them",
    any: &[CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN],
};
/// `__ptrace_may_access` (kernel/ptrace.c).
const LOOK: Need = Need {
    name: "CAP_SYS_PTRACE",
    purpose: "to see what others poll, and their stacks",
    any: &[CapabilitySet::SYS_PTRACE],
};
/// `generic_permission` (fs/namei.c): tracefs and most files of `/proc/PID` are closed
/// to all but their owners.
const READ: Need = Need {
    name: "CAP_DAC_READ_SEARCH",
    purpose: "to read tracefs, and the files of others in /proc",
    any: &[CapabilitySet::DAC_READ_SEARCH, CapabilitySet::DAC_OVERRIDE],
};
/// `proc_map_files_get_link` (fs/proc/base.c): `CAP_SYS_ADMIN` before 5.9.
const FILES: Need = Need {
    name: "CAP_CHECKPOINT_RESTORE",
    purpose: "to name the functions of programs that were deleted, or are in a container",
    any: &[CapabilitySet::CHECKPOINT_RESTORE, CapabilitySet::SYS_ADMIN],
};
/// `kill_ok_by_cred` (kernel/signal.c).
const KILL: Need = Need {
    name: "CAP_KILL",
    purpose: "to pass signals on to a command that runs as another user",
    any: &[CapabilitySet::KILL],
};

/// What the probes need.
const PROBES: &[Need] = &[BPF, PERFMON, LOOK, READ];

/// What is needed for a job once it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Watching by programs in the kernel.
    Probes,
    /// Looking into `/proc`.
    Procfs,
}

impl Need {
    /// That of the capabilities which serves it.
    fn held(&self, permitted: CapabilitySet) -> Option<CapabilitySet> {
        self.any.iter().copied().find(|it| permitted.contains(*it))
    }
}

/// What the probes lack.
#[derive(Debug)]
pub struct Lack {
    /// In words.
    pub problem: Problem,
    /// Each that is missing, and what for.
    pub missing: Vec<String>,
    /// Not all is missing, so that somebody meant to give all.
    pub partly: bool,
}

/// What the probes lack here, if anything.
pub fn lack() -> Option<Lack> {
    // Who cannot ask is told by the kernel.
    lack_of(capabilities(None).ok()?.effective)
}

fn lack_of(effective: CapabilitySet) -> Option<Lack> {
    let missing = PROBES.iter().filter(|need| need.held(effective).is_none());
    let missing: Vec<&Need> = missing.collect();
    if missing.is_empty() {
        return None;
    }
    let named: Vec<String> = missing
        .iter()
        .map(|need| format!("{} ({})", need.name, need.purpose))
        .collect();
    let missing_names: Vec<&str> = missing.iter().map(|need| need.name).collect();
    let partly = missing.len() < PROBES.len();
    let message = if partly {
        format!("not permitted: {} is missing", named.join(", "))
    } else {
        format!(
            "not permitted: the probes need root, or {}",
            missing_names.join(", ")
        )
    };
    Some(Lack {
        problem: Problem::new(
            message,
            "run as root (sudo), or grant it to pipewatch's file (setcap) or unit \
             (AmbientCapabilities=), as docs/reliability.md tells",
        ),
        missing: named,
        partly,
    })
}

/// What is missing that only costs something, and what that is.
pub fn lesser_lack() -> Option<String> {
    let effective = capabilities(None).ok()?.effective;
    FILES
        .held(effective)
        .is_none()
        .then(|| format!("{} is missing ({})", FILES.name, FILES.purpose))
}

/// Gives up, for good, all that a job does not need, for this thread and those that it
/// starts from now on. `commands`: a command was started that gets signals.
///
/// # Errors
///
/// Something is still there.
pub fn keep(job: Job, commands: bool) -> rustix::io::Result<()> {
    let needs: &[Need] = match job {
        Job::Probes => &[BPF, PERFMON, LOOK, READ, FILES],
        Job::Procfs => &[LOOK, READ, FILES],
    };
    let kill = commands.then_some(&KILL);
    reduce(&needs.iter().chain(kill).collect::<Vec<_>>())
}

/// Gives up everything that the user does not have without it, for good.
///
/// # Errors
///
/// As for [`keep`].
pub fn keep_nothing() -> rustix::io::Result<()> {
    reduce(&[])
}

fn reduce(needs: &[&Need]) -> rustix::io::Result<()> {
    let now = capabilities(None)?;
    let held = needs.iter().filter_map(|need| need.held(now.permitted));
    let kept = held.fold(CapabilitySet::empty(), CapabilitySet::union);
    // Nothing is executed from now on; if it were, it would gain nothing.
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    if now.effective.contains(CapabilitySet::SETPCAP) {
        // The kernel refuses the first that it does not know.
        let every = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
        for capability in every {
            if remove_capability_from_bounding_set(capability).is_err() {
                break;
            }
        }
    }
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}

/// Refuses to be run as somebody else than the user: what pipewatch writes, and the
/// command it starts, would be theirs.
///
/// # Errors
///
/// The program's file is set-user-id or set-group-id.
pub fn refuse_set_id() -> Result<(), Problem> {
    if getuid() == geteuid() && getgid() == getegid() {
        return Ok(());
    }
    Err(Problem::new(
        "pipewatch does not run as a set-user-id or set-group-id program",
        "chmod ug-s its file, and use sudo, or setcap (docs/reliability.md)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CapabilitySet; 4] = [
        CapabilitySet::BPF,
        CapabilitySet::PERFMON,
        CapabilitySet::SYS_PTRACE,
        CapabilitySet::DAC_READ_SEARCH,
    ];

    #[test]
    fn each_missing_one_is_named_and_no_other() {
        let names = [
            "CAP_BPF",
            "CAP_PERFMON",
            "CAP_SYS_PTRACE",
            "CAP_DAC_READ_SEARCH",
        ];
        let all = CapabilitySet::from_iter(ALL);
        assert!(lack_of(all).is_none());
        for (without, missing) in ALL.into_iter().zip(names) {
            let lack = lack_of(all.difference(without)).expect("a lack");
            for name in names {
                assert_eq!(lack.problem.message.contains(name), name == missing);
            }
            assert!(lack.partly);
        }
        let none = lack_of(CapabilitySet::empty()).expect("a lack");
        assert!(!none.partly);
        assert!(names.iter().all(|name| none.problem.message.contains(name)));
    }

    #[test]
    fn a_greater_one_stands_in_and_the_least_is_kept() {
        let old =
            CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_OVERRIDE;
        assert!(lack_of(old).is_none());
        assert_eq!(BPF.held(old), Some(CapabilitySet::SYS_ADMIN));
        let both = old | CapabilitySet::BPF;
        assert_eq!(BPF.held(both), Some(CapabilitySet::BPF));
    }
}
