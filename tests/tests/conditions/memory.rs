//! What pipewatch takes does not grow with what has happened.

use std::process::Command;

use pipewatch_tests::{Program, Watcher};

use crate::expect::RUN;

/// Growth of the second half that is no growth, in kilobytes.
const NOISE: u64 = 2_048;

/// Two times so many forks, with a pipe each, and a word after each time.
const FORKS: &str = r#"
import os, sys
print('{"fact": "ready"}', flush=True)
for half in ['first', 'second']:
    sys.stdin.readline()
    for _ in range(10_000):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.close(w)
        os.read(r, 1)
        os.close(r)
        os.waitpid(pid, 0)
    print('{"fact": "%s"}' % half, flush=True)
sys.stdin.readline()
"#;

#[test]
fn of_twenty_thousand_forks() {
    let mut python = Command::new("python3");
    python.args(["-c", FORKS]);
    let mut target = Program::ready(python);
    let watcher = Watcher::start(&["--all"]);
    let mut after = |half: &str| {
        target.go();
        target.wait_for(half, RUN, |fact| fact["fact"] == half);
        watcher.resident_kb()
    };
    let (first, second) = (after("first"), after("second"));
    assert!(
        second <= first + NOISE,
        "{first} kB after 10,000 forks, {second} kB after 20,000"
    );
}
