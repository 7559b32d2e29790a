//! What `/proc` shows of the kernel's tables: who sleeps in what, who holds
//! which end of a pipe. It tells neither how many writers a pipe has nor whether
//! there is something in it, but a thread asleep in a read shows that the pipe
//! is empty and that somebody may write.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::AsRawFd as _,
};

use super::{
    descriptor,
    identity::Identities,
    kcmp::{self, Same},
    thread::{self, Place, Shown},
    wait_set::waited_for,
};
use crate::{
    decode::CallNumbers,
    event::{Actor, Call, End, EndRow, Event, Fact, Multiplexed, Sleep, Snapshot, TaskRow},
    ids::{Fd, FileId, Ktime, Pid, PipeId, ProcKey, TableId, Tid},
};

const CALLS: CallNumbers = CallNumbers::NATIVE;

/// How long a sleep is remembered that is not seen again.
const FORGET: u64 = 30_000_000_000;

/// One sleep of one thread, by its `nvcsw`.
type SleepId = (Tid, u64);

/// The tables, and who is watched.
#[derive(Debug)]
pub struct Tables {
    all: bool,
    own: Pid,
    watched: BTreeMap<Pid, u64>,
    /// Device of anonymous pipes.
    pipefs: u32,
    /// Length of the clock ticks that `/proc` counts in, nanoseconds.
    clock_tick: u64,
    /// The parent of the kernel's own threads.
    kthreadd: Option<Pid>,
    /// When each sleep was seen first, and last.
    sleeps: BTreeMap<SleepId, (Ktime, Ktime)>,
    identities: Identities,
    /// Every process, when it started and its parent.
    processes: BTreeMap<Pid, (u64, Pid)>,
    /// The processes as last listed, to list what they hold.
    listed: Vec<Threads>,
    /// Who slept then, waiting for what.
    waiting: Vec<Waiting>,
    /// Write ends of what was waited for then.
    writers: Vec<EndRow>,
    /// Processes that may not be looked into.
    hidden: BTreeSet<ProcKey>,
    /// Some do not show the calls that they sleep in.
    calls_hidden: bool,
}

/// The threads of a process, with their tables.
type Threads = Vec<(Actor, TableId)>;

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: SleepId,
    table: TableId,
    on: On,
}

#[derive(Clone, Copy, Debug)]
enum On {
    Pipe(PipeId),
    Set(Multiplexed),
}

