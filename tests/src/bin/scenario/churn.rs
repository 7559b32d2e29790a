//! Forks, pipes, duplicates and closes without a pause: by processes, one for each
//! core, or by threads that share one table.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::unistd::dup;

use crate::Options;
use crate::sys;

/// Processes do so for as long as holders hold.
pub fn run(options: &Options) {
    options.wait_for_go();
    let until = Instant::now() + options.hold();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let fork = |_| {
        let child = sys::fork();
        if child.is_none() {
            while Instant::now() < until {
                turn();
            }
            sys::quit();
        }
        child
    };
    let children: Vec<_> = (0..cores).filter_map(fork).collect();
    children.into_iter().for_each(sys::reap);
}

fn turn() {
    let pipe = sys::pipe();
    let copy = dup(sys::borrow(pipe.w)).expect("dup");
    let Some(child) = sys::fork() else {
        sys::quit();
    };
    drop(copy);
    sys::close(pipe.r);
    sys::close(pipe.w);
    sys::reap(child);
}

/// Does something while other threads change the table of this process.
pub fn amid(what: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let pipe = sys::pipe();
                    drop(dup(sys::borrow(pipe.w)).expect("dup"));
                    sys::close(pipe.r);
                    sys::close(pipe.w);
                }
            });
        }
        what();
        over.store(true, Ordering::Relaxed);
    });
}
