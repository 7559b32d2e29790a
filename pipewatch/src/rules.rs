//! What is to be reported.

use serde::{Deserialize, Serialize};

use crate::{finding::Confidence, ids::Pid};

/// What is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// A wait this long, in nanoseconds, with EOF withheld is a hang.
    pub threshold: u64,
    /// Report hangs from this confidence on.
    pub min_confidence: Confidence,
    /// Report healthy waits too.
    pub healthy: bool,
    /// pipewatch's own process, which is never reported.
    pub own: Pid,
    /// A hang ends the command that is watched: what it leaves behind is not to be judged
    /// any more, so that nobody is told how to release it.
    #[serde(default)]
    pub ends_command: bool,
}
