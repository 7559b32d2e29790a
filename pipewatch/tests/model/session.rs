//! An engine at work on the kernel in memory. Drives it as the real loop does:
//! sleeps and losses are looked at every tick, urgent events and waits that are
//! due at once.

use std::collections::{BTreeMap, BTreeSet};

use pipewatch::{
    engine::{Config, Engine},
    event::{Event, Snapshot},
    finding::{Finding, Verdict},
    ids::{Ktime, Pid},
};

use super::{Kernel, OWN, Watched};

pub const MS: u64 = 1_000_000;
const TICK: u64 = 50 * MS;
/// When stories begin.
pub const BEGIN: Ktime = Ktime(86_400_000 * MS);

/// A run of pipewatch.
#[derive(Debug)]
pub struct Session {
    pub kernel: Kernel,
    pub engine: Engine,
    /// How often the tables of the whole host were read.
    pub snapshots: u64,
    config: Config,
    attached: bool,
    tick: Ktime,
    /// Events on their way to the engine.
    ring: Vec<Event>,
    /// How many of the next events are lost, or kept back, and those that were.
    lose: usize,
    lost: bool,
    hold: usize,
    held: Vec<Event>,
    /// What was reported and is not over.
    open: BTreeMap<u64, Verdict>,
}

impl Session {
    /// With a kernel in which only init runs; not attached yet.
    pub fn new(config: Config) -> Self {
        Self {
            kernel: Kernel::new(BEGIN),
            engine: Engine::new(config),
            snapshots: 0,
            config,
            attached: false,
            tick: BEGIN,
            ring: Vec::new(),
            lose: 0,
            lost: false,
            hold: 0,
            held: Vec::new(),
            open: BTreeMap::new(),
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
    pub fn attach(&mut self) {
        let snapshot = self.snapshot();
        let kernel = &self.kernel;
        self.engine
            .adopt(&snapshot, |process| kernel.is_watched(process.pid), None);
        self.attached = true;
        self.tick = kernel.now.after(TICK);
    }

    /// The next events find the buffer full.
    pub fn lose(&mut self, events: usize) {
        self.lose = events;
    }

    /// The next events are kept back until they are delivered.
    pub fn hold(&mut self, events: usize) {
        self.hold = events;
    }

    /// What was kept back follows what came after it.
    pub fn deliver(&mut self) {
        self.ring.append(&mut self.held);
    }

    /// Takes in what the kernel has just done.
    pub fn happened(&mut self) -> Result<Vec<Finding>, String> {
        for event in std::mem::take(&mut self.kernel.events) {
            if self.lose > 0 {
                self.lose -= 1;
                self.lost = true;
            } else if self.hold > 0 {
                self.hold -= 1;
                self.held.push(event);
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
        let mut findings = self.drain();
        if self.tick <= now {
            self.tick = now.after(TICK);
            for (actor, table, sleep) in self.kernel.sleeps() {
                self.engine.sleeping(actor, table, sleep);
            }
            if std::mem::take(&mut self.lost) {
                self.rescan();
            }
        }
        if self.engine.due(now).next().is_some() && self.engine.still_due(&self.kernel.tasks(), now)
        {
            let snapshot = self.snapshot();
            findings.extend(self.engine.look(&snapshot, now));
            for arm in self.engine.take_arms() {
                self.kernel.arm(arm);
            }
        }
        if self.engine.next_look().is_some_and(|look| look <= now) {
            return Err("the engine wants another look at the same moment".to_owned());
        }
        findings
            .iter()
            .try_for_each(|finding| self.check(finding))?;
        Ok(findings)
    }

    fn drain(&mut self) -> Vec<Finding> {
        let events = std::mem::take(&mut self.ring);
        let ingest = |event: &Event| self.engine.ingest(event);
        events.iter().flat_map(ingest).collect()
    }

    fn rescan(&mut self) {
        let snapshot = self.snapshot();
        let kernel = &self.kernel;
        let watched = |pid| kernel.is_watched(pid);
        self.engine
            .adopt(&snapshot, |process| watched(process.pid), Some(kernel.now));
    }

    fn snapshot(&mut self) -> Snapshot {
        self.snapshots += 1;
        let tasks = self.kernel.tasks();
        Snapshot::new(&tasks, self.kernel.ends(), tasks.clone())
    }

    /// What holds of every finding, whatever the story.
    fn check(&mut self, finding: &Finding) -> Result<(), String> {
        let (hang, is_new) = match finding {
            Finding::Hang(hang) => (hang, true),
            Finding::Update(hang) => (hang, false),
            Finding::Resolved(resolved) => {
                return match self.open.remove(&resolved.id) {
                    Some(_) => Ok(()),
                    None => Err(format!("wait {} resolved, but not open", resolved.id)),
                };
            }
        };
        let problem = |what: &str| Err(format!("{what}: {hang:#?}"));
        let before = self.open.insert(hang.id, hang.verdict);
        if is_new && before.is_some_and(|verdict| verdict != Verdict::Waiting) {
            return problem("a hang is reported twice");
        }
        if !is_new && before.is_none() {
            return problem("an update of what was not reported");
        }
        if hang.time.since(hang.reader.since) < self.config.threshold {
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
        let reads = self.kernel.tasks().into_iter().any(|row| {
            row.actor.tid == hang.reader.actor.tid
                && row
                    .sleep
                    .is_some_and(|sleep| sleep.end.pipe == hang.channel.id)
        });
        if !reads {
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
