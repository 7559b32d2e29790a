//! How the host is seen, decided by what became of the probes and nothing else,
//! and what a user is told of that.

use crate::{
    bpf::{Attached, Cause, Mechanism, NotLoaded},
    problem::Problem,
};

/// What `/proc` does not show.
pub const LOST: [&str; 2] = [
    "how a holder came by its end is not seen, and a wait counts from when it was seen first",
    "reads of sockets and by io_uring are not seen",
];

/// What a mechanism is good for, and what it costs. That it follows everything does
/// not say that the kernel runs every program (`bpf::Counters::skipped`).
pub fn price(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Fentry => "everything is followed, and other system calls cost nothing more",
        Mechanism::Kprobe => {
            "everything is followed, and other system calls cost nothing more, those followed a little"
        }
        Mechanism::Tracepoint => {
            "everything is followed, but each system call of the host takes about 60 ns more while \
             pipewatch runs"
        }
    }
}

/// What is done where probes were tried in vain and nobody has asked for them by
/// name: if this is how the host is meant to be, `/proc` is looked at instead,
/// and this is why.
///
/// # Errors
///
/// Something is wrong that may be mended. Less is not given silently.
pub fn instead(refused: NotLoaded) -> Result<String, Problem> {
    if refused.cause.is_meant() {
        Ok(refused.problem.message)
    } else {
        Err(refused.problem)
    }
}

/// What is told of a choice.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether pipewatch works.
    pub works: bool,
    /// How, and what is lost.
    pub how: String,
    /// What would be better.
    pub hint: Option<String>,
}

/// Tells how the host would be seen, from what became of the probes, and
/// whether `/proc` can be looked at.
pub fn tell(probes: Result<Attached, NotLoaded>, procfs: bool) -> Told {
    let lost = LOST.join("; ");
    match probes {
        Ok(Attached {
            mechanism,
            fallbacks,
        }) => {
            let parts = [format!("{}: {}", mechanism.name(), price(mechanism))];
            Told {
                works: true,
                how: [&parts, fallbacks.as_slice()].concat().join("; "),
                hint: None,
            }
        }
        Err(refused) if !procfs => Told {
            works: false,
            how: format!("none: {}", refused.problem.message),
            hint: Some(refused.problem.hint),
        },
        Err(refused) => {
            let hint = match refused.cause {
                Cause::Forbidden | Cause::Unsupported | Cause::Absent | Cause::Unexpected => {
                    "use --backend procfs until the probes work; if they should, report this with \
                     the output of `uname -a`"
                        .to_owned()
                }
                Cause::Privileges
                | Cause::Incomplete
                | Cause::Namespace
                | Cause::NoTypes
                | Cause::TooOld
                | Cause::Lockdown => refused.problem.hint.clone(),
            };
            Told {
                works: true,
                how: match instead(refused) {
                    Ok(why) => format!("procfs: {lost}; probes do not work here ({why})"),
                    Err(Problem { message: why, .. }) => {
                        format!("procfs, if asked for: {lost}; probes do not work here ({why})")
                    }
                },
                hint: Some(hint),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(cause: Cause, message: &str, hint: &str) -> NotLoaded {
        NotLoaded {
            problem: Problem::new(message, hint),
            cause,
        }
    }

    fn assert_words(text: &str, words: &[&str]) {
        for word in words {
            assert!(text.contains(word), "no {word} in {text}");
        }
    }

    #[test]
    fn where_probes_are_not_meant_to_work_proc_stands_in_and_says_why() {
        let hosts = [
            refused(
                Cause::Privileges,
                "loading BPF programs needs root: operation not permitted",
                "run as root (sudo)",
            ),
            refused(
                Cause::TooOld,
                "this kernel is too old for the probes (it has no bpf_ringbuf_output)",
                "they need Linux 5.8 or later",
            ),
            refused(
                Cause::Lockdown,
                "the kernel is locked down (confidentiality)",
                "the boot option lockdown=integrity permits it",
            ),
        ];
        for host in hosts {
            let Problem { message, hint } = host.problem.clone();
            let told = tell(Err(host.clone()), true);
            assert!(told.works);
            assert_words(&told.how, &["procfs: ", &message, LOST[0], LOST[1]]);
            assert_eq!(told.hint, Some(hint));
            assert_eq!(instead(host), Ok(message));
        }
    }

    #[test]
    fn what_may_be_mended_is_a_complaint() {
        let hosts = [
            refused(
                Cause::NoTypes,
                "cannot read the kernel's type information (BTF)",
                "pipewatch needs a kernel built with CONFIG_DEBUG_INFO_BTF=y; --backend procfs does \
                 without",
            ),
            refused(
                Cause::Unexpected,
                "cannot attach to tracepoint sched_switch",
                "a hint that leads to the doctor, and not from it",
            ),
            refused(Cause::Absent, "cannot attach to system call close", ""),
        ];
        for host in hosts {
            let problem = host.problem.clone();
            let told = tell(Err(host.clone()), true);
            assert!(told.works, "on request");
            assert_words(&told.how, &["if asked for", &problem.message, LOST[0]]);
            assert_words(&told.hint.unwrap_or_default(), &["--backend procfs"]);
            assert_eq!(instead(host), Err(problem));
        }
    }

    #[test]
    fn without_anything_it_does_not_work() {
        let told = tell(Err(refused(Cause::Privileges, "why", "what to do")), false);
        let expected = Told {
            works: false,
            how: "none: why".into(),
            hint: Some("what to do".into()),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_lesser_mechanism_tells_its_price_and_why() {
        let attached = Attached {
            mechanism: Mechanism::Tracepoint,
            fallbacks: vec!["fentry does not work here (not permitted)".into()],
        };
        let told = tell(Ok(attached), true);
        assert_words(
            &told.how,
            &[
                "tracepoint: everything is followed",
                "60 ns",
                "not permitted",
            ],
        );
        assert_eq!((told.works, told.hint), (true, None));
    }
}
