//! From facts to findings. Time arrives in events and calls; there is no
//! clock, no file and no failure in here.
//!
//! A wait is looked at shortly before it reaches the threshold. If it looks
//! like a hang then, the kernel is asked to tell when it ends, and a second
//! look at the threshold must confirm it before it is reported. A healthy wait
//! is looked at again when the pipe's holders change, and now and then, since
//! holders that are not watched change unseen.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::{
    correlate::{Evidence, Judgement, Wait, judge},
    event::{Actor, Doing, Event, Fact, Sleep, Snapshot, TaskRow},
    finding::{Finding, FreedBy, FreedHow, Hang, Outcome, Resolved, Verdict, WaitId},
    ids::{Ktime, PipeId, ProcKey, TableId, Tid},
    input::Input,
    rules::Rules,
    world::World,
};

const MS: u64 = 1_000_000;
/// How long before the threshold a wait gets its first look.
const LEAD: u64 = 100 * MS;
/// How soon after a change or an inconclusive wake-up a wait is looked at, so
/// that what belongs together has happened by then.
const SETTLE: u64 = 20 * MS;
/// How often a wait is looked at though nothing seen has changed.
const REFRESH: u64 = 5_000 * MS;

/// A sleeper whose wake-up the kernel is to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The thread.
    pub tid: Tid,
    /// Address of the pipe.
    pub pipe: u64,
    /// The sleep, to be handed back.
    pub nvcsw: u64,
}

/// What was reported of a wait.
#[derive(Clone, Debug)]
struct Reported {
    id: WaitId,
    verdict: Verdict,
    /// Holders as last reported.
    holders: Vec<ProcKey>,
    /// It was a hang at some time, not only a healthy wait.
    alarmed: bool,
}

#[derive(Clone, Debug)]
struct Tracked {
    wait: Wait,
    /// When to look again; `None` once the thread was seen to have gone on.
    look: Option<Ktime>,
    /// The last look found what is to be reported.
    suspect: bool,
    reported: Option<Reported>,
    /// A wake-up that does not tell by itself whether the wait is over.
    woken: Option<Ktime>,
}

impl Tracked {
    fn arm(&self) -> Arm {
        Arm {
            tid: self.wait.actor.tid,
            pipe: self.wait.sleep.end.address,
            nvcsw: self.wait.sleep.nvcsw,
        }
    }

    /// The wait is over. What is to be said, if it was reported.
    fn finish(
        &mut self,
        time: Ktime,
        outcome: Outcome,
        freed_by: Option<FreedBy>,
    ) -> Option<Finding> {
        self.look = None;
        self.suspect = false;
        let reported = self.reported.take()?;
        Some(Finding::Resolved(Resolved {
            id: reported.id,
            time,
            outcome,
            blocked: time.since(self.wait.sleep.since),
            freed_by,
            reader: self.wait.actor,
            fd: self.wait.sleep.end.fd,
            alarmed: reported.alarmed,
        }))
    }
}

/// The judgement over time.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    world: World,
    waits: BTreeMap<Tid, Tracked>,
    arms: Vec<Arm>,
    last_id: WaitId,
    /// When events were last known to be missing.
    lost: Option<Ktime>,
}

