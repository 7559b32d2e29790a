//! The harness of pipewatch's end-to-end tests: it starts real programs, lets a
//! real pipewatch watch them, and compares what pipewatch says with what the
//! programs say.

mod browser;
mod pace;
mod program;
mod record;
mod schema;
mod shapes;
mod target;
mod tmux;
mod user;
mod watcher;

pub use browser::Browser;
pub use pace::{allowed, paced};
pub use program::{Output, Program};
pub use record::{assert_contains, micros_of, missing};
pub use schema::faults;
pub use shapes::{Answer, ROWS, Saying, Script, Shape, shapes};
pub use target::{python, scenario, shell};
pub use tmux::Pane;
pub use user::{NOBODY, User};
pub use watcher::{Watcher, pipewatch, pipewatch_running, require_root};

use std::path::PathBuf;

/// The path of a program that cargo built together with the running one.
fn built(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let mut folder = program.parent().expect("target/PROFILE/PROGRAM");
    if folder.ends_with("deps") {
        folder = folder.parent().expect("target/PROFILE/deps/TEST");
    }
    folder.join(name)
}
