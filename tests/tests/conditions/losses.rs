//! Events are lost, and the hangs that the tables alone settle are told all the same.
//! `cargo xtask soak` enacts all shapes like this. Not among these here: waits in poll,
//! for which a pipewatch that gets no CPU may look too late, and a child that may answer
//! before its parent has let go, which is told as a likely leak then.

use nix::sys::signal::Signal;
use pipewatch_tests::{Program, Shape, Watcher, scenario};

use crate::expect::RUN;
use crate::{alone, nice};

const HANGS: &[&str] = &[
    "exec-status",
    "fork-no-close",
    "fork-race",
    "middle-parent",
    "orphan-pool",
    "self-held",
    "siblings",
    "splice",
];
const HEALTHY: &[&str] = &["sentinel", "slow-child", "slow-pipeline"];

#[test]
fn what_the_tables_settle_is_told_though_events_are_lost() {
    let _alone = alone();
    let watcher = Watcher::start(&["--all", "--buffer", "4KiB"]);
    let _storm = Program::ready(nice(&scenario(&["churn", "--now", "--hold-ms", "90000"])));
    let names = HANGS.iter().chain(HEALTHY);
    let shapes: Vec<&Shape> = names.map(|name| Shape::named(name).expect(name)).collect();
    let start = |shape: &&Shape| Program::start(shape.command());
    let programs: Vec<Program> = shapes.iter().map(start).collect();
    for program in programs {
        program.finish(RUN);
    }
    watcher.signal(Signal::SIGTERM);
    let stopped = watcher.wait_for("the end", RUN, |record| record["type"] == "stopped");
    assert!(stopped["lost_events"].as_u64() > Some(0), "{stopped:#}");
    let hangs = watcher.records("hang");
    for shape in shapes {
        let told = hangs.iter().filter(|hang| shape.is_in(hang));
        let told: Vec<_> = told.collect();
        let verdicts: Vec<_> = told.iter().map(|hang| &hang["verdict"]).collect();
        let expected = &shape.describe()["expected"]["verdict"];
        let right = match expected.is_null() {
            true => verdicts.is_empty(),
            false => verdicts.contains(&expected),
        };
        assert!(right, "{}: not {expected}, but {told:#?}", shape.name);
    }
    let lost = watcher.records("lost");
    assert!(lost.iter().all(|it| it["rescanned"] == true), "{lost:#?}");
}
