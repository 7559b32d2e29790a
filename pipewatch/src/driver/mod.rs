//! The loop: takes in what the kernel reports, asks it for its tables when a
//! wait is due for a look, and passes on what the engine concludes.

mod left_behind;
mod look;
mod losses;
mod stacks;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    future::pending,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::system::uname;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};

pub use self::look::{Looked, look_for, look_once, tables};
use self::stacks::StackRoom;
use crate::{
    allocator,
    asked::Asked,
    bpf::{Counters, Options},
    clock::{self, Wall},
    debug_log::DebugLog,
    engine::Engine,
    event::{Call, End, Fact, Snapshot, TaskRow, lone_reads},
    finding::{Finding, Hang, Reason, Report, Started, Stopped, Tally},
    host::Host,
    ids::{Ktime, Pid, ProcKey},
    input::Input,
    interpreters,
    output::{Output, say},
    plan::{Plan, Target},
    private_file, privileges,
    problem::Problem,
    procfs,
    reports::Reports,
    rules::Rules,
    signals::{Caught, Signal},
    source::{Pace, Source},
    stacks::Scout,
    target::{self, NotStarted, Running},
    trace_file::{self, Entry, Header},
};

/// So long the start waits until it is known which processes run Python.
const SCOUTING: Duration = Duration::from_millis(250);
/// What is to be told within that time of a look is asked for as well, in nanoseconds: so long
/// it takes on a host that is large, or slow.
const LOOKING: u64 = 50_000_000;

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// As asked for: with this exit status.
    Status(u8),
    /// The command did not start.
    NotStarted(NotStarted),
}

/// Watches until there is a reason to stop.
///
/// # Errors
///
/// Nothing can be watched here, or reports cannot be written.
pub async fn watch(plan: Plan, output: Output, mut signals: Caught) -> Result<Ended, Problem> {
    let mut session = Session::new(&plan, output, true)?;
    if let Some(kernel) = session.host.source.kernel_mut().filter(|_| plan.debug) {
        session.debug_log = Some(DebugLog::new(kernel)?);
    }
    let command = match &plan.target {
        Target::Pids(pids) => {
            session.settle(&plan);
            session.watch_pids(pids)?;
            session.adopt(None, pids)?;
            session.start(&plan, Some(pids.clone()))?;
            None
        }
        Target::All => {
            session.settle(&plan);
            session.adopt(None, &[])?;
            session.start(&plan, None)?;
            None
        }
        Target::Command(command) => {
            // Who asked to end meanwhile does not want it to begin.
            if let Some(signal) = signals.pending() {
                return Ok(Ended::Status(signal.status()));
            }
            match session.start_command(&plan, command)? {
                Ok(running) => {
                    session.start(&plan, Some(vec![running.pid()]))?;
                    Some(running)
                }
                Err(not_started) => return Ok(Ended::NotStarted(not_started)),
            }
        }
    };
    session
        .run(&plan, command, signals.listen())
        .await
        .map(Ended::Status)
}

struct Session {
    host: Host,
    engine: Engine,
    reports: Reports,
    scout: Option<Scout>,
    debug_log: Option<DebugLog>,
    counters: Counters,
    /// Lost events that were not reported yet, and when some were last.
    untold: u64,
    lost_told: Instant,
    /// Records that made no sense; they count as lost.
    unreadable: u64,
    tally: Tally,
    /// Hangs that are kept for who asked, and not reported.
    kept: Option<Vec<Hang>>,
    full_warned: bool,
    /// Some of those that are watched, as all are, could not be looked into at the start.
    hides: bool,
    pace: Pace,
    ticks: u32,
    stack_room: StackRoom,
}

impl Session {
    fn new(plan: &Plan, output: Output, probes: bool) -> Result<Self, Problem> {
        let own = Pid(std::process::id());
        let options = Options {
            all: matches!(plan.target, Target::All),
            own,
            stacks: plan.stacks.is_some(),
            buffer: plan.buffer,
            probes,
            verbose: plan.debug,
        };
        let source = Source::open(plan.backend, options)?;
        allocator::trim();
        let rules = Rules {
            threshold: u64::try_from(plan.threshold.as_nanos()).unwrap_or(u64::MAX / 2),
            min_confidence: plan.min_confidence,
            healthy: plan.healthy,
            own,
            ends_command: plan.exit_on_hang && matches!(plan.target, Target::Command(_)),
        };
        let wall = Wall::new();
        let recorder = plan.record.as_ref().map(|path| {
            let header = Header::new(wall.boot, rules);
            let file =
                private_file::create(path).map_err(|e| trace_file::cannot_write(path, &e))?;
            trace_file::Writer::new(path, file, &header)
        });
        Ok(Self {
            pace: source.pace(plan.threshold),
            host: Host { source, wall },
            engine: Engine::new(rules),
            reports: Reports::new(output, recorder.transpose()?),
            scout: None,
            debug_log: None,
            counters: Counters::default(),
            untold: 0,
            lost_told: Instant::now(),
            unreadable: 0,
            tally: Tally::default(),
            kept: None,
            full_warned: false,
            hides: false,
            ticks: 0,
            stack_room: StackRoom::new(),
        })
    }

