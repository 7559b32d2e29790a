//! pipewatch gets no CPU for a while.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use pipewatch_tests::{Program, Watcher, assert_contains, scenario};

use crate::alone;
use crate::expect::{self, RUN, THRESHOLD};

/// More events than fit into the buffer by default: 1,800 children with 400 ends each.
const FORKS: &str = "\
import os
pipes = [os.pipe() for _ in range(200)]
for _ in range(1800):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)";
/// They all fit into this one.
const BUFFER: &str = "64MiB";

/// None was lost, so what the events tell of a hang is known, and is told.
#[test]
fn a_hang_behind_very_many_events_is_judged_by_all_of_them() {
    let _alone = alone();
    let scenario = scenario(&[]);
    let mut shell = Command::new("sh");
    let script = r#"
        echo '{"fact": "ready"}'; read -r _
        python3 -c "$1"
        exec "$0" fork-no-close --now --hold-ms "$2""#;
    shell.args(["-c", script]).arg(scenario.get_program());
    shell.args([FORKS, &expect::hold_ms()]);
    let mut target = Program::ready(shell);
    let watcher = Watcher::of(&target, &["--buffer", BUFFER]);
    watcher.signal(Signal::SIGSTOP);
    target.go();
    let expected = target.wait_for("the shape", RUN, |it| it["fact"] == "expect")["hang"].clone();
    std::thread::sleep(THRESHOLD + Duration::from_millis(500));
    watcher.signal(Signal::SIGCONT);
    let hang = expect::hang_of(&watcher, &expected["reader"]["tid"]);
    assert_contains(&hang, &expected);
    assert_eq!(target.finish(RUN).code, 0);
    let stopped = watcher.wait_for("the end", RUN, |record| record["type"] == "stopped");
    assert_eq!(stopped["lost_events"], 0, "{stopped:#}");
}
