//! What works here, as pipewatch finds out.

use std::time::Duration;

use pipewatch_tests::{Program, pipewatch, require_root};

use crate::expect::RUN;

/// How long it may take: it attaches everything in each way, one after the other,
/// and some verifiers are slow.
const EXAMINATION: Duration = Duration::from_secs(110);

#[test]
fn the_kernel_has_what_each_hook_relies_on() {
    require_root();
    let doctor = Program::start(pipewatch(&["doctor", "--format", "json"]));
    assert_eq!(doctor.finish(EXAMINATION).code, 0);
    let hooks = doctor.wait_for("hooks", RUN, |check| check["check"] == "hooks");
    assert_eq!(hooks["ok"], true, "{hooks:#}");
}
