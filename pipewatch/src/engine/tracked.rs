//! A wait that is looked at again until it is over.

use std::collections::BTreeMap;

use crate::{
    correlate::{Judgement, Wait},
    event::{Arm, Kind},
    finding::{Cause, Certainty, Confidence, Finding, FreedBy, Outcome, Resolved, Verdict, WaitId},
    ids::{Ktime, PipeId, ProcKey, Tid},
};

pub(super) const MS: u64 = 1_000_000;
/// How soon after a change or an inconclusive wake-up a wait is looked at, so
/// that what belongs together has happened by then.
pub(super) const SETTLE: u64 = 20 * MS;
/// How often a thread is looked at that is stopped, or frozen, in a reported wait.
const PAUSE: u64 = 200 * MS;
/// How often a wait is looked at though nothing seen has changed: all of them at the
/// same moments, since it is the snapshot that costs.
const REFRESH: u64 = 5_000 * MS;
/// One that has long been healthy is looked at in one of so many of these moments.
const SELDOM: u64 = 4;

/// The next of those moments, for a wait that has been healthy for so long.
pub(super) fn refresh(now: Ktime, healthy: u64) -> Ktime {
    // A power of two, so that moments of one kind are moments of the others too.
    let every = (healthy / (4 * REFRESH))
        .clamp(1, SELDOM)
        .next_power_of_two();
    let period = every * REFRESH;
    Ktime((now.0 / period + 1).saturating_mul(period))
}

/// What is said of a wait, and may be said of others on the same channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) verdict: Verdict,
    cause: Cause,
    confidence: Confidence,
    certainty: Certainty,
    /// Who holds a write end, in the order of their ids.
    pub(super) holders: Vec<ProcKey>,
}

impl Said {
    pub(super) fn of(judgement: &Judgement) -> Self {
        let holders = judgement.holders.iter();
        let mut holders: Vec<ProcKey> = holders.map(|holder| holder.process).collect();
        holders.sort_unstable();
        Self {
            verdict: judgement.verdict,
            cause: judgement.cause,
            confidence: judgement.confidence,
            certainty: judgement.certainty,
            holders,
        }
    }
}

/// What was reported of a wait.
#[derive(Clone, Debug)]
pub(super) struct Reported {
    pub(super) id: WaitId,
    /// As last reported.
    pub(super) said: Said,
    /// The one of which it was said first, if that is another.
    pub(super) same_as: Option<WaitId>,
    /// What they do is seen.
    pub(super) watched: bool,
    /// It was a hang at some time, not only a healthy wait.
    pub(super) alarmed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) wait: Wait,
    /// When to look again; `None` once the thread was seen to have gone on.
    pub(super) look: Option<Ktime>,
    /// The last look found what is to be reported.
    pub(super) suspect: bool,
    pub(super) reported: Option<Reported>,
    /// Whether it could be judged, if the last look found no hang.
    pub(super) healthy: Option<bool>,
    /// A wake-up that does not tell by itself whether the wait is over.
    pub(super) woken: Option<Ktime>,
    /// When it was first seen to have gone on; earlier, if it was woken for that.
    pub(super) went_on: Option<Ktime>,
    /// Since when it does not sleep, or there is nothing to wait for any more.
    pub(super) leaving: Option<Ktime>,
    /// When it was last seen to wait for the pipe among others.
    pub(super) seen: Ktime,
    /// The sleep whose end the kernel is to report.
    pub(super) armed: Option<u64>,
}

/// A wait: of a thread in a read, or for a pipe among others. A process that
/// waits by epoll does so as a whole, so it goes by the id of its leader.
pub(super) type Key = (Tid, Option<PipeId>);

/// The first wait of which the same was reported as is said of this one, of those that go
/// on.
pub(super) fn same_as(waits: &BTreeMap<Key, Tracked>, of: Key, said: &Said) -> Option<WaitId> {
    let pipe = waits.get(&of)?.wait.sleep.end.pipe;
    let others = waits
        .iter()
        .filter(|(key, other)| **key != of && other.wait.sleep.end.pipe == pipe);
    let told = others.filter_map(|(_, other)| other.reported.as_ref());
    let same = told.filter(|told| told.same_as.is_none() && told.said == *said);
    same.map(|told| told.id).min()
}

impl Tracked {
    pub(super) fn new(wait: Wait, look: Ktime) -> Self {
        Self {
            wait,
            look: Some(look),
            suspect: false,
            reported: None,
            healthy: None,
            woken: None,
            went_on: None,
            leaving: None,
            seen: wait.sleep.since,
            armed: None,
        }
    }

    /// Looks again later: the longer this lasts, unless the end is to be reported.
    pub(super) fn pause(&mut self, now: Ktime) {
        let longest = self.reported.as_ref().map_or(REFRESH, |_| PAUSE);
        let lasting = now.since(*self.leaving.get_or_insert(now));
        self.look = Some(now.after(lasting.clamp(SETTLE, longest)));
    }

    /// Nothing is to be said of it: looks again when all such are looked at.
    pub(super) fn rest(&mut self, now: Ktime) {
        (self.suspect, self.leaving) = (false, None);
        self.look = Some(refresh(now, now.since(self.wait.sleep.since)));
    }

    pub(super) fn arm(&mut self) -> Arm {
        self.armed = Some(self.wait.sleep.nvcsw);
        Arm {
            tid: self.wait.actor.tid,
            pipe: self.wait.sleep.end.address,
            socket: matches!(self.wait.sleep.end.kind, Kind::Socketpair { .. }),
            among_others: self.wait.sleep.call.is_multiplexed(),
            nvcsw: self.wait.sleep.nvcsw,
        }
    }

    /// The wait is over. What is to be said, if it was reported.
    pub(super) fn finish(
        &mut self,
        time: Ktime,
        outcome: Outcome,
        freed_by: Option<FreedBy>,
    ) -> Option<Finding> {
        self.look = None;
        self.suspect = false;
        self.healthy = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_has_long_been_healthy_is_looked_at_when_others_are() {
        const S: u64 = 1_000 * MS;
        let next = |now: u64, healthy: u64| refresh(Ktime(now * S), healthy * S).0 / S;
        let healthy = [0, 39, 40, 59, 60, 1_000_000];
        assert_eq!(
            healthy.map(|healthy| next(1, healthy)),
            [5, 5, 10, 10, 20, 20]
        );
        assert_eq!(
            healthy.map(|healthy| next(20, healthy)),
            [25, 25, 30, 30, 40, 40]
        );
    }
}
