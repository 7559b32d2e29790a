//! What to change in a program, in the words of its language.

use crate::{
    finding::{Cause, Details, Hang, Verdict},
    language::Language,
};

/// The hint of a hang, with what fits the program that is to be changed.
pub(super) fn hint(hang: &Hang, details: &dyn Details) -> String {
    let language = details.language(hang.to_mend());
    let advice = language.and_then(|language| advice(hang, language));
    match advice {
        Some(advice) => format!("{} {advice}.", hang.hint),
        None => hang.hint.clone(),
    }
}

fn advice(hang: &Hang, language: Language) -> Option<&'static str> {
    match hang.verdict {
        Verdict::Orphaned => Some(match language {
            Language::Go => "In Go: set WaitDelay of the exec.Cmd, so that Wait ends",
            Language::Node => {
                "In Node.js: start what is to stay with stdio: 'ignore' and detached: true, or wait \
                 for 'exit' instead of 'close'"
            }
            Language::Python => {
                "In Python: give what is to stay stdout=DEVNULL and stderr=DEVNULL, or a file"
            }
            Language::Compiled => return None,
        }),
        Verdict::Leaked => match (hang.cause, language) {
            (Cause::ForkRace, Language::Python) => Some(
                "In Python: start processes before threads, or by multiprocessing's start method \
                 spawn or forkserver",
            ),
            (Cause::Fork, Language::Python) => Some(
                "In Python: start processes by subprocess, or by multiprocessing's start method \
                 spawn or forkserver",
            ),
            (Cause::Fork | Cause::ForkRace, Language::Compiled) => {
                Some("In C or Rust: start children by posix_spawn, or exec right after the fork")
            }
            (Cause::Exec, Language::Python) => {
                Some("In Python: leave close_fds at True, and name what is to be kept in pass_fds")
            }
            (Cause::Exec, Language::Compiled) => {
                Some("In C or Rust: pipe2 with O_CLOEXEC, which the standard libraries do")
            }
            (Cause::Exec, Language::Node) => {
                Some("In Node.js: name in stdio what the child is to have, and nothing else")
            }
            (
                Cause::Fork
                | Cause::ForkRace
                | Cause::Exec
                | Cause::Dup
                | Cause::Passed
                | Cause::Unknown,
                _,
            ) => None,
        },
        Verdict::SelfHeld | Verdict::InFlight | Verdict::Waiting => None,
    }
}
