//! A snapshot of the kernel's tables, with what is looked up in it often.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use super::{Wait, role::INIT};
use crate::{
    event::{EndRow, Parents, Snapshot, TaskRow, WaitFor},
    finding::Relation,
    ids::{FileId, Ktime, Pid, PipeId, ProcKey, Tid},
};

/// Processes that hold a write end of a pipe, with all their descriptors on it.
type Holders<'a> = BTreeMap<ProcKey, Vec<&'a EndRow>>;

/// Some of the processes that there are.
type Processes<'a> = Box<dyn Iterator<Item = ProcKey> + 'a>;

/// The present, as the kernel shows it.
pub struct Evidence<'a> {
    ends: BTreeMap<PipeId, Vec<&'a EndRow>>,
    holders: BTreeMap<PipeId, Holders<'a>>,
    writers: BTreeMap<PipeId, BTreeSet<FileId>>,
    /// Pipes with something in them.
    buffered: BTreeSet<PipeId>,
    /// Pipes of orphaned pools.
    pools: BTreeSet<PipeId>,
    tasks: BTreeMap<Tid, &'a TaskRow>,
    threads: BTreeMap<ProcKey, Vec<&'a TaskRow>>,
    parents: Parents,
    children: BTreeMap<Pid, Vec<ProcKey>>,
    /// When events were last known to be missing.
    pub lost: Option<Ktime>,
}

impl<'a> Evidence<'a> {
    /// `own` is pipewatch's process, which is no holder; `lost` tells when
    /// events were last known to be missing.
    pub fn new(snapshot: &'a Snapshot, own: Pid, lost: Option<Ktime>) -> Self {
        let mut ends: BTreeMap<PipeId, Vec<&EndRow>> = BTreeMap::new();
        let mut holders: BTreeMap<PipeId, Holders<'_>> = BTreeMap::new();
        let mut writers: BTreeMap<PipeId, BTreeSet<FileId>> = BTreeMap::new();
        let mut buffered = BTreeSet::new();
        for row in &snapshot.ends {
            let pipe = row.end.pipe;
            ends.entry(pipe).or_default().push(row);
            if row.buffered {
                buffered.insert(pipe);
            }
            if row.end.mode.write {
                writers.entry(pipe).or_default().insert(row.end.file);
            }
            if row.actor.process.pid != own {
                let holders = holders.entry(pipe).or_default();
                holders.entry(row.actor.process).or_default().push(row);
            }
        }
        for holders in holders.values_mut() {
            holders.retain(|_, rows| rows.iter().any(|row| row.end.mode.write));
        }
        let mut threads: BTreeMap<ProcKey, Vec<&TaskRow>> = BTreeMap::new();
        for row in snapshot.tasks.iter().filter(|row| row.is_alive()) {
            threads.entry(row.actor.process).or_default().push(row);
        }
        let parents = Parents::of(&snapshot.tasks);
        let mut children: BTreeMap<Pid, Vec<ProcKey>> = BTreeMap::new();
        for process in threads.keys() {
            if let Some(parent) = parents.of_process(process.pid) {
                children.entry(parent).or_default().push(*process);
            }
        }
        let pools = holders
            .iter()
            .filter(|(_, holders)| is_pool(holders, &parents));
        let pools = pools.map(|(pipe, _)| *pipe).collect();
        Self {
            ends,
            pools,
            holders,
            writers,
            buffered,
            tasks: snapshot
                .tasks
                .iter()
                .map(|row| (row.actor.tid, row))
                .collect(),
            threads,
            parents,
            children,
            lost,
        }
    }

