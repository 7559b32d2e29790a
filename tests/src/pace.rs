//! How fast the machine is that the tests run on.

use std::env;
use std::time::Duration;

/// How long something lasts that lasts `time` on real hardware.
pub fn paced(time: Duration) -> Duration {
    time * slowness()
}

/// How late something may be that is at most `time` late on real hardware. The delays
/// of an emulated machine are its own and tell nothing of what is tested; there it
/// must come, and in its order.
pub fn allowed(time: Duration) -> Duration {
    match slowness() {
        1 => time,
        _ => Duration::from_secs(3600),
    }
}

/// An emulated machine says by PIPEWATCH_TEST_SLOWNESS how many times slower it is.
fn slowness() -> u32 {
    env::var("PIPEWATCH_TEST_SLOWNESS").map_or(1, |times| {
        times
            .parse()
            .unwrap_or_else(|error| panic!("PIPEWATCH_TEST_SLOWNESS={times}: {error}"))
    })
}
