//! Reports of whole tables, after a fork, an exec or an unshare: what came along
//! from the table before, and what must have arrived in between.

use std::rc::Rc;

use super::{
    World,
    table::{Intent, Provenance, Sign, Slot, Walk},
};
use crate::{
    event::{Actor, End, Kind},
    finding::{Act, ViaKind},
    ids::{Ktime, ProcKey, TableId},
};

impl World {
    /// The contents of the actor's own table are about to be reported. It is
    /// another one than before if the actor had shared that with others.
    pub(super) fn renew_table(
        &mut self,
        actor: Actor,
        id: TableId,
        kind: Option<ViaKind>,
        act: Act,
    ) {
        let own = self.tables.contains_key(&id);
        let (before, known) = if own {
            self.abandon_walk(id, act);
            let table = self.tables.get_mut(&id);
            table
                .map(|table| (std::mem::take(&mut table.slots), table.known))
                .unwrap_or_default()
        } else {
            // An exec gives its thread the id of the group leader.
            let tids = self.processes.get(&actor.process);
            let tid = tids.and_then(|tids| tids.get(&actor.tid).or_else(|| tids.first()));
            let former = tid.and_then(|tid| self.threads.get(tid));
            former
                .map(|thread| thread.table)
                .map(|former| self.copy_of(former))
                .unwrap_or_default()
        };
        let walk = Walk {
            kind,
            act,
            before,
            known,
            own,
        };
        self.tables.entry(id).or_default().walk = Some(Box::new(walk));
        self.add_thread(actor, id);
    }

    pub(super) fn entry(&mut self, id: TableId, end: End) {
        let walk = self
            .tables
            .get_mut(&id)
            .and_then(|table| table.walk.as_mut());
        let Some(walk) = walk else {
            // The walk's beginning was lost.
            self.insert(
                id,
                Slot {
                    end,
                    via: Provenance::unknown(),
                    intent: None,
                },
            );
            return;
        };
        let Walk {
            kind, act, known, ..
        } = **walk;
        let former = walk
            .before
            .get(end.fd, end.pipe)
            .filter(|slot| slot.end.is_same(&end))
            .cloned();
        let by = act.actor.process;
        let former = former.or_else(|| self.arrived(end, by, known));
        // A flag that is gone was cleared, by whatever call. An exec shows only
        // what survived, so the program's own process did it.
        let cleared = former.as_ref().is_some_and(|slot| slot.end.cloexec) && !end.cloexec;
        let intent = former.as_ref().and_then(|slot| match kind {
            Some(ViaKind::Exec) => slot.intent_for_program(),
            _ => slot.intent.clone(),
        });
        let intent = if cleared && end.mode.write {
            Some(Rc::new(Intent {
                sign: Sign::KeptForExec,
                by,
            }))
        } else {
            intent
        };
        let from = former.map(|slot| slot.via);
        let via = match kind {
            Some(kind) => Provenance::seen(kind, act, from),
            None => from.unwrap_or_else(Provenance::unknown),
        };
        self.insert(id, Slot { end, via, intent });
    }

    /// An end that a process holds though it was not seen to get it: it has
    /// opened that by a path, or another process has passed it on. Of a pipe
    /// this can be said if it was seen to be made, and if all that the process
    /// held before is `known`: no probe sees either of the two. Once events were
    /// lost it is not said any more: tables are read anew then, while events from
    /// before are still on their way.
    pub(super) fn arrived(&self, end: End, by: ProcKey, known: bool) -> Option<Slot> {
        let pipe = self.pipe(end.pipe);
        let seen = pipe.filter(|pipe| known && !self.gaps && pipe.created().is_some());
        let opened = match end.kind {
            Kind::Fifo => true,
            Kind::Pipe | Kind::Socketpair { .. } => !seen?.has_file(end.file),
        };
        if !opened {
            return Some(Slot::passed(end));
        }
        let sign = Sign::Opened;
        let via = Provenance::unseen(ViaKind::Opened);
        let intent = Some(Rc::new(Intent { sign, by }));
        Some(Slot { end, via, intent })
    }

    /// Whether another process has passed the end on, as its age tells, whatever was
    /// missed: of a pipe that was made after the process no fork has brought it. One that
    /// was opened by a path is another description. Not so of what may have been put at
    /// its number for a purpose.
    pub(super) fn is_passed_to_elder(&self, end: End, process: ProcKey) -> bool {
        let Some(pipe) = self.pipe(end.pipe).filter(|_| end.kind == Kind::Pipe) else {
            return false;
        };
        let made = pipe.created().map(|created| created.act);
        let elder = made
            .is_some_and(|made| process != made.actor.process && Ktime(process.start) < made.time);
        elder && !self.sharing && pipe.was_made_with(end.file) && end.fd.0 > 2
    }

    pub(super) fn end_walk(&mut self, id: TableId) {
        let table = self.tables.get_mut(&id);
        let walk = table.and_then(|table| {
            table.known |= table.walk.is_some();
            table.slots.shrink();
            table.walk.take()
        });
        let Some(walk) = walk else { return };
        for slot in walk.before {
            let End { fd, pipe, .. } = slot.end;
            let kept = self.tables.get(&id).and_then(|table| table.slot(fd, pipe));
            if kept.is_none_or(|kept| !kept.end.is_same(&slot.end)) {
                match walk.kind {
                    // The call that made the table private closed a range in it.
                    None => self.note_close(id, &slot, None, walk.act),
                    Some(ViaKind::Exec) => {
                        let Act { time, actor, .. } = walk.act;
                        self.note_release(&slot, None, actor.process, time);
                    }
                    Some(_) => {}
                }
            }
            if walk.own {
                self.forget(slot.end.pipe);
            }
        }
    }

    /// A walk that will not be completed: what it was to confirm counts as gone.
    pub(super) fn abandon_walk(&mut self, id: TableId, act: Act) {
        let walk = self.tables.get_mut(&id).and_then(|table| table.walk.take());
        for slot in walk
            .filter(|walk| walk.own)
            .into_iter()
            .flat_map(|walk| walk.before)
        {
            self.note_release(&slot, None, act.actor.process, act.time);
            self.forget(slot.end.pipe);
        }
    }
}
