//! The host that is watched.

use crate::{clock::Wall, source::Source};

/// The host.
pub struct Host {
    /// How it is seen.
    pub source: Source,
    /// Its clocks.
    pub wall: Wall,
}