    /// Gives up what privileges it took to get here, and starts the threads that look
    /// into processes: a thread has what the one has that starts it.
    fn settle(&mut self, plan: &Plan) {
        let job = self.host.source.job();
        let commands = matches!(plan.target, Target::Command(_));
        if let Err(error) = privileges::keep(job, commands) {
            say(format_args!(
                "warning: capabilities that are not needed any more are kept: {error}"
            ));
        }
        if let Some(patience) = plan.stacks {
            self.reports.with_stacks(patience);
            self.scout = interpreters::search(&mut self.host.source);
        }
    }

    /// Adds processes and their descendants to the watched ones.
    fn watch_pids(&mut self, pids: &[Pid]) -> Result<(), Problem> {
        let source = &mut self.host.source;
        source.watch_families(&pids.iter().copied().collect())?;
        if let Some(pid) = pids.iter().find(|pid| source.is_hidden(**pid)) {
            return Err(is_hidden(*pid));
        }
        Ok(())
    }

    /// Whether processes that are to be watched live, as a list of threads shows.
    fn all_live(pids: &[Pid], tasks: &[TaskRow]) -> Result<(), Problem> {
        for pid in pids {
            let mut threads = tasks.iter().filter(|row| row.actor.process.pid == *pid);
            match threads.next() {
                Some(first) if first.is_alive() || threads.any(TaskRow::is_alive) => {}
                Some(_) => return Err(is_zombie(*pid)),
                None => return Err(not_shown(*pid)),
            }
        }
        Ok(())
    }

    /// Starts the command. It is watched from its fork on, since pipewatch
    /// itself is among the watched ones for that moment.
    fn start_command(
        &mut self,
        plan: &Plan,
        command: &[OsString],
    ) -> Result<Result<Running, NotStarted>, Problem> {
        let own = Pid(std::process::id());
        let source = &mut self.host.source;
        source.watch(own, 0)?;
        let started = target::start(command);
        source.unwatch(own)?;
        // Not before: the command gets all that it would have without pipewatch.
        self.settle(plan);
        self.drain()?;
        Ok(started)
    }

    fn start(&mut self, plan: &Plan, watching: Option<Vec<Pid>>) -> Result<(), Problem> {
        if let Some(scout) = &self.scout {
            scout.catch_up(SCOUTING);
        }
        let name = uname();
        let limits = self.host.source.limits()?;
        self.hides = watching.is_none() && self.host.source.hides();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let started = Started {
            time: clock::now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: text(name.release()),
            arch: text(name.machine()),
            backend: self.host.source.name().to_owned(),
            watching,
            threshold: u64::try_from(plan.threshold.as_nanos()).unwrap_or(u64::MAX),
            hides: self.hides,
            limits,
        };
        self.record(|_| Entry::Started(started.clone()))?;
        self.report(Report::Started(started))
    }

