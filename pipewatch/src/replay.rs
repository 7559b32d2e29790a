//! Judging a recorded trace again: the same engine, without a kernel.

use std::collections::BTreeMap;

use crate::{
    engine::Engine,
    finding::{Details, Reason, Report, Stopped, Tally},
    ids::{Fd, Ktime, ProcKey},
    language::Language,
    output::Output,
    problem::Problem,
    stack::Sights,
    trace_file::{Entry, Trace},
};

/// What was noted of the host when a trace was recorded.
pub struct Noted {
    /// The trace breaks off: pipewatch was killed before it had written the end.
    pub cut: bool,
    boot: u64,
    cmdlines: BTreeMap<ProcKey, Vec<String>>,
    cgroups: BTreeMap<ProcKey, String>,
    paths: BTreeMap<(ProcKey, Fd), String>,
    languages: BTreeMap<ProcKey, Language>,
    sights: Sights,
}

impl Noted {
    /// Reads all of a trace: what is noted may come after what it is of.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none.
    pub fn of(trace: &mut Trace) -> Result<Self, Problem> {
        let mut noted = Self {
            cut: true,
            boot: trace.header.boot,
            cmdlines: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            paths: BTreeMap::new(),
            languages: BTreeMap::new(),
            sights: Sights::default(),
        };
        for entry in trace.entries()? {
            let entry = entry?;
            noted.cut = !matches!(entry, Entry::Stopped(_));
            match entry {
                Entry::Cmdline { process, words } => {
                    noted.cmdlines.insert(process, words);
                }
                Entry::Cgroup { process, path } => {
                    noted.cgroups.insert(process, path);
                }
                Entry::Path { process, fd, path } => {
                    noted.paths.insert((process, fd), path);
                }
                Entry::Language { process, language } => {
                    noted.languages.insert(process, language);
                }
                Entry::Sight(sight) => noted.sights.add(sight),
                Entry::Started(_) | Entry::Input(_) | Entry::Lost(_) | Entry::Stopped(_) => {}
            }
        }
        Ok(noted)
    }
}

impl Details for Noted {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        self.cmdlines.get(&process).cloned()
    }

    fn cgroup(&self, process: ProcKey) -> Option<String> {
        self.cgroups.get(&process).cloned()
    }

    fn language(&self, process: ProcKey) -> Option<Language> {
        self.languages.get(&process).copied()
    }

    fn sights(&self) -> &Sights {
        &self.sights
    }

    fn path(&self, process: ProcKey, fd: Fd) -> Option<String> {
        self.paths.get(&(process, fd)).cloned()
    }

    fn wall(&self, time: Ktime) -> u64 {
        self.boot.saturating_add(time.0)
    }
}

/// Tells a new engine all that is in the trace, and writes what it finds.
///
/// # Errors
///
/// The trace cannot be read, or reports cannot be written.
pub fn replay(trace: &mut Trace, noted: &Noted, output: &mut Output) -> Result<(), Problem> {
    let mut engine = Engine::new(trace.header.rules);
    let mut tally = Tally::default();
    // How a run ended that could not tell any more.
    let mut stopped = Stopped {
        time: Ktime(0),
        tally,
        events: 0,
        lost_events: 0,
        reason: Reason::TraceEnds,
    };
    for entry in trace.entries()? {
        match entry? {
            Entry::Input(input) => {
                stopped.time = input.time().unwrap_or(stopped.time).max(stopped.time);
                for finding in engine.take(&input) {
                    tally.count(&finding);
                    output.write(&Report::Finding(finding), noted)?;
                }
            }
            Entry::Started(started) => output.write(&Report::Started(started), noted)?,
            Entry::Lost(lost) => output.write(&Report::Lost(lost), noted)?,
            Entry::Stopped(recorded) => stopped = recorded,
            Entry::Cmdline { .. }
            | Entry::Cgroup { .. }
            | Entry::Path { .. }
            | Entry::Language { .. }
            | Entry::Sight(_) => {}
        }
    }
    output.write(&Report::Stopped(Stopped { tally, ..stopped }), noted)
}
