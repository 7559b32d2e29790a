//! The clocks: the kernel's, in which events are stamped, and the wall's.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::ids::Ktime;

/// Now, as the kernel side stamps it.
pub fn now() -> Ktime {
    Ktime(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// Wall clock of a moment, nanoseconds since 1970-01-01 UTC, as far as the
/// wall clock was not set in between.
pub fn wall(time: Ktime) -> u64 {
    let wall_now = nanoseconds(clock_gettime(ClockId::Realtime));
    let now = now();
    (wall_now + time.since(now)).saturating_sub(now.since(time))
}

fn nanoseconds(time: Timespec) -> u64 {
    // Both clocks count from a moment in the past.
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
