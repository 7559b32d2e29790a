//! What history says: who lives, which fd table holds which pipe end, and how
//! it came there. Fed by events, and by the kernel's tables for what came
//! before; it never decides anything.
//!
//! Events may repeat what a snapshot showed already (both are taken while the
//! host goes on), so every change is one that can be made twice.

mod adopt;
mod doubt;
mod pipe;
mod table;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use self::table::{Slots, Walk};
pub use self::{
    pipe::Pipe,
    table::{Intent, Provenance, Sign, Slot, Table},
};
use crate::{
    event::{Actor, End, Event, Fact, Kind, Mode},
    finding::{Act, Created, Step, ViaKind, What},
    ids::{Fd, FileId, Ktime, Pid, PipeId, ProcKey, StackId, TableId, Tid},
};

/// A live thread.
#[derive(Clone, Copy, Debug)]
struct Thread {
    process: ProcKey,
    table: TableId,
}

/// The watched part of the host.
#[derive(Debug)]
pub struct World {
    /// pipewatch's own process, which is no part of it, though it may start
    /// what is watched.
    own: Pid,
    threads: BTreeMap<Tid, Thread>,
    processes: BTreeMap<ProcKey, BTreeSet<Tid>>,
    tables: BTreeMap<TableId, Table>,
    pipes: BTreeMap<PipeId, Pipe>,
    /// Pipes whose holders changed since [`World::take_changed`].
    changed: BTreeSet<PipeId>,
    /// Something was missed, so a process may hold ends by a fork that was not seen.
    gaps: bool,
    /// A process was seen to be made that shares a table, so one may hold what another has
    /// made. A snapshot does not tell: an address may have been used again amid it.
    sharing: bool,
}

impl World {
    /// Nothing is known yet.
    pub fn new(own: Pid) -> Self {
        Self {
            own,
            threads: BTreeMap::new(),
            processes: BTreeMap::new(),
            tables: BTreeMap::new(),
            pipes: BTreeMap::new(),
            changed: BTreeSet::new(),
            gaps: false,
            sharing: false,
        }
    }

    /// The fd table, if a watched thread uses it.
    pub fn table(&self, id: TableId) -> Option<&Table> {
        self.tables.get(&id)
    }

    /// Whether a watched process is known to hold a write end.
    pub fn has_writer(&self, pipe: PipeId) -> bool {
        let mut ends = self.tables.values().flat_map(|table| table.of_pipe(pipe));
        ends.any(|slot| slot.end.mode.write)
    }

    /// What is remembered of a pipe.
    pub fn pipe(&self, id: PipeId) -> Option<&Pipe> {
        self.pipes.get(&id)
    }

    /// The same, to note what a judgement learned.
    pub fn pipe_mut(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.pipes.get_mut(&id)
    }

    /// Whether a thread of the process is known to live.
    pub fn lives(&self, process: ProcKey) -> bool {
        self.processes.contains_key(&process)
    }

    /// Whether nothing watched lives.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// How many watched processes live.
    pub fn watched(&self) -> usize {
        self.processes.len()
    }

    /// How many channels are known.
    pub fn pipes(&self) -> usize {
        self.pipes.len()
    }

    /// The stacks of all acts that are remembered.
    pub fn stacks(&self) -> BTreeSet<StackId> {
        let created = self.pipes.values().filter_map(Pipe::created);
        let created = created.filter_map(|created| created.act.stack);
        let tables = self.tables.values().flat_map(Table::stacks);
        created.chain(tables).collect()
    }

