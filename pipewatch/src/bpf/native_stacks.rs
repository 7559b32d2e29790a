//! Native stacks: the kernel side keeps each as long as it is not deleted, by a number
//! that another one gets after that (`bpf_get_stackid`).

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{MapData, StackTraceMap};

use crate::ids::{Ktime, StackId};

/// The stacks that the kernel side keeps.
pub struct NativeStacks {
    map: StackTraceMap<MapData>,
    deleted: Deleted,
}

/// When numbers were last set free.
#[derive(Default)]
struct Deleted(BTreeMap<StackId, Ktime>);

impl NativeStacks {
    pub(super) fn new(map: StackTraceMap<MapData>) -> Self {
        Self {
            map,
            deleted: Deleted::default(),
        }
    }

    /// The addresses of one that was found for a record stamped with that time; none if
    /// it is not there any more.
    pub(super) fn of(&self, time: Ktime, id: StackId) -> Vec<u64> {
        let valid = self.deleted.means_the_present_one(id, time);
        let trace = valid.then(|| self.map.get(&id.0, 0).ok()).flatten();
        let addresses = trace.map(|trace| trace.frames().iter().map(|f| f.ip).collect());
        addresses.unwrap_or_default()
    }

    /// Those that are there.
    pub fn ids(&self) -> BTreeSet<StackId> {
        self.map.stack_ids().flatten().map(StackId).collect()
    }

    /// Deletes some, to which nothing refers that was told so far; `now` is the kernel's
    /// clock.
    pub fn delete(&mut self, ids: impl IntoIterator<Item = StackId>, now: impl Fn() -> Ktime) {
        for id in ids {
            // It is there, since only this deletes them.
            let _ = self.map.remove(&id.0);
            self.deleted.note(id, now());
        }
    }
}

impl Deleted {
    fn note(&mut self, id: StackId, time: Ktime) {
        self.0.insert(id, time);
    }

    /// Whether a record of that time means the stack that has the number now. Its time
    /// was taken before its stack (`pipewatch-ebpf`, `emit::record`), so if that is after
    /// the deletion the number was given out anew, and by nobody else since. A record
    /// that was on its way at the deletion may mean either.
    fn means_the_present_one(&self, id: StackId, time: Ktime) -> bool {
        self.0.get(&id).is_none_or(|deleted| *deleted < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_means_the_stack_that_was_given_it_last() {
        let id = StackId(7);
        let mut deleted = Deleted::default();
        let valid = |deleted: &Deleted, time| deleted.means_the_present_one(id, Ktime(time));
        assert!(valid(&deleted, 0));
        deleted.note(id, Ktime(20));
        // On its way at the deletion.
        assert!(!valid(&deleted, 19) && !valid(&deleted, 20));
        assert!(valid(&deleted, 21));
        deleted.note(id, Ktime(40));
        assert!(!valid(&deleted, 21) && valid(&deleted, 41));
        assert!(deleted.means_the_present_one(StackId(8), Ktime(0)));
    }
}
