//! Which tests show what of which backend, and what the doctor is asked.

use anyhow::{Result, bail};

/// Columns of the matrix: values of pipewatch's `--backend`, and the doctor.
pub const BACKENDS: &[&str] = &["fentry", "kprobe", "tracepoint", PROCFS, DOCTOR];
/// The column of what `pipewatch doctor` says, which takes no test.
pub const DOCTOR: &str = "doctor";
const PROCFS: &str = "procfs";

/// What the doctor is asked as, and how, in this order; the kernel stays locked.
pub const DOCTORS: &[(&str, &str)] = &[
    ("root", "exec $0"),
    (
        "an-ordinary-user",
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups $0",
    ),
    (
        "root-without-type-information",
        "mount -t tmpfs none /sys/kernel/btf && $0; umount /sys/kernel/btf",
    ),
    (
        "root-in-lockdown",
        "echo confidentiality > /sys/kernel/security/lockdown && exec $0",
    ),
];
/// Backends that kernels are known to lack, by the kernel's name. Debian's own
/// configuration of 6.1 for arm64 has no direct calls of ftrace, which came to arm64
/// in 6.4.
const ABSENT: &[(&str, &str)] = &[("arm64-6.1", "fentry")];

/// Whether a kernel is known to lack a backend.
pub fn is_absent(kernel: &str, backend: &str) -> bool {
    ABSENT.contains(&(kernel, backend))
}

/// Tests of ordinary users, who have no choice.
const OF_USERS: &str = "procfs::";

/// Tests that hold where nothing is known of what happened before.
const WITHOUT_HISTORY: &[&str] = &[
    "attach::a_hang_that_was_there_before",
    "attach::a_process_that_ends_while_being_attached",
    "attach::a_single_look_finds_what_hangs_now",
    "attach::a_thread_id_stands_for_its_process",
    "command::a_signal_is_forwarded_to_the_command",
    "command::records_go_to_the_file_and_the_output_is_the_commands",
    "command::the_commands_exit_status_is_passed_on",
    "end::after_the_duration",
    "end::by_sigint",
    "end::by_sigterm",
    "end::with_the_target",
    "healthy::healthy_waits_are_silent",
    "text::a_narrow_terminal_is_enough",
];

/// Tests that every change must pass in every guest.
const ESSENTIAL: &[&str] = &[
    "attach::a_hang_that_was_there_before",
    "command::a_command_is_watched_from_its_first_instruction",
    "doctor::the_kernel_has_what_each_hook_relies_on",
    "hang::a_child_that_keeps_its_pair",
    "hang::the_bad_case_of_the_article",
    "hang::the_race_of_two_threads",
    "healthy::healthy_waits_are_silent",
    "procfs::a_forked_pair_and_its_end",
    "procfs::root_may_ask_for_it_too",
    "procfs::what_is_not_permitted_is_told",
    "trace::a_trace_replays_to_the_same_records",
];

/// Tests that are run with one backend.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// What to ask pipewatch for; `None` leaves the choice to it.
    pub backend: Option<&'static str>,
    /// Their names.
    pub tests: Vec<String>,
}

/// What is to be run to show that a backend works, of `all` tests that there
/// are, or only what is essential.
pub fn runs(backend: &'static str, all: &[String], essential: bool) -> Result<Vec<Run>> {
    for name in WITHOUT_HISTORY.iter().chain(ESSENTIAL) {
        if !all.iter().any(|test| test == name) {
            bail!("xtask/src/vm/suite.rs names a test that does not exist: {name}");
        }
    }
    let run = |backend, is_meant: &dyn Fn(&str) -> bool| {
        let is_wanted =
            |test: &&String| is_meant(test) && (!essential || ESSENTIAL.contains(&test.as_str()));
        Run {
            backend,
            tests: all.iter().filter(is_wanted).cloned().collect(),
        }
    };
    let of_users = |test: &str| test.starts_with(OF_USERS);
    Ok(if backend == DOCTOR {
        Vec::new()
    } else if backend == PROCFS {
        vec![
            run(Some(PROCFS), &|test| WITHOUT_HISTORY.contains(&test)),
            run(None, &of_users),
        ]
    } else {
        vec![run(Some(backend), &|test| !of_users(test))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_is_shown_by_what_it_can_do() {
        let mut all: Vec<String> = WITHOUT_HISTORY
            .iter()
            .chain(ESSENTIAL)
            .map(|test| test.to_string())
            .collect();
        all.extend(["hang::other".into(), "procfs::other".into()]);
        let names = |backend, essential| -> Vec<String> {
            let runs = runs(backend, &all, essential).expect("known names");
            runs.into_iter().flat_map(|run| run.tests).collect()
        };
        let has = |tests: &[String], name: &str| tests.iter().any(|test| test == name);
        assert!(has(&names("fentry", false), "hang::other"));
        assert!(!has(&names("fentry", false), "procfs::other"));
        assert!(!has(&names("fentry", true), "hang::other"));
        assert!(has(&names(PROCFS, false), "procfs::other"));
        assert!(!has(&names(PROCFS, false), "hang::other"));
        assert_eq!(names(DOCTOR, false), [""; 0]);
        assert!(runs("fentry", &[], false).is_err());
    }
}