    async fn run(
        mut self,
        plan: &Plan,
        mut command: Option<Running>,
        mut signals: UnboundedReceiver<Signal>,
    ) -> Result<u8, Problem> {
        let ring = self.host.source.ring_fd().map(pollable).transpose()?;
        let ended = match &command {
            Some(running) => Some(pollable(running.ended_fd().as_fd())?),
            None => None,
        };
        let news = self.reports.news();
        let period = self.pace.tick;
        let end = plan
            .duration
            .and_then(|duration| Instant::now().checked_add(duration));
        let mut tick = Instant::now() + period;
        let mut status = None;
        let mut asked = false;
        let reason = loop {
            let wake = tick.min(self.next_look());
            let wake = self.reports.due().map_or(wake, |due| due.min(wake));
            tokio::select! {
                biased;
                signal = signals.recv() => match (&command, signal) {
                    (Some(running), Some(signal)) => {
                        if !signal.from_terminal {
                            running.signal(signal.number);
                        } else if std::mem::replace(&mut asked, true) {
                            status = Some(signal.status());
                            break Reason::Signal;
                        } else {
                            say(
                                "pipewatch: the command got that signal too; once more to leave \
                                 it behind",
                            );
                        }
                    }
                    (None, Some(_)) => break Reason::Signal,
                    (_, None) => {}
                },
                () = async {
                    match end {
                        Some(end) => sleep_until(end).await,
                        None => pending().await,
                    }
                } => break Reason::Duration,
                _ = async {
                    match &ended {
                        Some(fd) => fd.readable().await.map(drop),
                        None => pending().await,
                    }
                } => {
                    if let Some(running) = &mut command {
                        status = Some(running.status()?);
                    }
                    break Reason::CommandEnded;
                }
                told = async {
                    match &ring {
                        Some(fd) => fd.readable().await.map(|mut guard| guard.clear_ready()),
                        None => pending().await,
                    }
                } => told.map_err(|error| no_polling(&error))?,
                () = async {
                    match &news {
                        Some(news) => news.notified().await,
                        None => pending().await,
                    }
                } => {}
                () = sleep_until(wake) => {}
            }
            self.reports.deliver(&mut self.host)?;
            let hangs = self.tally.hangs;
            self.drain()?;
            if Instant::now() >= tick {
                tick = Instant::now() + period;
                self.tick()?;
            }
            self.look()?;
            if plan.exit_on_hang && self.tally.hangs > hangs {
                status = Some(1);
                break Reason::Hang;
            }
            if command.is_none() && !matches!(plan.target, Target::All) && self.engine.is_idle() {
                break Reason::Ended;
            }
            // Who asked for `exit_on_hang` reads the exit status, if nothing else.
            let read = command.is_some() || plan.exit_on_hang || !self.reports.is_closed();
            if !read {
                return Ok(0);
            }
        };
        let left = if reason == Reason::CommandEnded {
            self.left_behind().await?
        } else {
            BTreeMap::new()
        };
        self.drain()?;
        let over = matches!(reason, Reason::Ended | Reason::CommandEnded);
        if over && !self.host.source.shows_since() {
            // Nothing has told yet what the end of the target was the end of.
            self.tick()?;
            self.look()?;
        }
        self.stop(reason)?;
        let left = match (command, ended) {
            (Some(running), Some(ended)) if reason == Reason::Hang => {
                self.end(&running, &ended).await?
            }
            (Some(running), _) if reason == Reason::Duration => {
                left_behind::goes_on(running.pid());
                left
            }
            _ => left,
        };
        left_behind::tell(&left);
        Ok(status.unwrap_or(0))
    }

    /// The moment of the next look, on the loop's clock.
    fn next_look(&self) -> Instant {
        let now = clock::now();
        let wait = self
            .engine
            .next_look()
            .map_or(u64::MAX / 4, |look| look.since(now));
        Instant::now() + Duration::from_nanos(wait).min(self.pace.tick)
    }

    /// Takes in the events of what has happened until now: all of them, as a judgement goes
    /// by them, and no more, so that other work gets its turn however many come meanwhile.
    fn drain(&mut self) -> Result<(), Problem> {
        let now = clock::now();
        while let Some(event) = self.host.source.next_event() {
            let Ok(event) = event else {
                self.unreadable += 1;
                continue;
            };
            let is_later = event.time > now;
            if let (Fact::Exec, Some(scout)) = (&event.fact, &self.scout) {
                scout.began(event.actor.process);
            }
            self.tell(Input::Event(event))?;
            if is_later {
                break;
            }
        }
        Ok(())
    }

    /// What is not told by events.
    fn tick(&mut self) -> Result<(), Problem> {
        if let Some(snapshot) = self.host.source.take_state()? {
            self.tell(Input::Adopt {
                snapshot,
                lost: None,
            })?;
        }
        for (actor, table, sleep) in self.host.source.sleeps()? {
            self.tell(Input::Sleeping {
                actor,
                table,
                sleep,
            })?;
        }
        if self.ticks.is_multiple_of(self.pace.polls) {
            self.see_all_polls()?;
        }
        self.drain()?;
        if let Some(tasks) = self.host.source.take_sleepers() {
            let now = clock::now();
            self.tell(Input::Tasks { tasks, now })?;
        }
        if let Some(log) = &mut self.debug_log {
            log.flush();
        }
        if self.ticks.is_multiple_of(self.pace.losses) {
            self.mend()?;
            self.gauge();
        }
        self.ticks = self.ticks.wrapping_add(1);
        self.tell_lost_in_time()?;
        self.forget_stacks_in_time()
    }

