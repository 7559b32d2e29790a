//! One look at what hangs now, without any probe.

use std::{io, time::Duration};

use super::Session;
use crate::{
    asked::Asked,
    clock,
    event::{Snapshot, held_elsewhere},
    finding::{Hang, Reason},
    ids::Pid,
    input::Input,
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
    /// The kernel's tables, right after that, as of [`tables`].
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
    let (watching, snapshot) = session.take_on(plan)?;
    session.start(plan, watching)?;
    // If it cannot be seen how long a wait has lasted, it must last.
    let lasting = if session.host.source.shows_since() {
        Duration::ZERO
    } else {
        plan.threshold
    };
    session.see_waits(snapshot, lasting, |_| false)?;
    session.stop(Reason::Looked)?;
    Ok(u8::from(session.tally.hangs > 0))
}

/// Looks for waits, and reports nothing: until there is one that is `wanted`, or every
/// wait of now has lasted for the threshold.
///
/// # Errors
///
/// Nothing can be seen here.
pub fn look_for(plan: &Plan, wanted: impl Fn(&Hang) -> bool) -> Result<Looked, Problem> {
    let mut session = Session::silent(plan)?;
    let (_, snapshot) = session.take_on(plan)?;
    // Twice as long as it takes, since the host may be busy.
    session.see_waits(snapshot, 2 * plan.threshold, |session| {
        session.kept.iter().flatten().any(&wanted)
    })?;
    Ok(Looked {
        snapshot: session.snapshot()?,
        hangs: session.kept.take().unwrap_or_default(),
    })
}

/// The kernel's tables. Where these are those of `/proc`, only the ends of what threads
/// wait for are in it.
///
/// # Errors
///
/// Nothing can be seen here.
pub fn tables(plan: &Plan) -> Result<Snapshot, Problem> {
    Session::silent(plan)?.snapshot()
}

impl Session {
    /// One that keeps what it finds.
    fn silent(plan: &Plan) -> Result<Self, Problem> {
        let nowhere = Style {
            width: 0,
            colour: false,
        };
        let nowhere = Output::to(Box::new(io::sink()), Format::Json, nowhere);
        let mut session = Self::new(plan, nowhere, false)?;
        session.kept = Some(Vec::new());
        session.settle(plan);
        Ok(session)
    }

    /// Learns what there is of whom to watch; who that is, unless all, and all that the
    /// tables showed of their waits.
    fn take_on(&mut self, plan: &Plan) -> Result<(Option<Vec<Pid>>, Snapshot), Problem> {
        match &plan.target {
            Target::Pids(pids) => {
                self.watch_pids(pids)?;
                let snapshot = self.adopt_waits(pids)?;
                Ok((Some(pids.clone()), snapshot))
            }
            Target::All | Target::Command(_) => Ok((None, self.adopt_waits(&[])?)),
        }
    }

    /// What the kernel's tables show of the watched processes, and all threads.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, Problem> {
        let before = self.host.source.tasks()?;
        self.snapshot_after(&before, None)
    }

    /// Judges every wait that has lasted for the threshold by then, unless there is
    /// enough: at first by what the tables have just shown. A hang is confirmed by a second
    /// look soon after the first.
    fn see_waits(
        &mut self,
        snapshot: Snapshot,
        lasting: Duration,
        enough: impl Fn(&Self) -> bool,
    ) -> Result<(), Problem> {
        self.see_now()?;
        let now = clock::now();
        self.tell(Input::Look { snapshot, now })?;
        let tick = self.host.source.pace(Duration::ZERO).tick;
        let lasting = (lasting + 2 * tick).as_nanos();
        let end = clock::now().after(u64::try_from(lasting).unwrap_or(u64::MAX));
        while let Some(look) = self.engine.next_look().filter(|look| *look < end) {
            if enough(self) {
                break;
            }
            std::thread::sleep(Duration::from_nanos(look.since(clock::now())));
            if !self.host.source.shows_since() {
                self.see_now()?;
            }
            self.look()?;
        }
        Ok(())
    }

    /// Sees who waits now, for one descriptor or among others.
    fn see_now(&mut self) -> Result<(), Problem> {
        if !self.host.source.shows_since() {
            // Who waits among others is one of those that this finds asleep.
            self.tick()?;
        }
        self.see_all_polls()
    }

    /// Lets the engine take over what watched threads wait for now, and who holds that;
    /// nothing else will ever be in question. Some of them must live.
    fn adopt_waits(&mut self, named: &[Pid]) -> Result<Snapshot, Problem> {
        let source = &mut self.host.source;
        let before = source.tasks()?;
        let polls = before.iter().filter(|row| row.multiplexed.is_some());
        let polls = polls.filter(|row| source.is_watched(row.actor.process.pid));
        let mut asked = Asked::default();
        asked.extend(polls.map(|row| row.table));
        // Others may hold what is in the tables of those that poll.
        let of_pollers = source.ends(Some(&asked))?;
        asked.extend(held_elsewhere(&of_pollers));
        asked.extend(before.iter().filter_map(|row| Some(row.sleep?.end)));
        let snapshot = self.snapshot_after(&before, Some(&asked))?;
        self.take_over(snapshot.clone(), None, named)?;
        Ok(snapshot)
    }
}
