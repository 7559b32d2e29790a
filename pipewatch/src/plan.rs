//! What is to be done: whom to watch, and what to say.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::{finding::Confidence, ids::Pid, source::Backend};

/// Whom to watch.
#[derive(Clone, Debug)]
pub enum Target {
    /// These processes and their descendants.
    Pids(Vec<Pid>),
    /// Every process of the host.
    All,
    /// A command, which pipewatch starts.
    Command(Vec<OsString>),
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to watch.
    pub target: Target,
    /// A wait this long, with EOF withheld, is a hang.
    pub threshold: Duration,
    /// Report hangs from this confidence on.
    pub min_confidence: Confidence,
    /// Report healthy waits too.
    pub healthy: bool,
    /// Stop after this long.
    pub duration: Option<Duration>,
    /// Stop at the first hang.
    pub exit_on_hang: bool,
    /// How the host is to be seen.
    pub backend: Backend,
    /// Record user stacks; a report waits this long for what they mean.
    pub stacks: Option<Duration>,
    /// Size of the buffer for events, in bytes; a power of two, at least a page.
    pub buffer: u32,
    /// Also write what the engine is told to this file.
    pub record: Option<PathBuf>,
    /// Print what the probes log, for whoever debugs pipewatch.
    pub debug: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            target: Target::All,
            threshold: Duration::from_secs(1),
            min_confidence: Confidence::Likely,
            healthy: false,
            duration: None,
            exit_on_hang: false,
            backend: Backend::Auto,
            stacks: Some(Duration::from_millis(300)),
            buffer: 1 << 22,
            record: None,
            debug: false,
        }
    }
}
