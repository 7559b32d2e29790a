//! The clocks: the kernel's, in which events are stamped, and the wall's.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::ids::Ktime;

/// How far the clocks may be off before it counts: reading one after the other
/// takes time, and one moment must have one name.
const SLACK: u64 = 1_000_000;

/// Now, as the kernel side stamps it.
pub fn now() -> Ktime {
    Ktime(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// From the kernel's clock to the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// Wall clock at the kernel clock's zero, nanoseconds since 1970 UTC.
    pub boot: u64,
}

impl Wall {
    /// As the clocks are now.
    pub fn new() -> Self {
        let now = now();
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        Self {
            boot: wall.saturating_sub(now.0),
        }
    }

    /// Follows the wall clock if it was set, or the host was suspended.
    pub fn refresh(&mut self) {
        let fresh = Self::new();
        if fresh.boot.abs_diff(self.boot) > SLACK {
            *self = fresh;
        }
    }

    /// A moment in nanoseconds since 1970-01-01 UTC.
    pub fn of(self, time: Ktime) -> u64 {
        self.boot.saturating_add(time.0)
    }
}

impl Default for Wall {
    fn default() -> Self {
        Self::new()
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    // Both clocks count from a moment in the past.
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}
