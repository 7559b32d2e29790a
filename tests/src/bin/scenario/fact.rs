//! The facts a scenario prints.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::stat::fstat;
use nix::unistd::{Pid, getpid, gettid};
use serde_json::{Value, json};

use crate::sys::{self, Pipe};

/// Prints one fact and its time by a single write: lines of parent and child
/// never mix, and no lock is taken that a fork could have copied in its locked
/// state.
pub fn say(fact: &str, mut fields: Value) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    fields["fact"] = fact.into();
    fields["time_us"] = (now.as_micros() as u64).into();
    sys::write(libc::STDOUT_FILENO, format!("{fields}\n").as_bytes());
}

/// Who left whom with a copy of the pipe that the calling thread is about to read.
pub struct Leak<'a> {
    pub cause: &'a str,
    pub confidence: &'a str,
    pub pipe: Pipe,
    pub forker: Pid,
    pub holder: Pid,
}

impl Leak<'_> {
    /// Says what a `hang` record about this must contain; the calling thread
    /// made the pipe, closed its write end, and will read.
    pub fn say(&self) {
        let Pipe { r, w } = self.pipe;
        let (pid, tid) = (getpid().as_raw(), gettid().as_raw());
        let (forker, holder) = (self.forker.as_raw(), self.holder.as_raw());
        let inode = fstat(sys::borrow(r)).expect("fstat").st_ino;
        let hang = json!({
            "verdict": "leaked",
            "cause": self.cause,
            "confidence": self.confidence,
            "certainty": "exact",
            "reader": {"pid": pid, "tid": tid, "comm": sys::thread_name(), "fd": r, "call": "read"},
            "pipe": {"inode": inode, "kind": "pipe", "path": null, "buffered": 0,
                     "created": {"pid": pid, "tid": tid, "fds": [r, w]}},
            "holders": [{
                "pid": holder,
                "ppid": pid,
                "fds": [{"fd": r, "mode": "r", "cloexec": true}, {"fd": w, "mode": "w", "cloexec": true}],
                "relation": "child",
                "used": false,
                "execed": false,
                "via": {"kind": "fork", "pid": pid, "tid": forker},
            }],
            "timeline": [
                {"what": "pipe2", "pid": pid, "tid": tid, "fds": [r, w]},
                {"what": "fork", "pid": pid, "tid": forker, "child": holder},
                {"what": "close", "pid": pid, "tid": tid, "fds": [w]},
                {"what": "read", "pid": pid, "tid": tid, "fds": [r]},
            ],
        });
        say("expect", json!({ "hang": hang }));
    }
}

/// Reads the pipe until something comes, saying when that began and when it ended.
pub fn read_and_say(pipe: Pipe) {
    say("reading", json!({}));
    let bytes = sys::read(pipe.r);
    say("returned", json!({ "bytes": bytes }));
}
