//! One look at what hangs now, without any probe.

use std::{collections::BTreeSet, time::Duration};

use super::{Session, reads};
use crate::{
    clock,
    event::TaskRow,
    finding::Reason,
    output::Output,
    plan::{Plan, Target},
    problem::Problem,
};

/// Looks once at what hangs now, without any probe. The exit status tells
/// whether anything does.
///
/// # Errors
///
/// Nothing can be seen here, or reports cannot be written.
pub fn look_once(plan: &Plan, output: Output) -> Result<u8, Problem> {
    let mut session = Session::new(plan, output, false)?;
    session.settle(plan);
    let watching = match &plan.target {
        Target::Pids(pids) => {
            session.watch_pids(pids)?;
            let tasks = session.adopt_waits()?;
            Session::all_live(pids, &tasks)?;
            Some(pids.clone())
        }
        Target::All | Target::Command(_) => {
            session.adopt_waits()?;
            None
        }
    };
    session.start(plan, watching)?;
    session.see_polls()?;
    // A hang is confirmed by a second look soon after the first. If it cannot be
    // seen how long a wait has lasted, it must last.
    let shows_since = session.host.source.shows_since();
    let lasting = if shows_since {
        Duration::ZERO
    } else {
        plan.threshold
    };
    let lasting = (lasting + 2 * session.host.source.tick()).as_nanos();
    let end = clock::now().after(u64::try_from(lasting).unwrap_or(u64::MAX));
    while let Some(look) = session.engine.next_look().filter(|look| *look < end) {
        std::thread::sleep(Duration::from_nanos(look.since(clock::now())));
        if !shows_since {
            session.tick()?;
            session.see_polls()?;
        }
        session.look()?;
    }
    session.stop(Reason::Looked)?;
    Ok(u8::from(session.tally.hangs > 0))
}

impl Session {
    /// Lets the engine take over what watched threads wait for now, and who holds that;
    /// nothing else will ever be in question. Returns the watched threads.
    fn adopt_waits(&mut self) -> Result<Vec<TaskRow>, Problem> {
        let source = &mut self.host.source;
        let before = source.tasks()?;
        let mut asked: BTreeSet<u64> = reads(&before).collect();
        let polls = before.iter().filter(|row| row.multiplexed.is_some());
        let polls = polls.filter(|row| source.is_watched(row.actor.process.pid));
        asked.extend(polls.map(|row| row.table.0));
        let mut snapshot = self.snapshot_after(&before, Some(&asked))?;
        // Others may hold what is in the tables of those that poll.
        let elsewhere = snapshot.held_elsewhere();
        if !elsewhere.is_empty() {
            asked.extend(elsewhere);
            snapshot = self.snapshot_after(&before, Some(&asked))?;
        }
        self.take_over(snapshot, None)
    }
}
