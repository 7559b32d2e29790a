//! How fast the machine is that the tests run on.

use std::env;
use std::time::Duration;

/// How long something may take that takes up to `time` on real hardware. An
/// emulated machine says by PIPEWATCH_TEST_SLOWNESS how many times slower it is.
pub fn allowed(time: Duration) -> Duration {
    let slowness = env::var("PIPEWATCH_TEST_SLOWNESS").map_or(1, |times| {
        times
            .parse()
            .unwrap_or_else(|error| panic!("PIPEWATCH_TEST_SLOWNESS={times}: {error}"))
    });
    time * slowness
}
