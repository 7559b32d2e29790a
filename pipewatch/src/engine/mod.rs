//! From facts to findings. Time arrives in events and calls; there is no
//! clock, no file and no failure in here.
//!
//! A wait is looked at shortly before it reaches the threshold. If it looks
//! like a hang then, the kernel is asked to tell when it ends, and a second
//! look at the threshold must confirm it before it is reported. A healthy wait
//! is looked at again when the pipe's holders change, and now and then, since
//! holders that are not watched change unseen.

mod state;
mod tracked;

use std::collections::{BTreeMap, BTreeSet};

use self::tracked::{Key, MS, Reported, SETTLE, Said, Tracked, refresh, same_as};
use crate::{
    correlate::{Evidence, Judgement, Wait, is_plainly_healthy, judge},
    event::{Actor, Arm, Doing, EndRow, Event, Fact, Sleep, Snapshot, TaskRow},
    finding::{Finding, FreedBy, FreedHow, Hang, Outcome, Verdict, WaitId},
    ids::{Ktime, PipeId, TableId, Tid},
    input::Input,
    rules::Rules,
    world::World,
};

/// How long before the threshold a wait gets its first look, or half as much again.
const LEAD: u64 = 100 * MS;
/// So long a thread that was woken for nothing and has not slept since may be on
/// its way to die of a signal.
const DYING: u64 = 200 * MS;
/// A thread that waits for a pipe among others was seen to do so this short a
/// time ago, or does not any more. It may be awake for a moment between two
/// calls, when somebody looks.
const UNSEEN: u64 = 1_000 * MS;

