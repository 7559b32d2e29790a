//! All that the engine is ever told, as one type: what a trace file holds.

use serde::{Deserialize, Serialize};

use crate::{
    event::{Actor, Call, Event, Sleep, Snapshot, TaskRow},
    ids::{Fd, Ktime, TableId},
};

/// Something the engine is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// What the kernel's tables show of watched processes: at the beginning,
    /// and after events were lost.
    Adopt {
        /// Only watched processes.
        snapshot: Snapshot,
        /// Events from before that moment are missing.
        lost: Option<Ktime>,
    },
    /// What happened.
    Event(Event),
    /// A watched thread sleeps, or slept lately, in a read.
    Sleeping {
        /// The thread.
        actor: Actor,
        /// Its fd table.
        table: TableId,
        /// Its sleep.
        sleep: Sleep,
    },
    /// A watched thread waits for several descriptors at once.
    Polling {
        /// The thread.
        actor: Actor,
        /// Its fd table.
        table: TableId,
        /// What it waits to read from.
        fds: Vec<Fd>,
        /// It waits for nothing else, not even for a time to pass.
        alone: bool,
        /// The call it sleeps in.
        call: Call,
        /// Since when.
        since: Ktime,
        /// The sleep, as in [`Sleep::nvcsw`].
        nvcsw: u64,
        /// When this was so.
        now: Ktime,
    },
    /// Who sleeps now, to tell which waits are over.
    Tasks {
        /// Every thread that may be waiting.
        tasks: Vec<TaskRow>,
        /// When.
        now: Ktime,
    },
    /// The kernel's tables, to judge the waits that are due.
    Look {
        /// The whole host, or all of it that matters.
        snapshot: Snapshot,
        /// When.
        now: Ktime,
    },
}

impl Input {
    /// The moment it tells of; `None` if none is told.
    pub fn time(&self) -> Option<Ktime> {
        match self {
            Self::Adopt { lost, .. } => *lost,
            Self::Event(event) => Some(event.time),
            Self::Sleeping { sleep, .. } => Some(sleep.since),
            Self::Polling { now, .. } | Self::Tasks { now, .. } | Self::Look { now, .. } => {
                Some(*now)
            }
        }
    }
}
