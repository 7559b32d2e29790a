//! What the loop asks of the engine: who is watched, what is due. Nothing changes by that.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Key, Tracked, UNSEEN};
use crate::{
    event::{End, TaskRow},
    finding::Waits,
    ids::{Ktime, StackId, TableId, Tid},
};

impl Engine {
    /// Nothing that is watched lives any more.
    pub fn is_idle(&self) -> bool {
        self.world.is_empty()
    }

    /// How many watched processes live.
    pub fn watched(&self) -> usize {
        self.world.watched()
    }

    /// How many channels are known of them.
    pub fn pipes(&self) -> usize {
        self.world.pipes()
    }

    /// The waits that go on, as a list of threads of that moment shows, and are no hangs.
    pub fn waits(&self, tasks: &[TaskRow], now: Ktime) -> Waits {
        let tasks: BTreeMap<Tid, &TaskRow> = tasks.iter().map(|row| (row.actor.tid, row)).collect();
        let goes_on = |((_, pipe), tracked): &(&Key, &Tracked)| {
            let wait = &tracked.wait;
            let row = tasks.get(&wait.actor.tid);
            row.is_some_and(|row| match pipe {
                Some(_) => row.actor.process == wait.actor.process && row.is_alive(),
                None => row.continues(&wait.sleep),
            }) && (pipe.is_none() || now.since(tracked.seen) <= UNSEEN)
        };
        let open = self.waits.iter().filter(goes_on);
        let mut waits = Waits::default();
        for judged in open.filter_map(|(_, tracked)| tracked.healthy) {
            waits.open += 1;
            waits.unjudged += u64::from(!judged);
        }
        waits
    }

    /// The stacks that a finding to come may refer to.
    pub fn stacks(&self) -> BTreeSet<StackId> {
        self.world.stacks()
    }

    /// Whether any table holds a read end that a wait for would matter.
    pub fn doubts(&self) -> bool {
        self.world.has_doubts()
    }

    /// Whether a table holds a read end that a wait for would matter.
    pub fn is_doubtful(&self, table: TableId) -> bool {
        self.world.has_doubtful(table)
    }

    /// When the next wait is due for a look, if any is.
    pub fn next_look(&self) -> Option<Ktime> {
        self.waits.values().filter_map(|tracked| tracked.look).min()
    }

    /// Waits that are due for a look now.
    pub fn due(&self, now: Ktime) -> impl Iterator<Item = Key> {
        let due = move |tracked: &Tracked| tracked.look.is_some_and(|look| look <= now);
        self.waits
            .iter()
            .filter(move |(_, tracked)| due(tracked))
            .map(|(key, _)| *key)
    }

    /// The read ends of what is waited for in the waits that are due, whose channels a
    /// snapshot must show; of those that are to be confirmed, also of what is due soon.
    pub fn in_question(&self, now: Ktime, soon: Ktime) -> impl Iterator<Item = End> {
        let due = move |tracked: &&Tracked| {
            let until = if tracked.suspect { soon } else { now };
            tracked.look.is_some_and(|look| look <= until)
        };
        let due = self.waits.values().filter(due);
        due.map(|tracked| tracked.wait.sleep.end)
    }
}
