//! What there is to show: the open waits, and how the run goes.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    finding::{Details, Finding, Hang, Report, Started, Tally, Verdict, WaitId},
    ids::Ktime,
    render::{kept::Kept, phrases, text},
};

/// A rate of events is one of at least so many nanoseconds.
const RATED: u64 = 1_000_000_000;

/// How a run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Watched processes that live.
    pub watched: usize,
    /// Pipes and other channels that are known.
    pub pipes: usize,
    /// Events taken in so far; always 0 where nothing counts them.
    pub events: u64,
    /// Events lost so far.
    pub lost_events: u64,
}

/// An open wait.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) hang: Hang,
    pub(super) details: Kept,
}

impl Wait {
    pub(super) fn hangs(&self) -> bool {
        self.hang.verdict != Verdict::Waiting
    }
}

/// All that there is to show now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    pub(super) started: Option<Started>,
    pub(super) waits: BTreeMap<WaitId, Arc<Wait>>,
    pub(super) tally: Tally,
    pub(super) gauges: Gauges,
    /// Events per second, once it is known.
    pub(super) rate: Option<u64>,
    rated: Option<(Ktime, u64)>,
    /// What ended last, from the longest words for it to the shortest.
    pub(super) last: Vec<String>,
    changes: u64,
}

impl Board {
    /// Takes in a report.
    pub fn take(&mut self, report: &Report, details: &dyn Details) {
        self.changes += 1;
        match report {
            Report::Started(started) => self.started = Some(started.clone()),
            Report::Finding(finding) => {
                self.tally.count(finding);
                match finding {
                    Finding::Hang(hang) | Finding::Update(hang) => {
                        let acts = hang.timeline.iter().map(|step| step.act);
                        let wait = Wait {
                            hang: Hang::clone(hang),
                            details: Kept::of(hang, details, usize::MAX, acts),
                        };
                        self.waits.insert(hang.id, Arc::new(wait));
                    }
                    Finding::Resolved(resolved) => {
                        self.waits.remove(&resolved.id);
                        if resolved.alarmed {
                            self.last = text::resolved_lines(resolved, details).into();
                        }
                    }
                }
            }
            Report::Lost(_) | Report::Stopped(_) => {}
        }
    }

    /// Takes in how the run goes.
    pub fn gauge(&mut self, gauges: Gauges, now: Ktime) {
        let (since, before) = *self.rated.get_or_insert((now, gauges.events));
        let rate = if now.since(since) < RATED {
            self.rate
        } else {
            self.rated = Some((now, gauges.events));
            let events = u128::from(gauges.events.saturating_sub(before)) * u128::from(RATED);
            u64::try_from(events / u128::from(now.since(since))).ok()
        };
        // Nobody sees how many events there were, only how many there are.
        let shown = |gauges: Gauges| Gauges {
            events: 0,
            ..gauges
        };
        if (rate, shown(gauges)) != (self.rate, shown(self.gauges)) {
            self.changes += 1;
        }
        (self.rate, self.gauges) = (rate, gauges);
    }

    /// Another number than before: there is something new to show.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Hangs, and healthy waits, that are open.
    pub fn open(&self) -> (usize, usize) {
        let hangs = self.waits.values().filter(|wait| wait.hangs()).count();
        (hangs, self.waits.len() - hangs)
    }

    /// How the run goes, in a few words; as many as fit into `width` columns.
    pub fn summary(&self, width: usize) -> String {
        let (hangs, waits) = self.open();
        let Gauges {
            watched,
            pipes,
            events,
            lost_events,
        } = self.gauges;
        let count = |number: usize, one, many| phrases::count(number as u64, one, many);
        let mut words = vec![count(hangs, "hang", "hangs")];
        if waits > 0 {
            words.push(count(waits, "wait", "waits"));
        }
        words.push(count(watched, "process", "processes"));
        words.push(count(pipes, "pipe", "pipes"));
        if let Some(rate) = self.rate.filter(|_| events > 0) {
            words.push(format!("{rate} events/s"));
        }
        if lost_events > 0 {
            words.insert(1, format!("{lost_events} lost"));
        }
        while words.len() > 1 && words.join(", ").len() > width {
            words.pop();
        }
        words.join(", ")
    }
}
