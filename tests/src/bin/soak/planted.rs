//! Shapes that are enacted among other things, and what is said of them.

use std::{process::Command, time::Duration};

use pipewatch_tests::{Program, Shape, scenario};
use serde_json::Value;

/// Until a shape is over on a machine that is busy.
const LASTING: Duration = Duration::from_secs(120);

/// Hangs that the tables alone do not settle (docs/accuracy.md), so that it depends on
/// what was lost whether they are told.
pub const UNSETTLED: [&str; 18] = [
    "chain-waitpid",
    "coproc",
    "exec-no-cloexec",
    "exec-no-cloexec-poll",
    "exec-status-rust",
    "fifo-writer",
    "in-flight",
    "in-flight-ring",
    "jobserver-dup",
    "odd-fd",
    "passed",
    "passed-on",
    "pid-namespace",
    "pidfd-getfd",
    "process-substitution-out",
    "socketpair",
    "timed-poll",
    "timed-select",
];

/// Enacts these at once, to their end.
pub fn enact(shapes: &[&Shape]) {
    let programs: Vec<Program> = shapes
        .iter()
        .map(|shape| Program::unread(shape.command()))
        .collect();
    for program in programs {
        program.finish(LASTING);
    }
}

/// The storm of all cores, which gives way to whatever else there is to do.
pub fn storm(hold_ms: u128) -> Program {
    let churn = scenario(&["churn", "--now", "--hold-ms", &hold_ms.to_string()]);
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(churn.get_program());
    nice.args(churn.get_args());
    Program::ready(nice)
}

/// What is to be said of a shape: the verdict, if it is a hang.
pub fn verdict(shape: &Shape) -> Option<String> {
    let expected = &shape.describe()["expected"]["verdict"];
    expected.as_str().map(str::to_owned)
}

/// The records of hangs that are about this shape.
pub fn about<'a>(shape: &Shape, hangs: &'a [Value]) -> Vec<&'a Value> {
    hangs.iter().filter(|hang| shape.is_in(hang)).collect()
}
