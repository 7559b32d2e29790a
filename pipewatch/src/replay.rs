//! Judging a recorded trace again: the same engine, without a kernel.

use crate::{
    engine::Engine,
    finding::{Reason, Report, Stopped, Tally, Waits},
    ids::Ktime,
    names::{Names, Noted},
    output::Output,
    problem::Problem,
    stack::Sights,
    trace_file::{Entry, Trace},
};

/// What was noted of the host when a trace was recorded.
pub struct Notes {
    /// The trace breaks off: pipewatch was killed before it had written the end.
    pub cut: bool,
    boot: u64,
    names: Names,
    sights: Sights,
}

impl Notes {
    /// Reads all of a trace: what is noted may come after what it is of.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none.
    pub fn of(trace: &mut Trace) -> Result<Self, Problem> {
        let mut notes = Self {
            cut: true,
            boot: trace.header.boot,
            names: Names::default(),
            sights: Sights::default(),
        };
        for entry in trace.entries()? {
            let entry = entry?;
            notes.cut = !matches!(entry, Entry::Stopped(_));
            if let Entry::Sight(sight) = entry {
                notes.sights.add(sight);
            } else {
                notes.names.add(entry);
            }
        }
        Ok(notes)
    }
}

/// Tells a new engine all that is in the trace, and writes what it finds.
///
/// # Errors
///
/// The trace cannot be read, or reports cannot be written.
pub fn replay(trace: &mut Trace, notes: &Notes, output: &mut Output) -> Result<(), Problem> {
    let noted = &Noted {
        names: &notes.names,
        sights: &notes.sights,
        wall: |time: Ktime| notes.boot.saturating_add(time.0),
    };
    let mut engine = Engine::new(trace.header.rules);
    let mut tally = Tally::default();
    // How a run ended that could not tell any more.
    let mut stopped = Stopped {
        time: Ktime(0),
        tally,
        waits: Waits::default(),
        events: 0,
        lost_events: 0,
        hides: false,
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
            Entry::Started(started) => {
                stopped.hides = started.hides;
                output.write(&Report::Started(started), noted)?;
            }
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
