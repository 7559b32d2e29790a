//! Room for native stacks: the kernel keeps those of all that has happened until they
//! are deleted, and its map finds place for a new one the less often the fuller it is.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::{clock, ids::StackId, problem::Problem};

/// How often the stacks are counted at most, which takes a microsecond for each.
const PERIOD: Duration = Duration::from_secs(1);
/// So many may be there before it is asked which are needed: an eighth of the room. The
/// place of a new one goes by its hash, so every eighth finds its place taken.
const MANY: usize = 512;
/// So many however many are needed: half of the room.
const MOST: usize = 2_048;

/// What is known of the stacks that the kernel keeps.
pub(super) struct StackRoom {
    /// When they were counted, and how many events there had been.
    counted: (Instant, u64),
    /// So many may be there before it is asked again which are needed.
    many: usize,
}

impl StackRoom {
    pub(super) fn new() -> Self {
        Self {
            counted: (Instant::now(), 0),
            many: MANY,
        }
    }
}

impl Session {
    /// Deletes the stacks that are not needed any more, if there can be many.
    pub(super) fn forget_stacks_in_time(&mut self) -> Result<(), Problem> {
        let (at, before) = self.stack_room.counted;
        let events = self.counters.events;
        // Each comes with an event.
        if at.elapsed() < PERIOD || events - before < MANY as u64 {
            return Ok(());
        }
        self.stack_room.counted = (Instant::now(), events);
        let Some(kernel) = self.host.source.kernel_mut() else {
            return Ok(());
        };
        let present = kernel.native_stacks().ids();
        if present.len() < self.stack_room.many {
            return Ok(());
        }
        // What these belong to may still be on its way.
        self.drain()?;
        let needed = self.engine.stacks();
        // To ask costs a look at all that is known: not for a few.
        self.stack_room.many = (2 * needed.len()).clamp(MANY, MOST);
        let unused: Vec<StackId> = present.difference(&needed).copied().collect();
        if let Some(kernel) = self.host.source.kernel_mut() {
            kernel.native_stacks().delete(unused, clock::now);
        }
        Ok(())
    }
}
