//! Which of what a thread waits for among others is worth a judgement.

use super::{Pipe, Slot, World, table::Table};
use crate::{
    event::{Actor, End},
    finding::ViaKind,
    ids::{Fd, Ktime, TableId},
};

impl World {
    /// The read end of a pipe whose writers may all be heirs, as far as history
    /// tells: one meant to write has let go, or its making was not seen.
    pub fn doubtful(&self, table: TableId, fd: Fd) -> Option<End> {
        let ends = self.table(table)?.of_fd(fd).map(|slot| slot.end);
        ends.into_iter().find(|end| self.is_doubtful(end))
    }

    /// Whether a table holds such an end.
    pub fn has_doubtful(&self, id: TableId) -> bool {
        let mut slots = self.table(id).into_iter().flat_map(slots);
        slots.any(|slot| self.is_doubtful(&slot.end))
    }

    /// Whether any table holds such an end.
    pub fn has_doubts(&self) -> bool {
        let mut slots = self.tables.values().flat_map(slots);
        slots.any(|slot| self.is_doubtful(&slot.end))
    }

    fn is_doubtful(&self, end: &End) -> bool {
        let doubtful = |pipe: &Pipe| pipe.released().is_some() || pipe.created().is_none();
        let reads = end.mode.read && !end.mode.write;
        reads && self.pipe(end.pipe).is_some_and(doubtful)
    }

    /// Whether another thread may have put something else at a descriptor since one waits
    /// for it: the kernel goes on to wait for what was there (do_poll of Linux 6.12), and
    /// does not tell. `lost` is when events were last known to be missing.
    pub fn may_be_replaced(
        &self,
        id: TableId,
        fd: Fd,
        by: Actor,
        since: Ktime,
        lost: Option<Ktime>,
    ) -> bool {
        let Some(table) = self.table(id) else {
            return false;
        };
        let shared = || {
            let threads = self.processes.get(&by.process);
            table.users > 1 || threads.is_some_and(|threads| threads.len() > 1)
        };
        table.of_fd(fd).any(|slot| match slot.via.act {
            // A fork has filled the whole table, before anybody could wait. It has to be said,
            // as `since` is of the scheduler's clock, which was seen 9 ms behind the one of
            // events after some hours.
            Some(_) if slot.via.kind == ViaKind::Fork => false,
            Some(act) => act.time > since && act.actor.tid != by.tid,
            None => lost > Some(since) && shared(),
        })
    }
}

fn slots(table: &Table) -> impl Iterator<Item = &Slot> {
    table.slots.iter()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{act, creation, end, process};
    use super::*;
    use crate::{
        event::Fact,
        ids::{Pid, Tid},
    };

    #[test]
    fn what_a_fork_has_brought_is_not_put_there_later_whatever_the_clocks_say() {
        let mut world = World::new(Pid(1));
        act(&mut world, 500, creation(None));
        let table = TableId(501);
        let fork = Fact::Fork {
            child: process(501),
            child_tid: Tid(501),
            child_table: table,
            stack: None,
        };
        act(&mut world, 500, fork);
        let end = end(3, false);
        act(&mut world, 500, Fact::Entry { table, end });
        act(&mut world, 500, Fact::Walked { table });
        let by = Actor {
            process: process(501),
            tid: Tid(501),
            comm: "worker".into(),
        };
        // All of this was at 1.
        assert!(!world.may_be_replaced(table, Fd(3), by, Ktime(0), None));
        let of_maker = world.may_be_replaced(TableId(500), Fd(3), by, Ktime(0), None);
        assert!(of_maker, "another thread has put it there");
    }
}
