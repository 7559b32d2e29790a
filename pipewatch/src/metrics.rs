//! Numbers of a run for Prometheus, and where they are scraped (docs/fleets.md).

mod http;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Registry, Unit},
};

pub use self::http::{Door, address};
use crate::{finding::WaitId, ids::Ktime};

/// Numbers that change while they are read by others.
#[derive(Debug)]
pub struct Metrics {
    hangs: Family<Kind, Counter>,
    events: Counter,
    lost_events: Counter,
    watched: Gauge<u64, AtomicU64>,
    open: Arc<Open>,
}

/// What hangs are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    verdict: &'static str,
    cause: &'static str,
}

/// The hangs that go on, and since when each waits. How long that is depends on when
/// it is asked.
#[derive(Debug)]
struct Open {
    since: Mutex<BTreeMap<WaitId, Ktime>>,
    now: fn() -> Ktime,
}

impl Metrics {
    /// All is zero. `now`: the clock that waits are stamped by.
    pub fn new(now: fn() -> Ktime) -> Self {
        Self {
            hangs: Family::default(),
            events: Counter::default(),
            lost_events: Counter::default(),
            watched: Gauge::default(),
            open: Arc::new(Open {
                since: Mutex::default(),
                now,
            }),
        }
    }

    /// A hang begins to be told, in the words of the contract.
    pub fn hang(&self, id: WaitId, since: Ktime, verdict: &'static str, cause: &'static str) {
        self.hangs.get_or_create(&Kind { verdict, cause }).inc();
        self.open.since().insert(id, since);
    }

    /// A wait is over, if it was a hang.
    pub fn resolved(&self, id: WaitId) {
        self.open.since().remove(&id);
    }

    /// How many processes are watched, how many events came since the start, and how many
    /// were lost.
    pub fn measure(&self, watched: u64, events: u64, lost_events: u64) {
        self.watched.set(watched);
        self.events.inner().store(events, Relaxed);
        self.lost_events.inner().store(lost_events, Relaxed);
    }

    /// All of them, as they will be when it is read; of a run of this version and backend.
    fn registry(&self, version: &str, backend: &str) -> Registry {
        let mut registry = Registry::with_prefix("pipewatch");
        let labels = [("version", version), ("backend", backend)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        registry.register("build", "This pipewatch", Info::new(labels));
        let hangs = "Hangs that were reported";
        registry.register("hangs", hangs, self.hangs.clone());
        registry.register_collector(Box::new(Arc::clone(&self.open)));
        let events = "Events that came from the kernel";
        registry.register("events", events, self.events.clone());
        let lost = "Events that were lost on the way";
        registry.register("lost_events", lost, self.lost_events.clone());
        let watched = "Processes that are watched now";
        registry.register("watched_processes", watched, self.watched.clone());
        registry
    }
}

impl Open {
    fn since(&self) -> MutexGuard<'_, BTreeMap<WaitId, Ktime>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Open {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (open, first) = {
            let since = self.since();
            (since.len() as u64, since.values().min().copied())
        };
        let longest = first.map_or(0, |first| (self.now)().since(first));
        let (name, help) = ("open_hangs", "Hangs that go on now.");
        let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(open).encode(gauge)?;
        let (name, unit) = ("longest_open_hang", Some(&Unit::Seconds));
        let help = "How long the oldest of the open hangs has waited, 0 if there is none.";
        let gauge = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(longest as f64 / 1e9).encode(gauge)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        text::encode(&mut text, &metrics.registry("1.2.3", "kprobe")).expect("a text");
        text
    }

    #[test]
    fn a_run_in_numbers() {
        let metrics = Metrics::new(|| Ktime(5_500_000_000));
        let before = text(&metrics);
        for line in [
            "pipewatch_build_info{version=\"1.2.3\",backend=\"kprobe\"} 1",
            "pipewatch_open_hangs 0",
            "pipewatch_longest_open_hang_seconds 0.0",
            "pipewatch_events_total 0",
        ] {
            assert!(before.lines().any(|it| it == line), "no {line} in {before}");
        }
        metrics.hang(1, Ktime(2_000_000_000), "leaked", "fork-race");
        metrics.hang(2, Ktime(1_000_000_000), "leaked", "fork-race");
        metrics.hang(3, Ktime(3_000_000_000), "orphaned", "exec");
        metrics.measure(7, 100, 3);
        metrics.resolved(2);
        // Of a healthy wait.
        metrics.resolved(9);
        let after = text(&metrics);
        for line in [
            "pipewatch_hangs_total{verdict=\"leaked\",cause=\"fork-race\"} 2",
            "pipewatch_hangs_total{verdict=\"orphaned\",cause=\"exec\"} 1",
            "pipewatch_open_hangs 2",
            "pipewatch_longest_open_hang_seconds 3.5",
            "pipewatch_events_total 100",
            "pipewatch_lost_events_total 3",
            "pipewatch_watched_processes 7",
            "# EOF",
        ] {
            assert!(after.lines().any(|it| it == line), "no {line} in {after}");
        }
    }
}
