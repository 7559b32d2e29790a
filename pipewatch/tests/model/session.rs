//! An engine at work on the kernel in memory. Drives it as the real loop does:
//! sleeps and losses are looked at every tick, urgent events and waits that are
//! due at once.

use std::collections::{BTreeMap, BTreeSet};

use pipewatch::{
    engine::Engine,
    event::{Call, End, EndRow, Event, Snapshot, lone_reads},
    finding::{Finding, Verdict, WaitId},
    ids::{Fd, Ktime, Pid, PipeId, ProcKey, Tid},
    input::Input,
    rules::Rules,
};

use super::{Kernel, OWN, Watched};

pub const MS: u64 = 1_000_000;
/// How often sleepers are looked at, with a threshold of a second.
const TICK: u64 = 200 * MS;
/// How often it is seen who waits for several descriptors at once.
const POLLS: u64 = 800 * MS;
/// When stories begin.
pub const BEGIN: Ktime = Ktime(86_400_000 * MS);

/// A run of pipewatch.
#[derive(Debug)]
pub struct Session {
    pub kernel: Kernel,
    pub engine: Engine,
    /// Is told what a trace records of what the engine is told, and must say
    /// the same.
    replay: Engine,
    /// How often the engine wanted the kernel to be asked.
    pub looks: u64,
    rules: Rules,
    attached: bool,
    tick: Ktime,
    polls: Ktime,
    /// Events on their way to the engine.
    ring: Vec<Event>,
    /// How many of the next events are to be lost, and whether any was lately.
    lose: usize,
    lost: bool,
    /// Who held what when the next look began to list it.
    listed: Option<Vec<EndRow>>,
    /// What was reported and is not over: the last verdict, and whether it was
    /// a hang at any time.
    open: BTreeMap<WaitId, (Verdict, bool)>,
    /// Whose waits were ever reported as hangs: the reader and its channel.
    pub accused: BTreeSet<(Tid, PipeId)>,
}