    /// Looks for threads that wait for several descriptors, if that may matter.
    fn see_all_polls(&mut self) -> Result<(), Problem> {
        if !self.engine.doubts() {
            return Ok(());
        }
        let pollers = self.host.source.pollers()?;
        self.see_polls(&pollers)
    }

    /// Tells the engine which of these threads wait for pipes among others, of
    /// those pipes that may be in question.
    fn see_polls(&mut self, tasks: &[TaskRow]) -> Result<(), Problem> {
        let pollers = tasks.iter().filter(|row| row.multiplexed.is_some());
        let pollers: Vec<&TaskRow> = pollers
            .filter(|row| self.engine.is_doubtful(row.table))
            .collect();
        let is_ring = |row: &TaskRow| row.multiplexed.is_some_and(|it| it.call == Call::IoUring);
        let rings = pollers.iter().filter(|row| is_ring(row));
        let mut asked = Asked::default();
        asked.extend(rings.map(|row| row.table));
        // Only the kernel's own tables tell what a ring waits for.
        let ends = self.host.source.ends(Some(&asked))?;
        for row in pollers {
            let (Some(multiplexed), Some(nvcsw)) = (row.multiplexed, row.asleep) else {
                continue;
            };
            let fds = if is_ring(row) {
                let of_ring = ends.iter().filter(|end| end.ring && end.table == row.table);
                of_ring.map(|end| end.end.fd).collect()
            } else {
                procfs::waited_for(row.actor.tid, &multiplexed)
            };
            self.tell(Input::Polling {
                actor: row.actor,
                table: row.table,
                alone: fds.len() == 1
                    && multiplexed.has_room_for_one()
                    && procfs::waits_for_ever(row.actor.tid, multiplexed.call),
                fds,
                call: multiplexed.call,
                since: multiplexed.since,
                nvcsw,
                now: clock::now(),
            })?;
        }
        self.arm();
        Ok(())
    }

    /// Judges the waits that are due.
    fn look(&mut self) -> Result<(), Problem> {
        let now = clock::now();
        if self.engine.due(now).next().is_none() {
            return Ok(());
        }
        let before = self.host.source.tasks()?;
        self.tell(Input::Tasks {
            tasks: before.clone(),
            now,
        })?;
        // Most waits are over by now, and cost no more than this.
        if self.engine.due(now).next().is_none() {
            return Ok(());
        }
        // Who polls must have been seen lately, however long it took to come to this.
        if self.engine.due(now).any(|(_, pipe)| pipe.is_some()) {
            self.see_polls(&before)?;
        }
        // A hang that is to be told while the tables are read is judged by them too.
        let asked_at = clock::now();
        let soon = asked_at.after(LOOKING);
        let due: Vec<End> = self.engine.in_question(asked_at, soon).collect();
        let mut asked = Asked::default();
        asked.extend(lone_reads(&before).chain(due.iter().copied()));
        let snapshot = self.snapshot_after(&before, Some(&asked))?;
        self.drain()?;
        // A judgement on history counts on nothing being missed unnoticed.
        self.mend()?;
        self.tell(Input::Look {
            snapshot: snapshot.of(due),
            now: clock::now(),
        })?;
        self.arm();
        Ok(())
    }

    /// Asks the kernel for the wake-ups that the engine wants to hear of.
    fn arm(&mut self) {
        for arm in self.engine.take_arms() {
            self.host.source.arm(arm);
        }
    }

    fn snapshot_after(
        &mut self,
        before: &[TaskRow],
        of: Option<&Asked>,
    ) -> Result<Snapshot, Problem> {
        let ends = self.host.source.ends(of)?;
        let after = self.host.source.tasks()?;
        Ok(Snapshot::new(before, ends, after))
    }

    /// Lets the engine take over what the kernel's tables show of the watched
    /// processes, of which some must live.
    fn adopt(&mut self, lost: Option<Ktime>, named: &[Pid]) -> Result<(), Problem> {
        let snapshot = self.snapshot()?;
        self.take_over(snapshot, lost, named)
    }