impl Tables {
    /// Of this host; `all` if every process is watched but `own`.
    ///
    /// # Errors
    ///
    /// There is no `/proc`.
    pub fn new(all: bool, own: Pid) -> io::Result<Self> {
        let (read, _write) = rustix::pipe::pipe()?;
        let fd = Fd(read.as_raw_fd().unsigned_abs());
        let pipe = descriptor::pipe(Tid(std::process::id()), fd).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "it does not show own descriptors")
        })?;
        let two = Pid(2);
        let is_kthreadd =
            fs::read(format!("/proc/{two}/comm")).is_ok_and(|comm| comm == b"kthreadd\n");
        Ok(Self {
            all,
            own,
            watched: BTreeMap::new(),
            pipefs: pipe.dev,
            clock_tick: 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1),
            kthreadd: is_kthreadd.then_some(two),
            sleeps: BTreeMap::new(),
            identities: Identities::default(),
            processes: BTreeMap::new(),
            listed: Vec::new(),
            waiting: Vec::new(),
            writers: Vec::new(),
            hidden: BTreeSet::new(),
            calls_hidden: false,
        })
    }

    /// Adds a process to the watched ones, and all it will fork.
    pub fn watch(&mut self, pid: Pid, start: u64) {
        self.watched.insert(pid, start);
    }

    /// Removes a process from the watched ones, not what it has forked.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn unwatch(&mut self, pid: Pid) -> io::Result<()> {
        self.processes()?;
        self.watched.remove(&pid);
        Ok(())
    }

    /// Whether a process is among the watched ones.
    pub fn is_watched(&self, pid: Pid) -> bool {
        pid != self.own && (self.all || self.watched.contains_key(&pid))
    }

    /// Whether nothing that is watched lives.
    pub fn is_idle(&self) -> bool {
        !self.all && self.watched.is_empty()
    }

    /// Whether a process may not be looked into, as was seen when the threads
    /// were listed last.
    pub fn is_hidden(&self, pid: Pid) -> bool {
        self.hidden.iter().any(|process| process.pid == pid)
    }

    /// How many processes may not be looked into, as far as was seen.
    pub fn hidden(&self) -> usize {
        self.hidden.len()
    }

    /// Whether threads do not show which call they sleep in.
    pub fn are_calls_hidden(&self) -> bool {
        self.calls_hidden
    }

    /// Every user thread of the host.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn tasks(&mut self, now: Ktime) -> io::Result<Vec<TaskRow>> {
        let processes = self.processes()?;
        let present: BTreeSet<ProcKey> = processes.iter().map(|(key, _)| *key).collect();
        self.hidden.retain(|process| present.contains(process));
        self.listed.clear();
        let mut rows = Vec::new();
        for (key, parent) in processes {
            if is_hidden(key.pid) {
                self.hidden.insert(key);
            } else {
                self.hidden.remove(&key);
            }
            let threads = self.list(key, parent);
            for (actor, table) in &threads {
                rows.extend(self.row(*actor, *table, now));
            }
            self.listed.push(threads);
        }
        self.note_waiting(&rows);
        self.sleeps.retain(|_, (_, last)| now.since(*last) < FORGET);
        Ok(rows)
    }

    /// The descriptors of the pipes that threads waited for when they were
    /// listed last.
    pub fn ends(&mut self) -> Vec<EndRow> {
        let listed = std::mem::take(&mut self.listed);
        let mut rows = self.held(&listed);
        self.listed = listed;
        self.identities.of_all(&mut rows);
        let mut writers: BTreeMap<PipeId, BTreeSet<FileId>> = BTreeMap::new();
        for end in rows.iter().map(|row| row.end) {
            let files = writers.entry(end.pipe).or_default();
            if end.mode.write {
                files.insert(end.file);
            }
        }
        let unseen: BTreeSet<PipeId> = writers
            .iter()
            .filter(|(pipe, files)| files.is_empty() && self.is_waited_for(**pipe, &rows))
            .map(|(pipe, _)| *pipe)
            .collect();
        for row in &mut rows {
            let pipe = row.end.pipe;
            let shown = writers.get(&pipe).map_or(0, BTreeSet::len);
            row.writers = u32::try_from(shown).unwrap_or(u32::MAX);
            if unseen.contains(&pipe) {
                row.writers = 1;
            }
        }
        let writes = |row: &&EndRow| row.end.mode.write;
        self.writers = rows.iter().filter(writes).copied().collect();
        rows
    }

    /// What has become, meanwhile, of the write ends of pipes that were waited
    /// for when descriptors were last listed. Each is told once.
    pub fn let_go(&mut self, now: Ktime) -> Vec<Event> {
        let mut events = Vec::new();
        self.writers.retain(|row| {
            let EndRow {
                actor, table, end, ..
            } = *row;
            if descriptor::pipe(actor.tid, end.fd) == Some(end.pipe) {
                return true;
            }
            let alive = |tid: Tid| thread::status(tid).is_some_and(|status| !status.is_dead());
            let fact = if alive(actor.tid) {
                Some(Fact::Close { end })
            } else if threads(actor.process.pid).into_iter().any(alive) {
                // Another thread has the table, if any has.
                None
            } else {
                Some(Fact::Exit { last: true })
            };
            events.extend(fact.map(|fact| Event {
                time: now,
                actor,
                table,
                fact,
            }));
            false
        });
        events
    }

    /// Watched threads that wait for pipes, or for something among which may be
    /// pipes.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn sleepers(&mut self, now: Ktime) -> io::Result<Vec<TaskRow>> {
        let processes = self.processes()?;
        let mut rows = Vec::new();
        for (key, parent) in processes {
            if !self.is_watched(key.pid) || self.hidden.contains(&key) {
                continue;
            }
            // Most threads wait for something else, and cost no more than this.
            if !threads(key.pid).iter().any(|tid| is_of_interest(*tid)) {
                continue;
            }
            for (actor, table) in self.list(key, parent) {
                if is_of_interest(actor.tid) {
                    rows.extend(self.row(actor, table, now));
                }
            }
        }
        rows.retain(|row| row.sleep.is_some() || row.multiplexed.is_some());
        self.note_waiting(&rows);
        Ok(rows)
    }

    /// Which threads the watched processes have, and which ends of the pipes that
    /// they waited for when last seen.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn watched_state(&mut self) -> io::Result<Snapshot> {
        let mut state = Snapshot::default();
        // Meanwhile another process may have got the id of one that has ended.
        self.processes.clear();
        let mut processes = self.processes()?;
        processes.retain(|(key, _)| self.is_watched(key.pid));
        let mut listed = Vec::new();
        for (key, parent) in processes {
            let threads = self.list(key, parent);
            let rows = threads.iter().map(|(actor, table)| TaskRow {
                actor: *actor,
                table: *table,
                parent,
                stopped: false,
                asleep: None,
                multiplexed: None,
                waits_for: None,
                sleep: None,
            });
            state.tasks.extend(rows);
            listed.push(threads);
        }
        state.ends = self.held(&listed);
        self.identities.of_some(&mut state.ends);
        Ok(state)
    }

    /// All processes, with their parents. What the watched ones have forked is
    /// watched from here on, and what has ended is not any more.
    fn processes(&mut self) -> io::Result<Vec<(ProcKey, Pid)>> {
        let names = fs::read_dir("/proc")?.filter_map(Result::ok);
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let known = std::mem::take(&mut self.processes);
        for pid in pids.map(Pid) {
            let process = known.get(&pid).copied().or_else(|| {
                let (ticks, parent) = thread::start_and_parent(pid)?;
                Some((ticks.saturating_mul(self.clock_tick), parent))
            });
            self.processes.extend(process.map(|process| (pid, process)));
        }
        let mut processes: Vec<(ProcKey, Pid)> = self
            .processes
            .iter()
            .map(|(&pid, &(start, parent))| (ProcKey { pid, start }, parent))
            .collect();
        if let Some(kthreadd) = self.kthreadd {
            processes.retain(|(key, parent)| key.pid != kthreadd && *parent != kthreadd);
        }
        let present = &self.processes;
        self.watched.retain(|pid, start| {
            *pid == self.own || present.get(pid).is_some_and(|(now, _)| now == start)
        });
        let mut added = true;
        while added {
            added = false;
            for (key, parent) in &processes {
                let new = self.watched.contains_key(parent) && !self.watched.contains_key(&key.pid);
                if new && key.pid != self.own {
                    self.watched.insert(key.pid, key.start);
                    added = true;
                }
            }
        }
        Ok(processes)
    }

    /// The threads of a process, with their tables.
    fn list(&self, key: ProcKey, parent: Pid) -> Threads {
        let mut tables: Vec<Tid> = Vec::new();
        let mut list = Vec::new();
        for tid in threads(key.pid) {
            let Some(status) = thread::status(tid) else {
                continue;
            };
            let actor = Actor {
                process: key,
                tid,
                comm: status.comm,
            };
            if status.is_dead() {
                list.push((actor, TableId(0)));
                continue;
            }
            let shares = |user: &&Tid| kcmp::tables(**user, tid) != Same::No;
            let user = tables.iter().find(shares).copied().unwrap_or(tid);
            if user == tid {
                tables.push(tid);
            }
            list.push((actor, TableId(user.0.into())));
        }
        // Until its exec, what was started by vfork or posix_spawn uses the
        // table of its parent.
        let borrowed = tables.first().filter(|tid| {
            !self.hidden.contains(&key) && kcmp::tables(Tid(parent.0), **tid) == Same::Yes
        });
        if let Some(own) = borrowed.map(|tid| TableId(tid.0.into())) {
            for (_, table) in list.iter_mut().filter(|(_, table)| *table == own) {
                *table = TableId(parent.0.into());
            }
        }
        list
    }

    /// A thread as it is now.
    fn row(&mut self, actor: Actor, table: TableId, now: Ktime) -> Option<TaskRow> {
        // In this order: what is seen of a sleep that is over by then cannot be
        // taken for the next one.
        let status = thread::status(actor.tid)?;
        let mut row = TaskRow {
            actor,
            table,
            parent: status.parent,
            stopped: status.is_stopped(),
            asleep: status.is_asleep().then_some(status.nvcsw),
            multiplexed: None,
            waits_for: None,
            sleep: None,
        };
        if row.asleep.is_none() || self.hidden.contains(&actor.process) {
            return Some(row);
        }
        let (place, shown) = thread::place(actor.tid);
        // It may have made itself one that nobody may look into a moment ago.
        self.calls_hidden =
            self.calls_hidden || shown == Shown::NoCall && !is_hidden(actor.process.pid);
        let nvcsw = status.nvcsw;
        let (call, end) = match place {
            Place::Nowhere => return Some(row),
            Place::SomePipe => (Some(Call::Read), self.only_read_end(actor.tid)),
            Place::Call(called @ [number, arg0, _]) => {
                row.waits_for = CALLS.waits_for(called);
                let since = self.since(actor.tid, nvcsw, now);
                row.multiplexed = CALLS.multiplexed(called, since).filter(is_set);
                let fd = u32::try_from(arg0).map(Fd).ok();
                let call = CALLS.call(number);
                let end = fd.filter(|_| call.is_some());
                (
                    call,
                    end.and_then(|fd| {
                        descriptor::pipe(actor.tid, fd)
                            .and_then(|pipe| descriptor::end(actor.tid, (fd, pipe), self.pipefs))
                    }),
                )
            }
        };
        if let (Some(call), Some(end)) = (call, end) {
            row.sleep = Some(Sleep {
                since: self.since(actor.tid, nvcsw, now),
                end: self.identities.of_one(table, end),
                call,
                nvcsw,
                previous: None,
            });
        }
        Some(row)
    }

    /// When a sleep was seen first.
    fn since(&mut self, tid: Tid, nvcsw: u64, now: Ktime) -> Ktime {
        let (first, last) = self.sleeps.entry((tid, nvcsw)).or_insert((now, now));
        *last = now;
        *first
    }

    /// The end that a thread reads, if it has only one to read from.
    fn only_read_end(&self, tid: Tid) -> Option<End> {
        let pipes = descriptor::pipes(tid).ok()?.into_iter();
        let ends = pipes.filter_map(|found| descriptor::end(tid, found, self.pipefs));
        let mut reads = ends.filter(|end| end.mode.read && !end.mode.write);
        let first = reads.next()?;
        reads.all(|end| end.pipe == first.pipe).then_some(first)
    }

    /// The descriptors that processes hold of the pipes that are waited for, and
    /// of those within reach of who waits for several descriptors.
    fn held(&self, processes: &[Threads]) -> Vec<EndRow> {
        let mut held = Vec::new();
        for threads in processes {
            let mut done = BTreeSet::from([TableId(0)]);
            for (actor, table) in threads {
                if done.insert(*table) {
                    let pipes = descriptor::pipes(actor.tid).unwrap_or_default();
                    held.extend(pipes.into_iter().map(|found| (*actor, *table, found)));
                }
            }
        }
        let waiting = self.waiting.iter();
        let pollers = waiting.clone().filter(|w| matches!(w.on, On::Set(_)));
        let pollers: BTreeSet<TableId> = pollers.map(|w| w.table).collect();
        let in_reach = held.iter().filter(|(_, table, _)| pollers.contains(table));
        let in_reach = in_reach.map(|(_, _, (_, pipe))| *pipe);
        let pipes = waiting.filter_map(|w| match w.on {
            On::Pipe(pipe) => Some(pipe),
            On::Set(_) => None,
        });
        let pipes: BTreeSet<PipeId> = pipes.chain(in_reach).collect();
        held.retain(|(_, _, (_, pipe))| pipes.contains(pipe));
        // Only these are worth a closer look.
        let row = |(actor, table, found): (Actor, TableId, (Fd, PipeId))| {
            Some(EndRow {
                actor,
                table,
                end: descriptor::end(actor.tid, found, self.pipefs)?,
                writers: 0,
                buffered: false,
                ring: false,
            })
        };
        held.into_iter().filter_map(row).collect()
    }

    /// Remembers who waits for what. Of processes that are not watched, nobody
    /// asks what they wait for by poll.
    fn note_waiting(&mut self, rows: &[TaskRow]) {
        let waiting = |row: &TaskRow| {
            let watched = self.is_watched(row.actor.process.pid);
            let on = match (row.sleep, row.multiplexed) {
                (Some(sleep), _) => On::Pipe(sleep.end.pipe),
                (None, set) => On::Set(set.filter(|_| watched)?),
            };
            Some(Waiting {
                id: (row.actor.tid, row.asleep?),
                table: row.table,
                on,
            })
        };
        self.waiting = rows.iter().filter_map(waiting).collect();
    }

    /// Whether a thread still waits for a pipe, so that somebody may write.
    fn is_waited_for(&self, pipe: PipeId, rows: &[EndRow]) -> bool {
        let waits = |waiting: &&Waiting| match waiting.on {
            On::Pipe(on) => on == pipe,
            On::Set(set) => {
                let of_table = |row: &&EndRow| row.end.pipe == pipe && row.table == waiting.table;
                let mut fds = rows
                    .iter()
                    .filter(of_table)
                    .map(|row| row.end.fd)
                    .peekable();
                fds.peek().is_some() && {
                    let waited_for = waited_for(waiting.id.0, &set);
                    fds.any(|fd| waited_for.contains(&fd))
                }
            }
        };
        let mut waiting = self.waiting.iter().filter(waits);
        waiting.any(
            |Waiting {
                 id: (tid, nvcsw), ..
             }| {
                thread::status(*tid).is_some_and(|now| now.is_asleep() && now.nvcsw == *nvcsw)
            },
        )
    }
}

