//! The window of the race: one thread has made a pipe and not yet closed its
//! write end, another thread forks.

use std::sync::{Barrier, OnceLock};

use nix::unistd::{Pid, gettid};
use serde_json::json;

use crate::fact::{Leak, read_and_say, say};
use crate::sys;

/// Where the two threads meet. They meet on a futex, so that no other pipe is around.
pub struct Window {
    meet: Barrier,
    /// Who forked, and the child.
    forked: OnceLock<(Pid, Pid)>,
}

impl Window {
    pub fn new() -> Self {
        Self {
            meet: Barrier::new(2),
            forked: OnceLock::new(),
        }
    }

    /// Once the other thread is there: makes a pipe, lets it fork, does
    /// `inside`, closes the write end, reads until the child of the other
    /// thread ends.
    pub fn make_close_read(&self, inside: impl FnOnce()) {
        self.meet.wait();
        let pipe = sys::pipe();
        self.meet.wait();
        self.meet.wait();
        inside();
        sys::close(pipe.w);
        self.meet.wait();
        let &(forker, holder) = self.forked.get().expect("a fork in the window");
        Leak {
            cause: "fork-race",
            confidence: "certain",
            pipe,
            forker,
            holder,
        }
        .say();
        read_and_say(pipe);
    }

    /// Forks inside the window a child that does `life` and ends; returns it
    /// once the window is shut.
    pub fn fork_inside(&self, life: impl FnOnce()) -> Pid {
        self.meet.wait();
        self.meet.wait();
        let Some(child) = sys::fork() else {
            life();
            say("released", json!({ "how": "exit" }));
            sys::quit()
        };
        self.forked
            .set((gettid(), child))
            .expect("one fork per window");
        self.meet.wait();
        self.meet.wait();
        child
    }
}