impl Engine {
    /// Knows nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            world: World::new(rules.own),
            waits: BTreeMap::new(),
            arms: Vec::new(),
            last_id: 0,
            lost: None,
        }
    }

    /// Nothing that is watched lives any more.
    pub fn is_idle(&self) -> bool {
        self.world.is_empty()
    }

    /// Takes in whatever it is told.
    pub fn take(&mut self, input: &Input) -> Vec<Finding> {
        match input {
            Input::Adopt { snapshot, lost } => self.adopt(snapshot, *lost),
            Input::Event(event) => return self.ingest(event),
            Input::Sleeping {
                actor,
                table,
                sleep,
            } => self.sleeping(*actor, *table, *sleep),
            Input::Tasks { tasks, now } => self.dismiss(tasks, *now),
            Input::Look { snapshot, now } => return self.look(snapshot, *now),
        }
        Vec::new()
    }

    /// Takes over the state of watched processes from the kernel's tables.
    /// The snapshot shows nothing else; `lost` tells that events from before
    /// that moment are missing.
    pub fn adopt(&mut self, snapshot: &Snapshot, lost: Option<Ktime>) {
        self.lost = lost.or(self.lost);
        self.world.adopt(snapshot);
        for row in &snapshot.tasks {
            if let Some(sleep) = row.sleep {
                self.sleeping(row.actor, row.table, sleep);
            }
        }
    }

    /// Takes in what happened.
    pub fn ingest(&mut self, event: &Event) -> Vec<Finding> {
        self.world.apply(event);
        for pipe in self.world.take_changed() {
            self.touch(pipe, event.time);
        }
        let finding = match event.fact {
            Fact::Wake {
                sleeper,
                nvcsw,
                writers,
                buffered,
                doing,
            } => self.woken(event, sleeper, nvcsw, writers, buffered, doing),
            Fact::Exit { .. } => match self.waits.entry(event.actor.tid) {
                Entry::Occupied(wait) if wait.get().wait.actor.process == event.actor.process => {
                    wait.remove().finish(event.time, Outcome::ReaderGone, None)
                }
                Entry::Occupied(_) | Entry::Vacant(_) => None,
            },
            Fact::Fork { .. }
            | Fact::Entry { .. }
            | Fact::Walked { .. }
            | Fact::Exec
            | Fact::Unshare
            | Fact::Create { .. }
            | Fact::Close { .. }
            | Fact::CloseRange { .. }
            | Fact::Dup { .. }
            | Fact::SetCloexec { .. } => None,
        };
        finding.into_iter().collect()
    }

    /// A watched thread sleeps, or slept lately, in a read of a pipe. May be
    /// told of the same sleep many times.
    pub fn sleeping(&mut self, actor: Actor, table: TableId, sleep: Sleep) {
        let pipe = sleep.end.pipe;
        if let Some(tracked) = self.waits.get_mut(&actor.tid) {
            let last = &mut tracked.wait;
            if last.sleep.nvcsw == sleep.nvcsw && last.actor.process == actor.process {
                return;
            }
            // Asleep again, and not a byte has come meanwhile: one wait, which
            // a signal interrupted.
            let same = last.sleep.is_continued_by(&sleep) && last.actor.process == actor.process;
            if same && tracked.look.is_some() {
                last.sleep = Sleep {
                    since: last.sleep.since,
                    ..sleep
                };
                return;
            }
            if tracked.reported.is_some() {
                // Its end was not seen; the next look finds that out.
                tracked.look = Some(sleep.since);
                return;
            }
        }
        if let Some(pipe) = self.world.pipe_mut(pipe) {
            pipe.see_head(sleep.end.head);
        }
        let lead = LEAD.min(self.rules.threshold / 2);
        let tracked = Tracked {
            wait: Wait {
                actor,
                table,
                sleep,
            },
            look: Some(sleep.since.after(self.rules.threshold - lead)),
            suspect: false,
            reported: None,
            woken: None,
        };
        self.waits.insert(actor.tid, tracked);
    }

    /// When the next wait is due for a look, if any is.
    pub fn next_look(&self) -> Option<Ktime> {
        self.waits.values().filter_map(|tracked| tracked.look).min()
    }

    /// Threads that are due for a look now.
    pub fn due(&self, now: Ktime) -> impl Iterator<Item = Tid> {
        let due = move |tracked: &Tracked| tracked.look.is_some_and(|look| look <= now);
        self.waits
            .iter()
            .filter(move |(_, tracked)| due(tracked))
            .map(|(tid, _)| *tid)
    }

    /// Drops the waits that are due and over, as a list of threads shows, unless
    /// their end is to be reported.
    pub fn dismiss(&mut self, tasks: &[TaskRow], now: Ktime) {
        let tasks: BTreeMap<Tid, &TaskRow> = tasks.iter().map(|row| (row.actor.tid, row)).collect();
        for (tid, tracked) in &mut self.waits {
            let wait = &tracked.wait.sleep;
            let over = !tasks.get(tid).is_some_and(|row| row.continues(wait));
            if over && tracked.reported.is_none() && tracked.look.is_some_and(|look| look <= now) {
                tracked.look = None;
            }
        }
    }

    /// Sleepers whose wake-up the kernel is to report from now on, since the
    /// last call.
    pub fn take_arms(&mut self) -> Vec<Arm> {
        std::mem::take(&mut self.arms)
    }

    /// Judges every wait that is due. The snapshot must be newer than all that
    /// was ingested when it was begun, and all that happened until it was
    /// complete must have been ingested since.
    pub fn look(&mut self, snapshot: &Snapshot, now: Ktime) -> Vec<Finding> {
        let evidence = Evidence::new(snapshot, self.rules.own, self.lost);
        let due: Vec<Tid> = self.due(now).collect();
        due.into_iter()
            .filter_map(|tid| self.look_at(tid, &evidence, now))
            .collect()
    }

    fn look_at(&mut self, tid: Tid, evidence: &Evidence<'_>, now: Ktime) -> Option<Finding> {
        let tracked = self.waits.get_mut(&tid)?;
        let task = evidence.task(tid);
        let alive =
            |task: &&TaskRow| task.actor.process == tracked.wait.actor.process && task.is_alive();
        let task = task.filter(alive);
        let Some(task) = task else {
            return self
                .waits
                .remove(&tid)
                .and_then(|mut gone| gone.finish(now, Outcome::ReaderGone, None));
        };
        tracked.wait.actor.comm = task.actor.comm;
        if !task.continues(&tracked.wait.sleep) {
            return self.gone_on(tid, evidence, now);
        }
        if let Some(nvcsw) = task.asleep {
            tracked.wait.sleep.nvcsw = nvcsw;
        }
        tracked.woken = None;
        match judge(&tracked.wait, evidence, &mut self.world) {
            Some(judgement) => self.judged(tid, judgement, now),
            None => {
                // About to go on; if it does not, somebody else took the bytes.
                tracked.look = Some(now.after(SETTLE));
                None
            }
        }
    }

    /// The thread does not sleep where it slept.
    fn gone_on(&mut self, tid: Tid, evidence: &Evidence<'_>, now: Ktime) -> Option<Finding> {
        let tracked = self.waits.get_mut(&tid)?;
        let end = tracked.wait.sleep.end;
        let rows = evidence.ends(end.pipe);
        let outcome = match rows.first() {
            Some(row) if row.end.head != end.head => Outcome::Data,
            Some(row) if row.writers > 0 => Outcome::Interrupted,
            Some(_) | None => Outcome::Eof,
        };
        tracked.finish(tracked.woken.unwrap_or(now), outcome, None)
    }

    fn judged(&mut self, tid: Tid, judgement: Judgement, now: Ktime) -> Option<Finding> {
        let tracked = self.waits.get_mut(&tid)?;
        let healthy = judgement.verdict == Verdict::Waiting;
        let told = tracked.reported.as_ref().map(|reported| reported.verdict);
        let worth = if healthy {
            self.rules.healthy
        } else {
            judgement.confidence >= self.rules.min_confidence
        };
        // An alarm must be confirmed, also where the same wait was reported as
        // healthy; to take one back, or to name other holders, needs less.
        let needs_proof = told.is_none() || (told == Some(Verdict::Waiting) && !healthy);
        if needs_proof && !worth {
            tracked.suspect = false;
            tracked.look = Some(now.after(REFRESH));
            return None;
        }
        self.arms.push(tracked.arm());
        let ripe = judgement.since.after(self.rules.threshold);
        if needs_proof && (!tracked.suspect || now < ripe) {
            tracked.suspect = true;
            tracked.look = Some(ripe.max(now.after(SETTLE)));
            return None;
        }
        tracked.suspect = false;
        tracked.look = Some(now.after(REFRESH));
        let holders = judgement
            .holders
            .iter()
            .map(|holder| holder.process)
            .collect();
        let id = match &tracked.reported {
            Some(last) if last.verdict == judgement.verdict && last.holders == holders => {
                return None;
            }
            Some(last) => last.id,
            None => {
                self.last_id += 1;
                self.last_id
            }
        };
        let alarmed = tracked.reported.as_ref().map(|last| last.alarmed);
        tracked.reported = Some(Reported {
            id,
            verdict: judgement.verdict,
            holders,
            alarmed: !healthy || alarmed == Some(true),
        });
        let hang = hang(id, judgement, now);
        // A hang is news once: at first, or when a healthy wait has turned.
        let news = alarmed.is_none() || (alarmed == Some(false) && !healthy);
        Some(if news {
            Finding::Hang(hang)
        } else {
            Finding::Update(hang)
        })
    }

    /// A pipe's holders changed: what was said of its readers may not hold.
    fn touch(&mut self, pipe: PipeId, time: Ktime) {
        for tracked in self
            .waits
            .values_mut()
            .filter(|t| t.wait.sleep.end.pipe == pipe)
        {
            // Earlier than planned, but not before it could be a hang at all.
            if tracked.suspect
                || tracked.reported.is_some()
                || self.rules.threshold <= time.since(tracked.wait.sleep.since)
            {
                tracked.look = tracked.look.map(|look| look.min(time.after(SETTLE)));
            }
        }
    }

    fn woken(
        &mut self,
        event: &Event,
        sleeper: Tid,
        nvcsw: u64,
        writers: u32,
        buffered: bool,
        doing: Doing,
    ) -> Option<Finding> {
        let tracked = self.waits.get_mut(&sleeper)?;
        if tracked.wait.sleep.nvcsw != nvcsw {
            return None;
        }
        let (outcome, freed_by) = if writers == 0 {
            (Outcome::Eof, freed_by(event.actor, doing))
        } else if buffered {
            (Outcome::Data, None)
        } else {
            tracked.woken = Some(event.time);
            tracked.look = Some(event.time.after(SETTLE));
            return None;
        };
        tracked.finish(event.time, outcome, freed_by)
    }
}

fn freed_by(waker: Actor, doing: Doing) -> Option<FreedBy> {
    let how = match doing {
        Doing::Call => FreedHow::Close,
        Doing::Exec => FreedHow::Exec,
        Doing::Exit => FreedHow::Exit,
        Doing::Kernel => return None,
    };
    Some(FreedBy {
        pid: waker.process.pid,
        comm: waker.comm,
        how,
    })
}

fn hang(id: WaitId, judgement: Judgement, time: Ktime) -> Box<Hang> {
    Box::new(Hang {
        id,
        time,
        verdict: judgement.verdict,
        cause: judgement.cause,
        confidence: judgement.confidence,
        certainty: judgement.certainty,
        reader: judgement.reader,
        channel: judgement.channel,
        holders: judgement.holders,
        timeline: judgement.timeline,
        why: judgement.why,
        hint: judgement.hint,
    })
}