    /// Pipes whose holders changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<PipeId> {
        std::mem::take(&mut self.changed)
    }

    /// Applies an event.
    pub fn apply(&mut self, event: &Event) {
        let Event {
            time, actor, table, ..
        } = *event;
        let of_own_fork = matches!(
            event.fact,
            Fact::Fork { .. } | Fact::Entry { .. } | Fact::Walked { .. }
        );
        if actor.process.pid == self.own && !of_own_fork {
            return;
        }
        let act = |stack| Act { time, actor, stack };
        match event.fact {
            Fact::Fork {
                child,
                child_tid,
                child_table,
                stack,
            } => {
                self.add_thread(actor, table);
                self.sharing |= child_table == table && child != actor.process;
                if child_table != table {
                    self.disuse_table(child_table, act(stack));
                    let (before, known) = self.copy_of(table);
                    self.tables.entry(child_table).or_default().walk = Some(Box::new(Walk {
                        kind: Some(ViaKind::Fork),
                        act: act(stack),
                        before,
                        known,
                        own: false,
                    }));
                }
                self.add_thread(
                    Actor {
                        process: child,
                        tid: child_tid,
                        ..actor
                    },
                    child_table,
                );
            }
            Fact::Exec => {
                self.renew_table(actor, table, Some(ViaKind::Exec), act(None));
                self.keep_only(actor);
            }
            Fact::Unshare => self.renew_table(actor, table, None, act(None)),
            Fact::Entry { table, end } => {
                for end in end.by_channel() {
                    self.entry(table, end);
                }
            }
            Fact::Walked { table } => self.end_walk(table),
            Fact::Exit { last } => {
                // The id may be another thread's by now, as a snapshot showed.
                let thread = self.threads.get(&actor.tid);
                if thread.is_some_and(|thread| thread.process == actor.process) {
                    self.note_exit(act(None));
                    self.remove_thread(actor.tid, act(None));
                }
                if last {
                    self.remove_process(actor.process, act(None));
                }
            }
            Fact::Create {
                read,
                write_fd,
                write_file,
                stack,
            } => {
                self.add_thread(actor, table);
                self.create(table, read, write_fd, write_file, act(stack));
            }
            Fact::Close { end, .. } => self.close(table, end.fd, end.head, act(None)),
            Fact::CloseRange {
                first,
                last,
                mark_only,
            } => {
                self.close_range(table, first, last, mark_only, act(None));
            }
            Fact::Dup { end, from, stack } => {
                self.add_thread(actor, table);
                for end in end.by_channel() {
                    self.duplicate(table, end, from, act(stack));
                }
            }
            Fact::SetCloexec { end } => {
                for end in end.by_channel() {
                    self.set_cloexec(table, end, actor.process);
                }
            }
            Fact::Wake { .. } => {}
        }
    }

    /// Notes that a thread lives and uses a table: its first event, or its
    /// first after it got another table.
    fn add_thread(&mut self, actor: Actor, table: TableId) {
        if actor.process.pid == self.own {
            return;
        }
        let thread = Thread {
            process: actor.process,
            table,
        };
        let old = self.threads.insert(actor.tid, thread);
        if old.is_some_and(|old| old.process == actor.process && old.table == table) {
            return;
        }
        self.tables.entry(table).or_default().users += 1;
        self.processes
            .entry(actor.process)
            .or_default()
            .insert(actor.tid);
        if let Some(old) = old {
            // Its id may have been reused without its end being seen.
            if old.process != actor.process {
                self.leave_process(old.process, actor.tid);
            }
            self.leave_table(
                old.table,
                Act {
                    time: Ktime::default(),
                    actor,
                    stack: None,
                },
            );
        }
    }

    fn remove_thread(&mut self, tid: Tid, act: Act) {
        if let Some(thread) = self.threads.remove(&tid) {
            self.leave_process(thread.process, tid);
            self.leave_table(thread.table, act);
        }
    }

    fn leave_process(&mut self, process: ProcKey, tid: Tid) {
        if let Some(tids) = self.processes.get_mut(&process) {
            tids.remove(&tid);
            if tids.is_empty() {
                self.processes.remove(&process);
            }
        }
    }

    fn remove_process(&mut self, process: ProcKey, act: Act) {
        for tid in self.processes.get(&process).cloned().unwrap_or_default() {
            self.remove_thread(tid, act);
        }
    }

    /// After an exec only the actor is left of its process, by the id of the
    /// group leader.
    fn keep_only(&mut self, actor: Actor) {
        for tid in self
            .processes
            .get(&actor.process)
            .cloned()
            .unwrap_or_default()
        {
            if tid != actor.tid {
                self.remove_thread(
                    tid,
                    Act {
                        time: Ktime::default(),
                        actor,
                        stack: None,
                    },
                );
            }
        }
    }

    fn leave_table(&mut self, id: TableId, act: Act) {
        let Some(table) = self.tables.get_mut(&id) else {
            return;
        };
        table.users = table.users.saturating_sub(1);
        if table.users == 0 {
            self.drop_table(id, act);
        }
    }

    /// A new table has the address of a known one, so that is gone, and whoever
    /// was thought to use it.
    fn disuse_table(&mut self, id: TableId, act: Act) {
        if !self.tables.contains_key(&id) {
            return;
        }
        let uses = |(tid, thread): (&Tid, &Thread)| (thread.table == id).then_some(*tid);
        let tids: Vec<Tid> = self.threads.iter().filter_map(uses).collect();
        for tid in tids {
            self.remove_thread(tid, act);
        }
        self.drop_table(id, act);
    }

    /// Forgets a table; whatever it held is closed by that.
    fn drop_table(&mut self, id: TableId, act: Act) {
        self.abandon_walk(id, act);
        let Some(table) = self.tables.remove(&id) else {
            return;
        };
        for slot in table.slots {
            self.note_release(&slot, None, act.actor.process, act.time);
            self.forget(slot.end.pipe);
        }
    }

    /// What a table holds, and whether that is known to be all.
    fn copy_of(&self, id: TableId) -> (Slots, bool) {
        self.tables
            .get(&id)
            .map(|table| (table.slots.clone(), table.known))
            .unwrap_or_default()
    }

    /// What history tells of an end that the kernel's tables show now.
    pub fn slot(&self, process: ProcKey, table: TableId, end: End) -> Option<Slot> {
        let known = self.table(table);
        let slot = known.and_then(|known| known.slot(end.fd, end.pipe));
        // The same description at the same number: history speaks of this.
        let slot = slot.filter(|slot| slot.end.is_same(&end)).cloned();
        let unknown = |slot: &Slot| slot.via.kind == ViaKind::Unknown && slot.intent.is_none();
        if slot.as_ref().is_none_or(unknown) && self.is_passed_to_elder(end, process) {
            return Some(Slot::passed(end));
        }
        slot.or_else(|| {
            // Whoever inherits from watched processes is watched, unless that was
            // missed.
            let stranger = !self.gaps && !self.lives(process);
            let known = known.map_or(stranger, |known| known.known);
            self.arrived(end, process, known).filter(|_| known)
        })
    }

    fn create(
        &mut self,
        table: TableId,
        read: End,
        write_fd: Fd,
        write_file: Option<FileId>,
        act: Act,
    ) {
        let created = Created {
            act,
            fds: [read.fd, write_fd],
        };
        let via = Provenance::seen(ViaKind::Created, act, None);
        let other = write_file.map(|file| other_end(read, write_fd, file));
        for end in read
            .by_channel()
            .chain(other.into_iter().flat_map(End::by_channel))
        {
            let slot = Slot {
                end,
                via: via.clone(),
                intent: None,
            };
            let pipe = self.pipes.entry(end.pipe).or_default();
            pipe.create(created, write_file);
            self.insert(table, slot);
        }
    }

    fn duplicate(&mut self, table: TableId, end: End, from: Fd, act: Act) {
        let source = self.tables.get(&table);
        let source = source.and_then(|table| table.slot(from, end.pipe));
        let source = source.filter(|slot| slot.end.is_same(&end)).cloned();
        let known = self.table(table).is_some_and(|table| table.known);
        let source = source.or_else(|| self.arrived(end, act.actor.process, known));
        let via = Provenance::seen(ViaKind::Dup, act, source.map(|slot| slot.via));
        self.insert(
            table,
            Slot {
                end,
                via,
                intent: None,
            },
        );
        if end.mode.write {
            self.sign(table, end.pipe, Sign::Duplicated, act.actor.process);
        }
    }

    fn set_cloexec(&mut self, table: TableId, end: End, by: ProcKey) {
        let slot = self
            .tables
            .get_mut(&table)
            .and_then(|table| table.slots.get_mut(end.fd, end.pipe));
        let Some(slot) = slot.filter(|slot| slot.end.file == end.file) else {
            return;
        };
        let cleared = slot.end.cloexec && !end.cloexec;
        slot.end.cloexec = end.cloexec;
        if cleared && end.mode.write {
            self.sign(table, end.pipe, Sign::KeptForExec, by);
        }
    }

    fn close(&mut self, table: TableId, fd: Fd, head: Option<u32>, act: Act) {
        for slot in self.take_slots(table, fd, fd, |_| true) {
            self.note_close(table, &slot, head, act);
            self.forget(slot.end.pipe);
        }
    }

    /// Takes what descriptors are out of a table, if it is what is wanted.
    fn take_slots(
        &mut self,
        table: TableId,
        first: Fd,
        last: Fd,
        wanted: impl Fn(&End) -> bool,
    ) -> Vec<Slot> {
        let table = self.tables.get_mut(&table);
        table.map_or_else(Vec::new, |table| table.slots.take(first, last, wanted))
    }

    /// A descriptor was closed by a call, so on purpose.
    fn note_close(&mut self, table: TableId, slot: &Slot, head: Option<u32>, act: Act) {
        let End { fd, pipe, mode, .. } = slot.end;
        if let Some(pipe) = self.pipes.get_mut(&pipe).filter(|_| mode.write) {
            pipe.close(Step {
                act,
                what: What::Close,
                fds: vec![fd],
            });
        }
        if mode.read && !mode.write {
            self.sign(table, pipe, Sign::ClosedOther, act.actor.process);
        }
        self.note_release(slot, head, act.actor.process, act.time);
    }

    /// Who ends was to write, if it made the pipe, or arranged its end.
    fn note_exit(&mut self, act: Act) {
        let thread = self.threads.get(&act.actor.tid);
        let table = thread.and_then(|thread| self.tables.get(&thread.table));
        let slots = table
            .filter(|table| table.users == 1)
            .into_iter()
            .flat_map(|table| table.slots.iter());
        for slot in slots.filter(|slot| slot.end.mode.write) {
            if let Some(pipe) = self.pipes.get_mut(&slot.end.pipe)
                && (pipe.is_made_by(act.actor.process) || slot.intent.is_some())
            {
                pipe.exit(act, slot.end.fd);
            }
        }
    }

    fn close_range(&mut self, id: TableId, first: Fd, last: Fd, mark_only: bool, act: Act) {
        if first > last {
            return;
        }
        let Some(table) = self.tables.get_mut(&id) else {
            return;
        };
        if mark_only {
            for slot in table.slots.range_mut(first, last) {
                slot.end.cloexec = true;
            }
            return;
        }
        // All go at once, since there may be many. What one tells of those that go
        // after it, it tells while they are there.
        let slots = table.slots.range(first, last).iter();
        let ends: Vec<End> = slots.map(|slot| slot.end).collect();
        for end in ends {
            let slot = self.table(id).and_then(|it| it.slot(end.fd, end.pipe));
            if let Some(slot) = slot.cloned() {
                self.note_close(id, &slot, None, act);
            }
        }
        for slot in self.take_slots(id, first, last, |_| true) {
            self.forget(slot.end.pipe);
        }
    }

    fn sign(&mut self, table: TableId, pipe: PipeId, sign: Sign, by: ProcKey) {
        if let Some(table) = self.tables.get_mut(&table) {
            table.sign(pipe, Intent { sign, by });
        }
    }

    /// A write end is gone from a table. If it was held by somebody meant to
    /// write, whoever is left may be an heir that never will.
    fn note_release(&mut self, slot: &Slot, head: Option<u32>, by: ProcKey, time: Ktime) {
        if !slot.end.mode.write {
            return;
        }
        let Some(pipe) = self.pipes.get_mut(&slot.end.pipe) else {
            return;
        };
        let made = pipe.is_made_by(by);
        if !made {
            pipe.leave(time);
        }
        if made || slot.intent.is_some() || slot.via.kind == ViaKind::Unknown {
            pipe.release(time, head);
        }
    }

    fn insert(&mut self, table: TableId, slot: Slot) {
        let (fd, id, file) = (slot.end.fd, slot.end.pipe, slot.end.file);
        self.changed.insert(id);
        let pipe = self.pipes.entry(id).or_default();
        pipe.slots += 1;
        if slot.end.mode.write {
            pipe.see_file(file);
        }
        // Whatever else it was, it is not any more; a socket is two ends.
        let other = |old: &End| old.pipe == id || old.file != file;
        for old in self.take_slots(table, fd, fd, other) {
            self.forget(old.end.pipe);
        }
        let slots = &mut self.tables.entry(table).or_default().slots;
        slots.insert(slot);
    }

    /// One descriptor less refers to the pipe; without any it is gone.
    fn forget(&mut self, id: PipeId) {
        self.changed.insert(id);
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.slots = pipe.slots.saturating_sub(1);
            if pipe.slots == 0 {
                self.pipes.remove(&id);
            }
        }
    }
}