impl Session {
    /// With a kernel in which only init runs; not attached yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            kernel: Kernel::new(BEGIN),
            engine: Engine::new(rules),
            replay: Engine::new(rules),
            looks: 0,
            rules,
            attached: false,
            tick: BEGIN,
            polls: BEGIN,
            ring: Vec::new(),
            lose: 0,
            lost: false,
            listed: None,
            open: BTreeMap::new(),
            accused: BTreeSet::new(),
        }
    }

    /// The probes begin to report: on these processes and their descendants,
    /// or, if none is named, on all.
    pub fn watch(&mut self, pids: &[Pid]) {
        if pids.is_empty() {
            self.kernel.watched = Watched::All;
            return;
        }
        let mut watched: BTreeSet<Pid> = pids.iter().copied().collect();
        let tasks = self.kernel.tasks();
        while tasks
            .iter()
            .any(|row| watched.contains(&row.parent) && watched.insert(row.actor.process.pid))
        {
        }
        self.kernel.watched = Watched::Only(watched);
    }

    /// The probes do not report on these processes any more.
    pub fn unwatch(&mut self, pids: &[Pid]) {
        if let Watched::Only(watched) = &mut self.kernel.watched {
            watched.retain(|pid| !pids.contains(pid));
        }
    }

    /// The engine learns what is there, and is at work from now on.
    pub fn attach(&mut self) -> Result<(), String> {
        self.attached = true;
        self.tick = self.kernel.now.after(TICK);
        self.adopt(None)
    }

    /// The next events find the buffer full.
    pub fn lose(&mut self, events: usize) {
        self.lose = events;
    }

    /// The next look lists now who holds what, and the threads once it is due.
    pub fn begin_look(&mut self) {
        self.listed = Some(self.kernel.ends());
    }

    /// After a loss, the engine learns what is there while events from before are
    /// still on their way.
    pub fn rescan(&mut self) -> Result<(), String> {
        self.adopt(Some(self.kernel.now))
    }

    /// Takes in what the kernel has just done.
    pub fn happened(&mut self) -> Result<Vec<Finding>, String> {
        for event in std::mem::take(&mut self.kernel.events) {
            if self.lose > 0 {
                self.lose -= 1;
                self.lost = true;
            } else {
                self.ring.push(event);
            }
        }
        if std::mem::take(&mut self.kernel.urgent) {
            return self.pass();
        }
        Ok(Vec::new())
    }

    /// Lets time go by until then, or until there is something to report.
    pub fn advance(&mut self, until: Ktime) -> Result<Vec<Finding>, String> {
        while self.attached {
            let look = self.engine.next_look().unwrap_or(self.tick);
            let wake = self.tick.min(look).max(self.kernel.now);
            if until < wake {
                break;
            }
            self.kernel.now = wake;
            let findings = self.pass()?;
            if !findings.is_empty() {
                return Ok(findings);
            }
        }
        self.kernel.now = self.kernel.now.max(until);
        Ok(Vec::new())
    }

    /// Reported waits that are not over.
    pub fn open_waits(&self) -> usize {
        self.open.len()
    }

    /// One round of the loop.
    fn pass(&mut self) -> Result<Vec<Finding>, String> {
        let now = self.kernel.now;
        if !self.attached {
            return Ok(Vec::new());
        }
        let mut findings = Vec::new();
        for event in std::mem::take(&mut self.ring) {
            findings.extend(self.tell(Input::Event(event))?);
        }
        if self.tick <= now {
            self.tick = now.after(TICK);
            for (actor, table, sleep) in self.kernel.sleeps() {
                self.tell(Input::Sleeping {
                    actor,
                    table,
                    sleep,
                })?;
            }
            if self.polls <= now {
                self.polls = now.after(POLLS);
                self.see_polls()?;
            }
            if std::mem::take(&mut self.lost) {
                self.adopt(Some(now))?;
            }
        }
        if self.is_due(now) {
            self.looks += 1;
            let tasks = self.kernel.tasks();
            self.tell(Input::Tasks { tasks, now })?;
        }
        if self.is_due(now) {
            if self.engine.due(now).any(|(_, pipe)| pipe.is_some()) {
                self.see_polls()?;
            }
            let tasks = self.kernel.tasks();
            let due: Vec<End> = self.engine.in_question(now, now).collect();
            let asked = lone_reads(&tasks).chain(due.iter().copied());
            let asked: BTreeSet<PipeId> = asked.map(|end| end.pipe).collect();
            let ends = self.listed.take();
            let mut ends = ends.unwrap_or_else(|| self.kernel.ends());
            ends.retain(|row| asked.contains(&row.end.pipe));
            let snapshot = Snapshot::new(&tasks, ends, tasks.clone()).of(due);
            findings.extend(self.tell(Input::Look { snapshot, now })?);
            self.arm();
        }
        if self.is_due(now) {
            return Err("the engine wants another look at the same moment".to_owned());
        }
        Ok(findings)
    }

    fn see_polls(&mut self) -> Result<(), String> {
        for row in self.kernel.tasks() {
            let doubtful = self.engine.is_doubtful(row.table);
            let (Some(polled), Some(nvcsw), true) = (row.multiplexed, row.asleep, doubtful) else {
                continue;
            };
            self.tell(Input::Polling {
                actor: row.actor,
                table: row.table,
                fds: vec![Fd(polled.set as u32)],
                alone: polled.call == Call::Poll,
                call: polled.call,
                since: polled.since,
                nvcsw,
                now: self.kernel.now,
            })?;
        }
        self.arm();
        Ok(())
    }

    fn arm(&mut self) {
        for arm in self.engine.take_arms() {
            self.kernel.arm(arm);
        }
    }

    fn is_due(&self, now: Ktime) -> bool {
        self.engine.due(now).next().is_some()
    }

    fn adopt(&mut self, lost: Option<Ktime>) -> Result<(), String> {
        let watched = |process: ProcKey| self.kernel.is_watched(process.pid);
        let tasks = self.kernel.tasks();
        let snapshot = Snapshot::new(&tasks, self.kernel.ends(), tasks.clone()).only(watched);
        self.tell(Input::Adopt { snapshot, lost }).map(drop)
    }

    fn tell(&mut self, input: Input) -> Result<Vec<Finding>, String> {
        let findings = self.engine.take(&input);
        let watched = |process: ProcKey| self.kernel.is_watched(process.pid);
        let recorded = match input {
            Input::Look { snapshot, now } => Input::Look {
                snapshot: snapshot.concerning(watched),
                now,
            },
            Input::Tasks { mut tasks, now } => {
                tasks.retain(|row| watched(row.actor.process));
                Input::Tasks { tasks, now }
            }
            Input::Adopt { .. }
            | Input::Event(_)
            | Input::Sleeping { .. }
            | Input::Polling { .. } => input,
        };
        let again = self.replay.take(&recorded);
        if findings != again {
            return Err(format!("{findings:#?}\nbut replayed {again:#?}"));
        }
        findings
            .iter()
            .try_for_each(|finding| self.check(finding))?;
        Ok(findings)
    }

    /// What holds of every finding, whatever the story.
    fn check(&mut self, finding: &Finding) -> Result<(), String> {
        let (hang, is_new) = match finding {
            Finding::Hang(hang) => (hang, true),
            Finding::Update(hang) => (hang, false),
            Finding::Resolved(resolved) => {
                return match self.open.remove(&resolved.id) {
                    Some((_, alarmed)) if alarmed == resolved.alarmed => Ok(()),
                    before => Err(format!("{resolved:?}, but before: {before:?}")),
                };
            }
        };
        let problem = |what: &str| Err(format!("{what}: {hang:#?}"));
        let healthy = hang.verdict == Verdict::Waiting;
        let before = self.open.remove(&hang.id);
        let alarmed = !healthy || before.is_some_and(|(_, alarmed)| alarmed);
        if !healthy {
            let reader = hang.reader.actor.tid;
            self.accused.insert((reader, hang.channel.id));
        }
        self.open.insert(hang.id, (hang.verdict, alarmed));
        match (is_new, before) {
            (true, Some((Verdict::Waiting, _))) if !healthy => {}
            (true, Some(_)) => return problem("reported twice"),
            (false, None) => return problem("an update of what was not reported"),
            (true, None) | (false, Some(_)) => {}
        }
        if hang.time.since(hang.reader.since) < self.rules.threshold {
            return problem("reported before the threshold");
        }
        let times = hang.timeline.iter().map(|step| step.act.time);
        if !times.is_sorted() {
            return problem("the timeline is not in order of time");
        }
        if hang.holders.iter().any(|h| h.process.pid == OWN) || hang.reader.actor.process.pid == OWN
        {
            return problem("pipewatch reports itself");
        }
        if self.kernel.reads(hang.reader.actor.tid) != Some(hang.channel.id) {
            return problem("the reader does not sleep there");
        }
        let held: BTreeSet<Pid> = self
            .kernel
            .ends()
            .iter()
            .filter(|row| row.end.pipe == hang.channel.id && row.end.mode.write)
            .map(|row| row.actor.process.pid)
            .filter(|pid| *pid != OWN)
            .collect();
        let told: BTreeSet<Pid> = hang.holders.iter().map(|h| h.process.pid).collect();
        if held != told {
            return problem(&format!("held by {held:?}, but told"));
        }
        Ok(())
    }
}