/// Whether a process may not be looked into, as most of its links then say.
fn is_hidden(pid: Pid) -> bool {
    let link = fs::read_link(format!("/proc/{pid}/cwd"));
    link.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// What a ring waits for is not shown.
fn is_set(multiplexed: &Multiplexed) -> bool {
    multiplexed.call != Call::IoUring
}

/// Whether a thread sleeps where it may wait for a pipe.
fn is_of_interest(tid: Tid) -> bool {
    match thread::place(tid).0 {
        Place::SomePipe => true,
        Place::Nowhere => false,
        Place::Call([number, arg0, arg1]) => {
            let set = CALLS.multiplexed([number, arg0, arg1], Ktime(0));
            CALLS.call(number).is_some() || set.as_ref().is_some_and(is_set)
        }
    }
}

/// Ids of a process's threads.
pub(super) fn threads(pid: Pid) -> Vec<Tid> {
    let names = fs::read_dir(format!("/proc/{pid}/task"));
    let names = names.into_iter().flatten().filter_map(Result::ok);
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(Tid)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::{AsFd as _, OwnedFd},
        thread::JoinHandle,
    };

    use super::*;

    fn gettid() -> Tid {
        Tid(rustix::thread::gettid().as_raw_pid().unsigned_abs())
    }

    /// A thread that reads, its id, and the write end that keeps it waiting.
    fn reader() -> (JoinHandle<usize>, Tid, OwnedFd, Fd) {
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        let fd = Fd(read.as_raw_fd().unsigned_abs());
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(gettid()).expect("a listener");
            rustix::io::read(read.as_fd(), &mut [0; 1]).expect("the end")
        });
        (thread, told.recv().expect("an id"), write, fd)
    }

    fn seen_asleep(tables: &mut Tables, tid: Tid) -> TaskRow {
        for time in 1.. {
            let rows = tables.tasks(Ktime(time)).expect("/proc");
            let row = rows.into_iter().find(|row| row.actor.tid == tid);
            if let Some(row) = row.filter(|row| row.sleep.is_some()) {
                return row;
            }
            std::thread::yield_now();
        }
        unreachable!("there is always another moment")
    }

    #[test]
    fn a_reader_its_pipe_and_the_writer() {
        let own = Pid(std::process::id());
        let (thread, tid, write, fd) = reader();
        let mut tables = Tables::new(true, Pid(0)).expect("/proc");
        let row = seen_asleep(&mut tables, tid);
        let sleep = row.sleep.expect("a sleep");
        assert_eq!(
            (row.actor.process.pid, sleep.end.fd, sleep.call),
            (own, fd, Call::Read)
        );
        let rows = tables.ends();
        // Another test of this program may fork meanwhile.
        let of_pipe: Vec<&EndRow> = rows
            .iter()
            .filter(|row| row.end.pipe == sleep.end.pipe && row.actor.process.pid == own)
            .collect();
        let [read_end, write_end] = of_pipe[..] else {
            panic!("{of_pipe:?}");
        };
        assert!(read_end.end.is_same(&sleep.end) && read_end.end.mode.read);
        assert!(write_end.end.mode.write && write_end.end.file != read_end.end.file);
        assert_eq!((read_end.writers, read_end.table), (1, row.table));

        // The same sleep began when it was seen first.
        let again = tables.tasks(Ktime(u64::MAX / 2)).expect("/proc");
        let again = again
            .iter()
            .find(|row| row.actor.tid == tid)
            .expect("the reader");
        assert_eq!(again.sleep, Some(sleep));
        drop(write);
        assert_eq!(thread.join().expect("no panic"), 0);
    }

    #[test]
    fn children_are_watched_with_their_parents() {
        let own = Pid(std::process::id());
        let mut tables = Tables::new(false, Pid(0)).expect("/proc");
        tables.tasks(Ktime(1)).expect("/proc");
        let mut actors = tables
            .listed
            .iter()
            .flatten()
            .map(|(actor, _)| actor.process);
        let start = actors
            .find(|process| process.pid == own)
            .expect("this process")
            .start;
        tables.watch(own, start);
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat");
        let pid = Pid(child.id());
        tables.tasks(Ktime(2)).expect("/proc");
        assert!(tables.is_watched(pid) && tables.is_watched(own) && !tables.is_watched(Pid(1)));
        let state = tables.watched_state().expect("/proc");
        assert!(state.tasks.iter().any(|row| row.actor.process.pid == pid));
        drop(child.stdin.take());
        child.wait().expect("its end");
        tables.tasks(Ktime(3)).expect("/proc");
        assert!(!tables.is_watched(pid) && tables.is_watched(own));
    }
}
