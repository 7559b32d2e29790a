//! Taking over what the kernel's tables show: at the beginning, and after events
//! were lost. What a table does not show any more tells of acts that were missed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Intent, Provenance, Sign, Slot, Table, World};
use crate::{
    event::{End, EndRow, Kind, Snapshot},
    ids::{Ktime, PipeId, ProcKey, TableId},
};

/// The one process that uses each table; `None` where several do.
type Owners = BTreeMap<TableId, Option<ProcKey>>;

impl World {
    /// Takes over what the kernel's tables show, which is to be of watched
    /// processes only. What is known of a descriptor that is still the same is
    /// kept; `lost` tells that events from before that moment are missing.
    pub fn adopt(&mut self, snapshot: &Snapshot, lost: Option<Ktime>) {
        self.gaps |= lost.is_some();
        let former = self.owners();
        let mut known = std::mem::take(&mut self.tables);
        self.threads.clear();
        self.processes.clear();
        for row in snapshot.tasks.iter().filter(|row| row.is_alive()) {
            self.add_thread(row.actor, row.table);
        }
        // There may be very many, so memory counts: what is freed here leaves no holes
        // between the ends, which come after it.
        pack(&mut self.threads);
        pack(&mut self.processes);
        pack(&mut self.tables);
        self.show_pipes(snapshot);
        let owners = self.owners();
        if let Some(lost) = lost {
            self.missed_releases(&known, &former, snapshot, lost);
        }
        // One at an address where another process had one is not the same.
        known.retain(|id, _| owners.get(id) == former.get(id));
        for rows in snapshot.ends.chunk_by(|row, next| row.table == next.table) {
            let table = self.tables.entry(rows[0].table).or_default();
            table.slots.reserve(rows.len());
            for row in rows {
                self.adopt_end(row, &known, &owners);
            }
        }
        for (id, former) in known {
            self.missed_closes(id, &owners, &former);
        }
        for table in self.tables.values_mut() {
            table.known = true;
        }
    }

    /// Keeps the pipes that are shown, which nobody is known to hold yet, and no others.
    fn show_pipes(&mut self, snapshot: &Snapshot) {
        let mut shown: BTreeSet<PipeId> = snapshot.ends.iter().map(|row| row.end.pipe).collect();
        let mut former = std::mem::take(&mut self.pipes);
        let known = |id: &PipeId| {
            let mut pipe = former.remove(id).unwrap_or_default();
            pipe.slots = 0;
            (*id, pipe)
        };
        self.pipes = shown.iter().map(known).collect();
        self.changed.append(&mut shown);
    }

    /// Who held a write end and does not any more has let go of it unseen.
    fn missed_releases(
        &mut self,
        known: &BTreeMap<TableId, Table>,
        owners: &Owners,
        snapshot: &Snapshot,
        lost: Ktime,
    ) {
        let writes = snapshot.ends.iter().filter(|row| row.end.mode.write);
        let held: BTreeSet<(ProcKey, PipeId)> = writes
            .map(|row| (row.actor.process, row.end.pipe))
            .collect();
        for (id, table) in known {
            let Some(process) = owners.get(id).copied().flatten() else {
                continue;
            };
            for slot in table.slots.iter() {
                if !held.contains(&(process, slot.end.pipe)) {
                    self.note_release(slot, None, process, lost);
                }
            }
        }
    }

    fn adopt_end(&mut self, row: &EndRow, known: &BTreeMap<TableId, Table>, owners: &Owners) {
        let of_pipe = || {
            let table = known.get(&row.table).into_iter();
            let slots = table.flat_map(|table| table.of_pipe(row.end.pipe));
            slots.filter(|slot| slot.end.is_same(&row.end))
        };
        let old = of_pipe().find(|slot| slot.end.fd == row.end.fd);
        let sign = match old {
            Some(old) => (old.end.cloexec && !row.end.cloexec).then_some(Sign::KeptForExec),
            None if of_pipe().next().is_some() => Some(Sign::Duplicated),
            None => (row.end.kind == Kind::Fifo && known.contains_key(&row.table))
                .then_some(Sign::Opened),
        };
        let slot = match old {
            // What was written since it came here stays so.
            Some(old) => Slot {
                end: End {
                    head: old.end.head,
                    ..row.end
                },
                ..old.clone()
            },
            None => Slot {
                end: row.end,
                via: Provenance::unknown(),
                intent: None,
            },
        };
        self.insert(row.table, slot);
        if sign.is_some() && row.end.mode.write {
            self.missed(row.table, owners, row.end.pipe, sign);
        }
    }

    fn owners(&self) -> Owners {
        let mut owners = Owners::new();
        for thread in self.threads.values() {
            let owner = owners.entry(thread.table).or_insert(Some(thread.process));
            if *owner != Some(thread.process) {
                *owner = None;
            }
        }
        owners
    }

    /// `former` is a table as it was known; it may not hold all of that any more.
    fn missed_closes(&mut self, id: TableId, owners: &Owners, former: &Table) {
        let reads = |slot: &&Slot| slot.end.mode.read && !slot.end.mode.write;
        for slot in former.slots.iter().filter(reads) {
            let End { fd, pipe, .. } = slot.end;
            let table = self.tables.get(&id);
            if table.is_some_and(|table| table.slot(fd, pipe).is_some()) {
                continue;
            }
            let survives_exec = |slot: &Slot| slot.end.mode.write && !slot.end.cloexec;
            let by_exec = slot.end.cloexec
                && table.is_some_and(|table| table.of_pipe(pipe).any(survives_exec));
            let sign = (!by_exec).then_some(Sign::ClosedOther);
            self.missed(id, owners, pipe, sign);
        }
    }

    /// Notes an act that concerns the write ends of a pipe in a table. Where it is
    /// in doubt what it was, or whose, history does not speak of them any more.
    fn missed(&mut self, id: TableId, owners: &Owners, pipe: PipeId, sign: Option<Sign>) {
        let Some(table) = self.tables.get_mut(&id) else {
            return;
        };
        let owner = owners.get(&id).copied().flatten();
        if let (Some(sign), Some(by)) = (sign, owner) {
            table.sign(pipe, Intent { sign, by });
        } else {
            table.forget_history(pipe);
        }
    }
}

/// Builds a map anew, which leaves its nodes full: those of one that has grown in the
/// order of its keys are half empty.
fn pack<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = std::mem::take(map).into_iter().collect();
}