/// The end that was made together with `end`.
fn other_end(end: End, fd: Fd, file: FileId) -> End {
    match end.kind {
        Kind::Socketpair { peer } => End {
            fd,
            file,
            pipe: peer.unwrap_or(end.pipe),
            kind: Kind::Socketpair {
                peer: Some(end.pipe),
            },
            ..end
        },
        Kind::Pipe | Kind::Fifo => End {
            fd,
            file,
            mode: Mode {
                read: false,
                write: true,
            },
            ..end
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Snapshot;

    pub(super) fn process(pid: u32) -> ProcKey {
        ProcKey {
            pid: Pid(pid),
            start: 1,
        }
    }

    pub(super) fn end(fd: u32, write: bool) -> End {
        End {
            fd: Fd(fd),
            pipe: PipeId { dev: 14, inode: 7 },
            address: 1,
            file: FileId(u64::from(write)),
            mode: Mode {
                read: !write,
                write,
            },
            cloexec: false,
            kind: Kind::Pipe,
            head: Some(0),
        }
    }

    /// A process does something; each has a table of its own.
    pub(super) fn act(world: &mut World, pid: u32, fact: Fact) {
        world.apply(&Event {
            time: Ktime(1),
            actor: Actor {
                process: process(pid),
                tid: Tid(pid),
                comm: "server".into(),
            },
            table: TableId(pid.into()),
            fact,
        });
    }

    pub(super) fn creation(stack: Option<StackId>) -> Fact {
        Fact::Create {
            read: end(3, false),
            write_fd: Fd(4),
            write_file: Some(FileId(1)),
            stack,
        }
    }

    /// A process that is not watched holds an end that a watched one made.
    fn of_a_stranger(lost: bool) -> Option<ViaKind> {
        let mut world = World::new(Pid(1));
        world.adopt(&Snapshot::default(), lost.then_some(Ktime(0)));
        act(&mut world, 500, creation(None));
        let slot = world.slot(process(501), TableId(501), end(4, true));
        slot.map(|slot| slot.via.kind)
    }

    #[test]
    fn what_a_host_has_most_of_takes_little_room() {
        assert!(size_of::<Slot>() <= 88);
        assert!(size_of::<Pipe>() <= 32);
        assert!(size_of::<Table>() <= 40);
    }

    #[test]
    fn an_end_was_passed_on_only_if_no_fork_can_have_been_missed() {
        assert_eq!(of_a_stranger(false), Some(ViaKind::Passed));
        assert_eq!(of_a_stranger(true), None);
    }

    #[test]
    fn stacks_are_of_what_is_still_held() {
        let mut world = World::new(Pid(1));
        let stacks = |world: &World| {
            world
                .stacks()
                .into_iter()
                .map(|id| id.0)
                .collect::<Vec<_>>()
        };
        act(&mut world, 500, creation(Some(StackId(10))));
        let table = TableId(501);
        let fork = Fact::Fork {
            child: process(501),
            child_tid: Tid(501),
            child_table: table,
            stack: Some(StackId(20)),
        };
        act(&mut world, 500, fork);
        // Before it is told what the child has.
        assert_eq!(stacks(&world), [10, 20]);
        for end in [end(3, false), end(4, true)] {
            act(&mut world, 500, Fact::Entry { table, end });
        }
        act(&mut world, 500, Fact::Walked { table });
        let dup = Fact::Dup {
            end: end(9, true),
            from: Fd(4),
            stack: Some(StackId(30)),
        };
        act(&mut world, 500, dup);
        assert_eq!(stacks(&world), [10, 20, 30]);
        act(&mut world, 500, Fact::Close { end: end(9, true) });
        assert_eq!(stacks(&world), [10, 20]);
        act(&mut world, 500, Fact::Exit { last: true });
        // The child's are still there.
        assert_eq!(stacks(&world), [10, 20]);
        act(&mut world, 501, Fact::Exit { last: true });
        assert_eq!(stacks(&world), [0_u32; 0]);
    }
}
