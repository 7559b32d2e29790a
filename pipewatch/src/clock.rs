//! The clocks: the kernel's, in which events are stamped, and the wall's.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::ids::Ktime;

/// How far the clocks may be off before it counts: one moment must have one name.
const SLACK: u64 = 1_000_000;

/// How often the clocks are compared.
const TRIES: usize = 5;

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
        let tries = [(); TRIES].map(|()| {
            let before = now();
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            (before, wall, now())
        });
        Self::by(tries)
    }

    /// By the kernel's clock, the wall's, and the kernel's again. Who reads them may be
    /// interrupted in between, so the quickest try counts.
    fn by(tries: [(Ktime, u64, Ktime); TRIES]) -> Self {
        let quickest = tries.into_iter().min_by_key(|(a, _, b)| b.since(*a));
        let (before, wall, _) = quickest.unwrap_or_default();
        Self {
            boot: wall.saturating_sub(before.0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_does_not_set_the_clock() {
        let wall = Wall::by([
            (Ktime(100), 5_000_110, Ktime(5_000_200)),
            (Ktime(5_000_300), 5_001_310, Ktime(5_000_320)),
            (Ktime(5_000_400), 5_001_410, Ktime(5_000_450)),
            (Ktime(5_000_500), 9_001_510, Ktime(9_000_510)),
            (Ktime(9_000_600), 9_001_610, Ktime(9_000_650)),
        ]);
        assert_eq!(wall.boot, 1_010);
    }
}
