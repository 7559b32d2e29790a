//! What a program is written in, as far as that tells what to change in it.

use serde::{Deserialize, Serialize};

/// What a program is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// C, C++, Rust and whatever else is compiled.
    Compiled,
    /// Go.
    Go,
    /// JavaScript, run by Node.js.
    Node,
    /// Python.
    Python,
}
