//! The harness of pipewatch's end-to-end tests: it starts real programs, lets a
//! real pipewatch watch them, and compares what pipewatch says with what the
//! programs say.

mod program;
mod record;
mod shapes;
mod target;
mod watcher;

pub use program::{Output, Program};
pub use record::{assert_contains, micros_of, missing};
pub use shapes::{SHAPES, Script, Shape};
pub use target::{python, scenario, shell};
pub use watcher::{Watcher, pipewatch, pipewatch_running, require_root};

use std::path::PathBuf;

/// The path of a program that cargo built next to the running test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join(name)
}