    /// The thread, if it still exists.
    pub fn task(&self, tid: Tid) -> Option<&'a TaskRow> {
        self.tasks.get(&tid).copied()
    }

    /// The live threads of a process.
    pub fn threads(&self, process: ProcKey) -> &[&'a TaskRow] {
        self.threads.get(&process).map_or(&[], Vec::as_slice)
    }

    /// Whether a process has a thread that has not ended.
    pub fn lives(&self, process: ProcKey) -> bool {
        self.threads(process).iter().any(|row| row.is_alive())
    }

    /// The parent of a process, if known.
    pub fn parent(&self, pid: Pid) -> Option<Pid> {
        self.parents.of_process(pid)
    }

    /// Every descriptor of a pipe, pipewatch's own too.
    pub fn ends(&self, pipe: PipeId) -> &[&'a EndRow] {
        self.ends.get(&pipe).map_or(&[], Vec::as_slice)
    }

    /// One of the descriptors of a pipe whose readers get neither bytes nor the end of file
    /// now.
    pub fn withheld(&self, pipe: PipeId) -> Option<&'a EndRow> {
        let row = self.ends(pipe).first()?;
        (row.writers > 0 && !self.buffered.contains(&pipe)).then_some(row)
    }

    /// How many open write descriptions are in fd tables.
    pub fn writers_shown(&self, pipe: PipeId) -> usize {
        self.writers.get(&pipe).map_or(0, BTreeSet::len)
    }

    /// The descriptors of a pipe by process, of those that hold a write end.
    pub fn holders(&self, pipe: PipeId) -> &Holders<'a> {
        static NONE: Holders<'static> = Holders::new();
        self.holders.get(&pipe).unwrap_or(&NONE)
    }

    /// Whether somebody above `pid` in the tree of processes holds a write end of a pipe.
    pub fn has_holder_above(&self, pipe: PipeId, pid: Pid) -> bool {
        let holders = self.holders(pipe);
        let holds = |pid| holders.range(ProcKey::all_of(pid)).next().is_some();
        self.parents
            .ancestors(pid)
            .any(|above| above != pid && holds(above))
    }

    /// Whether `ancestor` is above `pid` in the tree of processes.
    pub fn is_ancestor(&self, ancestor: Pid, pid: Pid) -> bool {
        self.parents.ancestors(pid).any(|pid| pid == ancestor)
    }

    /// What a holder is to the reader.
    pub fn relation(&self, holder: Pid, reader: Pid) -> Relation {
        let parent = self.parent(holder);
        if holder == reader {
            Relation::Itself
        } else if parent == Some(reader) {
            Relation::Child
        } else if self.parent(reader) == Some(holder) {
            Relation::Parent
        } else if self.is_ancestor(reader, holder) {
            Relation::Descendant
        } else if self.is_ancestor(holder, reader) {
            Relation::Ancestor
        } else if parent.is_some_and(|pid| pid.0 > 1) && parent == self.parent(reader) {
            Relation::Sibling
        } else {
            Relation::Unrelated
        }
    }

    /// Whether all who hold a write end, the reader among them, hold the read end
    /// at the same number too, and none of them has a parent any more: the
    /// workers of a process that has died, which alone was to write.
    pub fn is_orphaned_pool(&self, pipe: PipeId, reader: ProcKey) -> bool {
        self.pools.contains(&pipe) && self.holders(pipe).contains_key(&reader)
    }

    /// Whether a process can do nothing until the reader goes on: its only
    /// thread waits for the end of that process, or reads a pipe that only such
    /// processes can write to. A reader that has other threads, or waits for
    /// other things too, may do something about it.
    pub fn is_stuck_on(&self, process: ProcKey, wait: &Wait) -> bool {
        let reader = wait.actor.process;
        let only_waits = self.threads(reader).len() == 1 && wait.alone;
        only_waits && self.is_stuck(process, reader)
    }

    /// Whether whatever a process waits for waits for the reader, however far that
    /// goes. A cycle that leaves out the reader is not the reader's.
    fn is_stuck(&self, process: ProcKey, reader: ProcKey) -> bool {
        let mut stuck = BTreeSet::from([reader]);
        let mut looked_at = BTreeSet::new();
        // Not by recursion: a chain of processes may be of any length.
        let mut path = vec![(None, Box::new(iter::once(process)) as Processes<'_>)];
        while let Some((of, left)) = path.last_mut() {
            let Some(next) = left.next() else {
                stuck.extend(*of);
                path.pop();
                continue;
            };
            if stuck.contains(&next) {
                continue;
            }
            let mut waits_for = self.waits_for(next).peekable();
            if waits_for.peek().is_none() || !looked_at.insert(next) {
                return false;
            }
            path.push((Some(next), Box::new(waits_for)));
        }
        true
    }

    /// The processes of which one must end, write or close before this one goes
    /// on; none if it waits for something else too, or for nothing. There may be very many,
    /// and mostly the first tells enough.
    fn waits_for(&self, process: ProcKey) -> Processes<'_> {
        let [thread] = self.threads(process) else {
            return Box::new(iter::empty());
        };
        if let Some(wait) = thread.waits_for {
            return self.children(process.pid, wait);
        }
        let Some(sleep) = thread.sleep else {
            return Box::new(iter::empty());
        };
        let pipe = sleep.end.pipe;
        let row = self.ends(pipe).first();
        let complete = row.is_some_and(|row| row.writers as usize == self.writers_shown(pipe));
        if complete {
            Box::new(self.holders(pipe).keys().copied())
        } else {
            Box::new(iter::empty())
        }
    }

    fn children(&self, parent: Pid, wait: WaitFor) -> Processes<'_> {
        match wait {
            WaitFor::Any => Box::new(self.children.get(&parent).into_iter().flatten().copied()),
            WaitFor::Process(pid) => {
                let range = self.threads.range(ProcKey::all_of(pid));
                Box::new(range.map(|(process, _)| *process))
            }
        }
    }
}

/// Whether the holders of a pipe are an orphaned pool.
fn is_pool(holders: &Holders<'_>, parents: &Parents) -> bool {
    let ends = |rows: &[&EndRow]| {
        let ends = rows.iter().map(|row| (row.end.fd, row.end.file));
        ends.collect::<BTreeSet<_>>()
    };
    let Some(first) = holders.values().next().filter(|_| holders.len() > 1) else {
        return false;
    };
    let both = first
        .iter()
        .any(|row| row.end.mode.read && !row.end.mode.write);
    let own = ends(first);
    let alike = |(holder, rows): (&ProcKey, &Vec<&EndRow>)| {
        parents.of_process(holder.pid) == Some(INIT) && ends(rows) == own
    };
    both && holders.iter().all(alike)
}
