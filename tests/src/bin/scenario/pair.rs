//! One thread, one pipe, at most one child.

use std::thread::sleep;
use std::time::Duration;

use nix::unistd::{Pid, gettid};
use serde_json::json;

use crate::Options;
use crate::fact::{Leak, read_and_say, say};
use crate::sys::{self, Pipe};

/// No holder: EOF at once.
pub fn good(options: &Options) {
    options.wait_for_go();
    let pipe = sys::pipe();
    sys::close(pipe.w);
    read_and_say(pipe);
    sleep(Duration::from_secs(5));
}

/// The child keeps its untouched pair, then closes the write end and lives on.
pub fn fork_no_close(options: &Options) {
    options.wait_for_go();
    let pipe = sys::pipe();
    let Some(child) = sys::fork() else {
        sleep(options.hold());
        say("released", json!({ "how": "close" }));
        sys::close(pipe.w);
        sleep(Duration::from_secs(1));
        sys::quit()
    };
    sys::close(pipe.w);
    say_leak(pipe, child);
    read_and_say(pipe);
    sys::reap(child);
}

/// The child knows the pipe (it closes its read end) and holds the write end for life.
pub fn sentinel(options: &Options) {
    options.wait_for_go();
    let pipe = sys::pipe();
    let Some(child) = sys::fork() else {
        sys::close(pipe.r);
        sleep(options.hold());
        sys::quit()
    };
    sys::close(pipe.w);
    read_and_say(pipe);
    sys::reap(child);
}

/// The same picture as [`fork_no_close`] until the child answers.
pub fn slow_answer(options: &Options) {
    options.wait_for_go();
    let pipe = sys::pipe();
    let Some(child) = sys::fork() else {
        sleep(options.hold());
        say("released", json!({ "how": "write" }));
        sys::write(pipe.w, b"42");
        sys::quit()
    };
    sys::close(pipe.w);
    say_leak(pipe, child);
    read_and_say(pipe);
    sys::reap(child);
}

fn say_leak(pipe: Pipe, holder: Pid) {
    Leak {
        cause: "fork",
        confidence: "likely",
        pipe,
        forker: gettid(),
        holder,
    }
    .say();
}
