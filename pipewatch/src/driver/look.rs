//! One look at what hangs now, without any probe.

use std::{io, time::Duration};

use super::Session;
use crate::{
    clock,
    event::Snapshot,
    finding::{Hang, Reason},
    ids::Pid,
    output::Output,
    plan::{Plan, Target},
    problem::Problem,
    render::{Format, Style},
};

/// What a look showed.
#[derive(Debug)]
pub struct Looked {
    /// What hangs.
    pub hangs: Vec<Hang>,
    /// The kernel's tables, right after that. Where these are those of `/proc`, only
    /// the ends of what threads wait for are in it.
    pub snapshot: Snapshot,
}

/// Looks once, and reports what hangs. The exit status tells whether anything does.
///
/// # Errors
///
/// Nothing can be seen here, or reports cannot be written.
pub fn look_once(plan: &Plan, output: Output) -> Result<u8, Problem> {
    let mut session = Session::new(plan, output, false)?;
    session.settle(plan);
    let watching = session.take_on(plan)?;
    session.start(plan, watching)?;
    session.wait_and_see(plan)?;
    session.stop(Reason::Looked)?;
    Ok(u8::from(session.tally.hangs > 0))
}

/// Looks once, and reports nothing.
///
/// # Errors
///
/// Nothing can be seen here.
pub fn look_for(plan: &Plan) -> Result<Looked, Problem> {
    let nowhere = Style {
        width: 0,
        colour: false,
    };
    let nowhere = Output::to(Box::new(io::sink()), Format::Json, nowhere);
    let mut session = Session::new(plan, nowhere, false)?;
    session.kept = Some(Vec::new());
    session.settle(plan);
    session.take_on(plan)?;
    session.wait_and_see(plan)?;
    Ok(Looked {
        snapshot: session.snapshot()?,
        hangs: session.kept.take().unwrap_or_default(),
    })
}

impl Session {
    /// Learns what there is of whom to watch; who that is, unless all.
    fn take_on(&mut self, plan: &Plan) -> Result<Option<Vec<Pid>>, Problem> {
        match &plan.target {
            Target::Pids(pids) => {
                self.watch_pids(pids)?;
                Ok(Some(pids.clone()))
            }
            Target::All | Target::Command(_) => {
                self.adopt(None)?;
                Ok(None)
            }
        }
    }

    /// Judges every wait that there is. A hang is confirmed by a second look soon after
    /// the first. If it cannot be seen how long a wait has lasted, it must last.
    fn wait_and_see(&mut self, plan: &Plan) -> Result<(), Problem> {
        self.see_polls()?;
        let shows_since = self.host.source.shows_since();
        let lasting = if shows_since {
            Duration::ZERO
        } else {
            plan.threshold
        };
        let lasting = (lasting + 2 * self.host.source.tick()).as_nanos();
        let end = clock::now().after(u64::try_from(lasting).unwrap_or(u64::MAX));
        while let Some(look) = self.engine.next_look().filter(|look| *look < end) {
            std::thread::sleep(Duration::from_nanos(look.since(clock::now())));
            if !shows_since {
                self.tick()?;
                self.see_polls()?;
            }
            self.look()?;
        }
        Ok(())
    }
}
