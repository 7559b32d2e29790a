//! Room for native stacks: the kernel keeps those of all that has happened until they
//! are deleted, and its map finds place for a new one the less often the fuller it is.

use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::{clock, ids::StackId, problem::Problem};

/// How often the stacks are counted, which takes a microsecond for each.
const PERIOD: Duration = Duration::from_secs(1);
/// So many may be there before it is asked which are needed: an eighth of the room. The
/// place of a new one goes by its hash, so every eighth finds its place taken.
const MANY: usize = 512;

impl Session {
    /// Deletes the stacks that are not needed any more, unless they were counted a moment
    /// ago.
    pub(super) fn forget_stacks_in_time(&mut self) -> Result<(), Problem> {
        if self.stacks_counted.elapsed() < PERIOD {
            return Ok(());
        }
        self.stacks_counted = Instant::now();
        let Some(kernel) = self.host.source.kernel_mut() else {
            return Ok(());
        };
        let present = kernel.native_stacks().ids();
        if present.len() < MANY {
            return Ok(());
        }
        // What these belong to may still be on its way.
        self.drain()?;
        let needed = self.engine.stacks();
        let unused: Vec<StackId> = present.difference(&needed).copied().collect();
        if let Some(kernel) = self.host.source.kernel_mut() {
            kernel.native_stacks().delete(unused, clock::now);
        }
        Ok(())
    }
}
