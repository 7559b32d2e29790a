//! Events that were lost: mended at once, told now and then.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::{
    clock,
    finding::{Lost, Report},
    output::say,
    problem::Problem,
    render::top::Gauges,
    trace_file::Entry,
};

/// How often a loss is reported while it goes on.
const PERIOD: Duration = Duration::from_secs(1);

impl Session {
    /// Reads the tables anew if events were lost since this was asked last.
    pub(super) fn mend(&mut self) -> Result<(), Problem> {
        let counters = self.host.source.counters();
        let lost = counters.lost() - self.counters.lost();
        let full = counters.map_full > self.counters.map_full;
        self.counters = counters;
        if lost > 0 || full {
            // What is not watched for want of room is as good as lost.
            self.drain()?;
            self.host.source.watch_families_again()?;
            self.adopt(Some(clock::now()), &[])?;
            self.untold += lost;
        }
        if full && !self.full_warned {
            self.full_warned = true;
            say(
                "warning: more processes than pipewatch has room for; some are not watched\n\
                 hint: watch fewer with --pid",
            );
        }
        Ok(())
    }

    /// Tells how the run goes, as of the last look at what was lost.
    pub(super) fn gauge(&mut self) {
        self.reports.gauge(Gauges {
            watched: self.engine.watched(),
            pipes: self.engine.pipes(),
            events: self.counters.events,
            lost_events: self.counters.lost() + self.unreadable,
        });
    }

    /// Reports events that were lost, unless that was done a moment ago.
    pub(super) fn tell_lost_in_time(&mut self) -> Result<(), Problem> {
        if self.lost_told.elapsed() < PERIOD {
            return Ok(());
        }
        self.tell_lost()
    }

    /// Reports events that were lost, unless all have been told.
    pub(super) fn tell_lost(&mut self) -> Result<(), Problem> {
        let events = std::mem::take(&mut self.untold);
        if events == 0 {
            return Ok(());
        }
        self.lost_told = Instant::now();
        let lost = Lost {
            time: clock::now(),
            events,
            rescanned: true,
        };
        self.record(|_| Entry::Lost(lost))?;
        self.report(Report::Lost(lost))
    }
}
