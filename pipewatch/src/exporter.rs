//! From reports to the metrics that are scraped.

use std::{net::SocketAddr, sync::Arc, thread};

use crate::{
    clock,
    finding::{Finding, Report, Verdict},
    metrics::{Door, Metrics},
    output::say,
    privileges,
    problem::Problem,
    render::Word as _,
};

/// Keeps the metrics of a run.
pub struct Exporter {
    metrics: Arc<Metrics>,
    /// Until they are served.
    door: Option<Door>,
}

impl Exporter {
    /// Metrics of a run that will begin, to be had at this address.
    ///
    /// # Errors
    ///
    /// They cannot be served there.
    pub fn at(address: SocketAddr) -> Result<Self, Problem> {
        Ok(Self {
            metrics: Arc::new(Metrics::new(clock::now)),
            door: Some(Door::open(address)?),
        })
    }

    /// Counts what is reported. They are served from the first report on.
    pub fn note(&mut self, report: &Report) {
        match report {
            Report::Started(started) => {
                if let Some(door) = self.door.take() {
                    self.serve(door, started.version.clone(), started.backend.clone());
                }
            }
            Report::Finding(Finding::Hang(hang)) if hang.verdict != Verdict::Waiting => {
                let (verdict, cause) = (hang.verdict.word(), hang.cause.word());
                self.metrics
                    .hang(hang.id, hang.reader.since, verdict, cause);
            }
            Report::Finding(Finding::Resolved(resolved)) => self.metrics.resolved(resolved.id),
            Report::Finding(Finding::Hang(_) | Finding::Update(_))
            | Report::Lost(_)
            | Report::Stopped(_) => {}
        }
    }

    /// As [`Metrics::measure`].
    pub fn measure(&self, watched: usize, events: u64, lost_events: u64) {
        self.metrics.measure(watched as u64, events, lost_events);
    }

    /// In a thread of its own, so that who asks cannot hold up who watches, and one
    /// without privileges.
    fn serve(&self, door: Door, version: String, backend: String) {
        let metrics = Arc::clone(&self.metrics);
        if let Ok(address) = door.address() {
            say(format_args!(
                "pipewatch: metrics at http://{address}/metrics"
            ));
        }
        let serve = move || {
            let Err(error) = privileges::keep_nothing()
                .map_err(Into::into)
                .and_then(|()| door.serve(&metrics, &version, &backend));
            say(format_args!("warning: metrics are not served: {error}"));
        };
        if let Err(error) = thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(serve)
        {
            say(format_args!("warning: metrics are not served: {error}"));
        }
    }
}