/// The judgement over time.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    world: World,
    waits: BTreeMap<Key, Tracked>,
    arms: Vec<Arm>,
    last_id: WaitId,
    /// When the threads were last listed, as it is done before each look.
    listed: Ktime,
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
            listed: Ktime(0),
            lost: None,
        }
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
            Input::Polling {
                actor,
                table,
                fds,
                alone,
                call,
                since,
                nvcsw,
                now,
            } => {
                for fd in fds {
                    let Some(end) = self.world.doubtful(*table, *fd) else {
                        continue;
                    };
                    // An epoll set has files, and others may add to it.
                    if !call.is_of_process()
                        && self
                            .world
                            .may_be_replaced(*table, *fd, *actor, *since, self.lost)
                    {
                        continue;
                    }
                    let sleep = Sleep {
                        since: *since,
                        end,
                        call: *call,
                        nvcsw: *nvcsw,
                        previous: None,
                    };
                    let wait = Wait {
                        actor: *actor,
                        table: *table,
                        sleep,
                        alone: *alone,
                    };
                    self.polling(wait, *now);
                }
            }
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
        self.world.adopt(snapshot, lost);
        if self.waits.is_empty() {
            // Nobody is waiting whom it concerns what has changed.
            self.world.take_changed();
        }
        // Threads may have ended unseen.
        let present: BTreeSet<Tid> = snapshot.tasks.iter().map(|row| row.actor.tid).collect();
        self.waits
            .retain(|(tid, _), tracked| tracked.look.is_some() || present.contains(tid));
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
                address,
                writers,
                buffered,
                doing,
            } => {
                let armed = |tracked: &Tracked| {
                    let wait = &tracked.wait;
                    (wait.actor.tid, wait.sleep.end.address, tracked.armed)
                };
                let wanted = (sleeper, address, Some(nvcsw));
                let mut waits = self.waits.iter();
                let key = waits.find_map(|(key, wait)| (armed(wait) == wanted).then_some(*key));
                key.and_then(|key| self.woken(key, event, writers, buffered, doing))
            }
            Fact::Exit { last } => return self.ended(event, last),
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

    /// A thread has ended, and with it what it waited for; a process that waited
    /// as a whole ends with its last one.
    fn ended(&mut self, event: &Event, last: bool) -> Vec<Finding> {
        let Actor { process, tid, .. } = event.actor;
        let over = |wait: &Wait| {
            let whole = wait.sleep.call.is_of_process();
            wait.actor.process == process && if whole { last } else { wait.actor.tid == tid }
        };
        // Waits go by the thread, or by the leader of its process.
        let of = |tid| {
            self.waits
                .range((tid, None)..)
                .take_while(move |(key, _)| key.0 == tid)
        };
        let waits = of(tid).chain(of(Tid(process.pid.0)));
        let keys: Vec<Key> = waits.map(|(key, _)| *key).collect();
        let mut findings = Vec::new();
        for key in keys {
            if self
                .waits
                .get(&key)
                .is_some_and(|tracked| over(&tracked.wait))
            {
                let Some(mut gone) = self.waits.remove(&key) else {
                    continue;
                };
                // Nobody could write any more, and it had been woken, if only by
                // another of those it waits for: it went on before it ended. Not
                // so if its own end took its own copy.
                let let_go = gone.reported.as_ref().is_some_and(|reported| {
                    let holders = &reported.said.holders;
                    reported.watched && !holders.is_empty() && !holders.contains(&process)
                });
                let went_on =
                    gone.woken.or(gone.went_on).is_some() || gone.wait.sleep.call.is_multiplexed();
                let freed = went_on && let_go && !self.world.has_writer(gone.wait.sleep.end.pipe);
                let outcome = if freed {
                    Outcome::Eof
                } else {
                    Outcome::ReaderGone
                };
                findings.extend(gone.finish(event.time, outcome, None));
            }
        }
        findings
    }

    /// A watched thread waits for a pipe among others. May be told of the same
    /// wait many times; it lasts, though the thread wakes up now and then.
    fn polling(&mut self, mut wait: Wait, now: Ktime) {
        // Told is since when the thread has not been given a CPU, which is before
        // what it did last.
        let pipe = self.world.pipe(wait.sleep.end.pipe);
        let acted = pipe.and_then(|pipe| pipe.last_act_of(wait.actor.process));
        wait.sleep.since = acted.map_or(wait.sleep.since, |acted| wait.sleep.since.max(acted));
        let Wait { actor, sleep, .. } = wait;
        let whole = sleep.call.is_of_process();
        let tid = if whole {
            Tid(actor.process.pid.0)
        } else {
            actor.tid
        };
        let key = (tid, Some(sleep.end.pipe));
        let lasts = |tracked: &&mut Tracked| {
            let same = tracked.look.is_some() && tracked.wait.actor.process == actor.process;
            let asleep = tracked.wait.sleep.nvcsw == sleep.nvcsw;
            same && (asleep || tracked.reported.is_some() || now.since(tracked.seen) <= UNSEEN)
        };
        if let Some(tracked) = self.waits.get_mut(&key).filter(lasts) {
            let last = &mut tracked.wait;
            if last.actor.tid != actor.tid {
                tracked.armed = None;
            }
            last.actor = actor;
            last.alone = wait.alone;
            last.sleep = Sleep {
                nvcsw: sleep.nvcsw,
                ..last.sleep
            };
            tracked.seen = now;
            // Sockets do not count what is written, so their wake-ups must tell.
            let wanted = tracked.reported.is_some() || tracked.suspect || sleep.end.head.is_none();
            if wanted && tracked.armed.is_none() {
                self.arms.push(tracked.arm());
            }
            return;
        }
        let look = self.first_look(sleep.since);
        let mut tracked = Tracked::new(wait, look.max(now));
        tracked.seen = now;
        if sleep.end.head.is_none() {
            self.arms.push(tracked.arm());
        }
        self.waits.insert(key, tracked);
    }

    /// A watched thread sleeps, or slept lately, in a read of a pipe. May be
    /// told of the same sleep many times.
    pub fn sleeping(&mut self, actor: Actor, table: TableId, sleep: Sleep) {
        let pipe = sleep.end.pipe;
        if let (Some(pipe), Some(previous)) = (self.world.pipe_mut(pipe), sleep.previous) {
            pipe.written_since(previous);
        }
        if let Some(tracked) = self.waits.get_mut(&(actor.tid, None)) {
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
        if let (Some(pipe), Some(head)) = (self.world.pipe_mut(pipe), sleep.end.head) {
            pipe.see_head(head, sleep.since);
        }
        let look = self.first_look(sleep.since);
        let tracked = Tracked::new(
            Wait {
                actor,
                table,
                sleep,
                alone: true,
            },
            look,
        );
        self.waits.insert((actor.tid, None), tracked);
    }

    /// When a wait is to be looked at first: waits that begin one after the other together,
    /// since it is the snapshot that costs.
    fn first_look(&self, since: Ktime) -> Ktime {
        let lead = LEAD.min(self.rules.threshold / 2);
        let period = (lead / 2).max(1);
        let latest = since.after(self.rules.threshold - lead);
        Ktime(latest.0 / period * period)
    }

    /// Drops the waits that are due and over, as a list of threads shows. Those
    /// whose end is to be reported are due, once they are over.
    pub fn dismiss(&mut self, tasks: &[TaskRow], now: Ktime) {
        self.listed = now;
        let tasks: BTreeMap<Tid, &TaskRow> = tasks.iter().map(|row| (row.actor.tid, row)).collect();
        for ((_, pipe), tracked) in &mut self.waits {
            let wait = &tracked.wait;
            let row = tasks.get(&wait.actor.tid);
            if row.is_some_and(|row| row.continues(&wait.sleep)) {
                continue;
            }
            if tracked.reported.is_some() {
                tracked.look = tracked.look.map(|look| look.min(now));
            } else if pipe.is_none() && tracked.look.is_some_and(|look| look <= now) {
                tracked.look = None;
            }
        }
    }

    /// Sleepers whose wake-up the kernel is to report from now on, since the
    /// last call.
    pub fn take_arms(&mut self) -> Vec<Arm> {
        std::mem::take(&mut self.arms)
    }

    /// Judges every wait that is due and whose channel the snapshot shows. That must be
    /// newer than all that was ingested when it was begun, and all that happened until it
    /// was complete must have been ingested since.
    pub fn look(&mut self, snapshot: &Snapshot, now: Ktime) -> Vec<Finding> {
        let evidence = Evidence::new(snapshot, self.rules.own, self.lost);
        // What has become due meanwhile gets its own.
        let shown = |key: &Key| {
            let tracked = self.waits.get(key);
            tracked.is_some_and(|tracked| snapshot.shows(tracked.wait.sleep.end.pipe))
        };
        let judged: Vec<Key> = self.due(now).filter(shown).collect();
        judged
            .into_iter()
            .filter_map(|key| self.look_at(key, &evidence, now))
            .collect()
    }

    fn look_at(&mut self, key: Key, evidence: &Evidence<'_>, now: Ktime) -> Option<Finding> {
        let tracked = self.waits.get_mut(&key)?;
        let whole = tracked.wait.sleep.call.is_of_process();
        let task = if whole {
            evidence
                .threads(tracked.wait.actor.process)
                .first()
                .copied()
        } else {
            evidence.task(tracked.wait.actor.tid)
        };
        let alive =
            |task: &&TaskRow| task.actor.process == tracked.wait.actor.process && task.is_alive();
        let Some(task) = task.filter(alive) else {
            let gone = self.waits.remove(&key);
            return gone.and_then(|mut gone| gone.finish(now, Outcome::ReaderGone, None));
        };
        tracked.wait.actor.comm = task.actor.comm;
        let pipe = tracked.wait.sleep.end.pipe;
        if key.1.is_some() {
            // Told of by what else was seen of it.
            let row = evidence.ends(pipe).first();
            let head = row.map_or(tracked.wait.sleep.end.head, |row| row.end.head);
            let over = row.is_none_or(|row| row.writers == 0);
            if over || now.since(tracked.seen) > UNSEEN {
                return self.gone_on(key, evidence, now);
            }
            let first = !tracked.suspect && tracked.reported.is_none();
            if !first && head != tracked.wait.sleep.end.head {
                return self.gone_on(key, evidence, now);
            }
            // Who polls is looked at anew before each look: it may just have ended that.
            let Wait { actor, sleep, .. } = tracked.wait;
            let poller = evidence.task(actor.tid);
            let asleep = poller.is_some_and(|task| task.continues(&sleep));
            if !asleep && tracked.seen < self.listed {
                tracked.pause(now);
                return None;
            }
            tracked.wait.sleep.end.head = head;
        } else {
            if !task.continues(&tracked.wait.sleep) {
                if task.stopped {
                    // The signal ended its sleep, not its call.
                    tracked.pause(now);
                    return None;
                }
                return self.gone_on(key, evidence, now);
            }
            if let Some(nvcsw) = task.asleep {
                tracked.wait.sleep.nvcsw = nvcsw;
            }
        }
        (tracked.woken, tracked.went_on) = (None, None);
        let silent = tracked.reported.is_none() && !self.rules.healthy;
        if silent && is_plainly_healthy(&tracked.wait, evidence, &self.world) {
            debug_assert!(
                judge(&tracked.wait, evidence, &mut self.world)
                    .is_some_and(|it| it.verdict == Verdict::Waiting && it.judged)
            );
            tracked.healthy = Some(true);
            tracked.rest(now);
            return None;
        }
        match judge(&tracked.wait, evidence, &mut self.world) {
            Some(mut judgement) => {
                tracked.leaving = None;
                for holder in &mut judgement.holders {
                    holder.heir &= !self.rules.ends_command;
                }
                self.judged(key, judgement, now)
            }
            None => {
                tracked.healthy = None;
                // About to go on; if it does not, somebody else took the bytes, or it
                // is frozen.
                tracked.pause(now);
                None
            }
        }
    }

    /// The thread does not wait where it waited.
    fn gone_on(&mut self, key: Key, evidence: &Evidence<'_>, now: Ktime) -> Option<Finding> {
        let runs = evidence
            .task(key.0)
            .is_some_and(|task| task.asleep.is_none());
        let tracked = self.waits.get_mut(&key)?;
        let end = tracked.wait.sleep.end;
        let rows = evidence.ends(end.pipe);
        let outcome = match rows.first() {
            Some(row) if row.end.head != end.head => Outcome::Data,
            // Sockets do not count; it was woken for nothing, or not seen to be.
            Some(row) if row.writers > 0 && end.head.is_none() && tracked.woken.is_none() => {
                Outcome::Data
            }
            Some(row) if row.writers > 0 => Outcome::Interrupted,
            Some(_) | None => Outcome::Eof,
        };
        // Writers were listed before threads were: they may have written or let go since.
        let same = |row: &&EndRow| row.writers > 0 && row.end.head == end.head;
        let told = tracked.reported.is_some();
        let stale = told && tracked.went_on.is_none() && rows.first().is_some_and(same);
        let since = *tracked.went_on.get_or_insert(tracked.woken.unwrap_or(now));
        let dying = outcome == Outcome::Interrupted && runs && now.since(since) < DYING;
        if stale || dying {
            tracked.look = Some(now.after(SETTLE));
            return None;
        }
        self.over(key, since, outcome, None)
    }

    /// A wait of a thread that lives is over. A read is remembered until the next
    /// one, since the same sleep may be told of again.
    fn over(
        &mut self,
        key: Key,
        time: Ktime,
        outcome: Outcome,
        freed_by: Option<FreedBy>,
    ) -> Option<Finding> {
        let finding = self.waits.get_mut(&key)?.finish(time, outcome, freed_by);
        if key.1.is_some() {
            self.waits.remove(&key);
        }
        finding
    }

    fn judged(&mut self, key: Key, judgement: Judgement, now: Ktime) -> Option<Finding> {
        let tracked = self.waits.get_mut(&key)?;
        let healthy = judgement.verdict == Verdict::Waiting;
        tracked.healthy = healthy.then_some(judgement.judged);
        let told = tracked
            .reported
            .as_ref()
            .map(|reported| reported.said.verdict);
        let worth = if healthy {
            self.rules.healthy
        } else {
            judgement.confidence >= self.rules.min_confidence
        };
        // An alarm must be confirmed, also where the same wait was reported as
        // healthy; to take one back, or to name other holders, needs less.
        let needs_proof = told.is_none() || (told == Some(Verdict::Waiting) && !healthy);
        if needs_proof && !worth {
            tracked.rest(now);
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
        tracked.look = Some(refresh(now, 0));
        let said = Said::of(&judgement);
        let id = match &tracked.reported {
            Some(last)
                if last.said.verdict == said.verdict && last.said.holders == said.holders =>
            {
                return None;
            }
            Some(last) => last.id,
            None => {
                self.last_id += 1;
                self.last_id
            }
        };
        let alarmed = tracked.reported.as_ref().map(|last| last.alarmed);
        let same_as = same_as(&self.waits, key, &said);
        let tracked = self.waits.get_mut(&key)?;
        let mut holders = said.holders.iter();
        tracked.reported = Some(Reported {
            id,
            same_as,
            watched: holders.all(|holder| self.world.lives(*holder)),
            said,
            alarmed: !healthy || alarmed == Some(true),
        });
        let hang = hang((id, same_as), judgement, now);
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
        key: Key,
        event: &Event,
        writers: u32,
        buffered: bool,
        doing: Doing,
    ) -> Option<Finding> {
        let tracked = self.waits.get_mut(&key)?;
        tracked.armed = None;
        let (outcome, freed_by) = if writers == 0 {
            (Outcome::Eof, freed_by(event.actor, doing))
        } else if buffered {
            if let Some(pipe) = self.world.pipe_mut(tracked.wait.sleep.end.pipe) {
                pipe.written_since(event.time);
            }
            (Outcome::Data, None)
        } else {
            tracked.woken = Some(event.time);
            tracked.look = Some(event.time.after(SETTLE));
            return None;
        };
        self.over(key, event.time, outcome, freed_by)
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

fn hang((id, same_as): (WaitId, Option<WaitId>), judgement: Judgement, time: Ktime) -> Box<Hang> {
    Box::new(Hang {
        id,
        same_as,
        time,
        verdict: judgement.verdict,
        cause: judgement.cause,
        confidence: judgement.confidence,
        certainty: judgement.certainty,
        judged: judgement.judged,
        reader: judgement.reader,
        channel: judgement.channel,
        holders: judgement.holders,
        timeline: judgement.timeline,
        why: judgement.why,
        hint: judgement.hint,
    })
}