    fn take_over(
        &mut self,
        snapshot: Snapshot,
        lost: Option<Ktime>,
        named: &[Pid],
    ) -> Result<(), Problem> {
        Self::all_live(named, &snapshot.tasks)?;
        let source = &self.host.source;
        let mut snapshot = snapshot.only(|process| source.is_watched(process.pid));
        source.date(&mut snapshot);
        // Of what was lost, an exec at most costs the stacks of a Python.
        if let Some(scout) = self.scout.as_ref().filter(|_| lost.is_none()) {
            scout.all_exist(snapshot.tasks.iter().map(|row| row.actor.process));
        }
        self.tell(Input::Adopt { snapshot, lost })?;
        allocator::trim();
        Ok(())
    }

    /// Tells the engine something, records it, and reports what comes of it.
    fn tell(&mut self, input: Input) -> Result<(), Problem> {
        let findings = self.engine.take(&input);
        self.record(|source| Entry::Input(concerning(source, input)))?;
        for finding in findings {
            self.tally.count(&finding);
            if let (Some(kept), Finding::Hang(hang)) = (&mut self.kept, &finding) {
                kept.push((**hang).clone());
                continue;
            }
            self.report(Report::Finding(finding))?;
        }
        Ok(())
    }

    fn record(&mut self, entry: impl FnOnce(&Source) -> Entry) -> Result<(), Problem> {
        self.reports.record(|| entry(&self.host.source))
    }

    fn stop(&mut self, reason: Reason) -> Result<(), Problem> {
        self.tell_lost()?;
        self.reports.finish(&mut self.host)?;
        let counters = self.host.source.counters();
        let waits = self.engine.waits(&self.host.source.tasks()?, clock::now());
        let stopped = Stopped {
            time: clock::now(),
            tally: self.tally,
            waits,
            events: counters.events,
            lost_events: counters.lost() + self.unreadable,
            hides: self.hides,
            reason,
        };
        self.record(|_| Entry::Stopped(stopped))?;
        self.report(Report::Stopped(stopped))
    }

    fn report(&mut self, report: Report) -> Result<(), Problem> {
        self.reports.report(report, &mut self.host)
    }
}

/// A process that was there a moment ago is not in the kernel's list.
fn not_shown(pid: Pid) -> Problem {
    match procfs::process_of(pid.0) {
        Ok(Some(_)) => Problem::new(
            format!("the kernel does not show process {pid} to pipewatch"),
            "it does not show threads of its own, and some hosts hide their init process; watch the \
             processes below it instead",
        ),
        Ok(None) | Err(_) => has_ended(pid),
    }
}

fn is_hidden(pid: Pid) -> Problem {
    Problem::new(
        format!("looking into process {pid} is not permitted"),
        "if it belongs to another user, run pipewatch as root (sudo), or as that user",
    )
}

fn is_zombie(pid: Pid) -> Problem {
    Problem::new(
        format!("process {pid} has ended: it is a zombie, which holds nothing"),
        "its parent has not waited for it yet; `ps -o ppid= -p PID` tells who that is",
    )
}

fn has_ended(pid: Pid) -> Problem {
    Problem::new(
        format!("process {pid} ended while it was being attached"),
        "start it again, or let pipewatch start it: pipewatch -- COMMAND",
    )
}

/// A duplicate of a descriptor that the loop can wait for.
fn pollable(fd: BorrowedFd<'_>) -> Result<AsyncFd<OwnedFd>, Problem> {
    let fd = fd
        .try_clone_to_owned()
        .map_err(|error| no_polling(&error))?;
    // SAFETY: an `OwnedFd` refers to the same open file as long as it lives.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| no_polling(&error.into()))
}

fn no_polling(error: &std::io::Error) -> Problem {
    Problem::new(
        format!("cannot wait for events: {error}"),
        "report this as a bug",
    )
}

/// What is worth recording of an input: of a snapshot, what has to do with
/// watched processes.
fn concerning(source: &Source, input: Input) -> Input {
    let watched = |process: ProcKey| source.is_watched(process.pid);
    match input {
        Input::Look { snapshot, now } => {
            let snapshot = snapshot.concerning(watched);
            Input::Look { snapshot, now }
        }
        Input::Tasks { mut tasks, now } => {
            tasks.retain(|row| watched(row.actor.process));
            Input::Tasks { tasks, now }
        }
        Input::Adopt { .. } | Input::Event(_) | Input::Sleeping { .. } | Input::Polling { .. } => {
            input
        }
    }
}
