//! What to do about a hang: what to run now, and what to change in the program, in the
//! words of its language.

use crate::{
    finding::{Cause, Details, Hang, Holder, LOOKED_INTO, Verdict},
    ids::Fd,
    language::Language,
};

/// So many commands are a short line.
const COMMANDS: usize = 3;

/// The hint of a hang: what there is to be changed, and what can be run now.
pub(super) fn hint(hang: &Hang, details: &dyn Details) -> String {
    paragraphs(hang, details).join(" ")
}

/// The same, for where commands get a line of their own.
pub(super) fn paragraphs(hang: &Hang, details: &dyn Details) -> Vec<String> {
    let language = details.language(hang.to_mend());
    let advice = language.and_then(|language| advice(hang, language));
    let mend = match advice {
        Some(advice) => format!("{} {advice}.", hang.hint),
        None => hang.hint.clone(),
    };
    let now = release(hang).or_else(|| kill(hang));
    [mend].into_iter().chain(now).collect()
}

/// What frees the reader and ends nobody, where all that it takes is permitted. Who is
/// stopped is to be let go on first.
fn release(hang: &Hang) -> Option<String> {
    let ends: Vec<(&Holder, Fd)> = hang.write_ends().collect();
    let all = ends
        .iter()
        .all(|(holder, _)| hang.is_kept_up_by_heir(holder) && !holder.stopped);
    if !all || !(1..=COMMANDS).contains(&ends.len()) {
        return None;
    }
    let commands = ends
        .iter()
        .map(|(holder, fd)| format!("pipewatch release {} {fd}", holder.process.pid));
    Some(format!("now: {}", commands.collect::<Vec<_>>().join("; ")))
}

/// What ends all of an orphaned pool, however few of them the hint has named.
fn kill(hang: &Hang) -> Option<String> {
    let complete = (2..=LOOKED_INTO).contains(&hang.holders.len());
    if !complete || !hang.is_kept_up_by_reader() || hang.verdict != Verdict::Leaked {
        return None;
    }
    let pids = hang.holders.iter().map(|holder| holder.process.pid);
    let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
    Some(format!("to end them all: kill {}", pids.join(" ")))
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
        // Who inherited both ends and waits is of a library's making: a pool's.
        Verdict::Leaked if hang.is_kept_up_by_reader() => None,
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
