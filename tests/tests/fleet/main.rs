//! As `live`, of what many hosts are watched by: metrics, the journal, containers.

#[path = "../live/expect.rs"]
#[allow(dead_code, reason = "each target uses the part it needs")]
mod expect;

mod container;
mod journal;
mod metrics;
mod prometheus;
mod scrape;
