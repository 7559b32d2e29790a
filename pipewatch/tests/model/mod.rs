//! A kernel in memory: as much of Linux as processes, descriptors, pipes and
//! pairs of sockets need, what the probes report of it, and what the iterators show. `verbs`
//! tells it what to do, `session` puts an engine on top of it.

pub mod session;
pub mod verbs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pipewatch::{
    event::{
        Actor, Arm, Call, Doing, End, EndRow, Event, Fact, Kind, Mode, Multiplexed, Sleep, TaskRow,
        WaitFor,
    },
    finding::ViaKind,
    ids::{Comm, Fd, FileId, Ktime, Pid, PipeId, ProcKey, TableId, Tid},
};

/// The first process, which is always there.
pub const INIT: Pid = Pid(1);
/// pipewatch's own process.
pub const OWN: Pid = Pid(2);

const BOTH: Mode = Mode {
    read: true,
    write: true,
};

/// Whether a system call took place; if it could not, why.
pub type Done = Result<(), String>;

/// What close_range does with the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Closes them.
    Close,
    /// Marks them close-on-exec.
    Mark,
    /// Makes the table private, then closes them.
    Unshare,
}

/// Whose doings the probes report.
#[derive(Debug)]
pub enum Watched {
    All,
    Only(BTreeSet<Pid>),
}

/// A descriptor of a table.
#[derive(Clone, Debug)]
pub struct Descriptor {
    pub file: FileId,
    pub cloexec: bool,
    /// The acts that brought it here, the last one first.
    pub history: Vec<(ViaKind, Ktime)>,
}

type Table = BTreeMap<Fd, Descriptor>;

#[derive(Debug)]
struct Process {
    start: u64,
    parent: Pid,
    comm: Comm,
    /// It adopts what its descendants leave behind.
    subreaper: bool,
}

#[derive(Debug)]
struct Thread {
    process: Pid,
    comm: Comm,
    table: TableId,
    nvcsw: u64,
    stopped: bool,
    read: Option<Reading>,
    /// It sleeps in waitpid; whatever it does next tells that it has returned.
    waits_for: Option<WaitFor>,
}

/// A read that sleeps.
#[derive(Clone, Copy, Debug)]
struct Reading {
    since: Ktime,
    fd: Fd,
    call: Call,
    file: FileId,
}

/// An open file description. A socket reads from `pipe`.
#[derive(Debug)]
struct File {
    pipe: PipeId,
    mode: Mode,
}

#[derive(Debug)]
struct Pipe {
    address: u64,
    kind: Kind,
    head: u32,
    tail: u32,
}

/// Addresses of one kind of object. The last one freed is the first one used
/// again, as it is in the kernel.
#[derive(Debug, Default)]
struct Slab {
    used: u64,
    free: Vec<u64>,
}

impl Slab {
    fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.used += 0x100;
            self.used
        })
    }
}

/// The kernel.
#[derive(Debug)]
pub struct Kernel {
    pub now: Ktime,
    pub watched: Watched,
    /// What the probes have sent.
    pub events: Vec<Event>,
    /// Some of it cannot wait.
    pub urgent: bool,
    processes: BTreeMap<Pid, Process>,
    threads: BTreeMap<Tid, Thread>,
    tables: BTreeMap<TableId, Table>,
    files: BTreeMap<FileId, File>,
    pipes: BTreeMap<PipeId, Pipe>,
    /// FIFOs that were opened before keep their inodes.
    fifos: BTreeMap<String, PipeId>,
    /// Descriptors on their way in a socket.
    sent: VecDeque<FileId>,
    /// The probes' maps: the last sleep of each thread, and whose wake-up is
    /// to be reported.
    sleeps: BTreeMap<Tid, (Actor, TableId, Sleep)>,
    armed: BTreeMap<Tid, Arm>,
    table_addresses: Slab,
    file_addresses: Slab,
    pipe_addresses: Slab,
    last_inode: u64,
}

impl Kernel {
    /// Only init runs, and nothing is watched.
    pub fn new(now: Ktime) -> Self {
        let mut kernel = Self {
            now,
            watched: Watched::Only(BTreeSet::new()),
            events: Vec::new(),
            urgent: false,
            processes: BTreeMap::new(),
            threads: BTreeMap::new(),
            tables: BTreeMap::new(),
            files: BTreeMap::new(),
            pipes: BTreeMap::new(),
            fifos: BTreeMap::new(),
            sent: VecDeque::new(),
            sleeps: BTreeMap::new(),
            armed: BTreeMap::new(),
            table_addresses: Slab::default(),
            file_addresses: Slab::default(),
            pipe_addresses: Slab::default(),
            last_inode: 0,
        };
        let table = kernel.new_table(Table::new());
        kernel.add_process(INIT, Pid(0), "init".into());
        kernel.processes.get_mut(&INIT).expect("added").subreaper = true;
        kernel.add_thread(Tid(INIT.0), INIT, "init".into(), table);
        kernel
    }

    // ---- what can be asked ---------------------------------------------------

    /// Live threads, with their tables.
    pub fn threads(&self) -> impl Iterator<Item = (Tid, TableId)> {
        self.threads
            .iter()
            .map(|(tid, thread)| (*tid, thread.table))
    }

    /// Whether the process has a live thread.
    pub fn lives(&self, pid: Pid) -> bool {
        self.threads.values().any(|thread| thread.process == pid)
    }

    /// Whether the id is in use, be it by a dead process that was not waited for.
    pub fn knows(&self, id: u32) -> bool {
        self.processes.contains_key(&Pid(id)) || self.threads.contains_key(&Tid(id))
    }

    /// The descriptors of a table.
    pub fn table(&self, id: TableId) -> &BTreeMap<Fd, Descriptor> {
        &self.tables[&id]
    }

    /// The pipe in whose read the thread sleeps.
    pub fn reads(&self, tid: Tid) -> Option<PipeId> {
        let read = self.threads.get(&tid)?.read?;
        Some(self.files[&read.file].pipe)
    }

    /// Every pipe there ever was.
    pub fn pipes_ever(&self) -> impl Iterator<Item = PipeId> + use<> {
        (1..=self.last_inode).map(pipe_id)
    }

    /// Whether anybody still holds an end of a pipe.
    pub fn exists(&self, pipe: PipeId) -> bool {
        self.pipes.contains_key(&pipe)
    }

    /// Whether the probes report what the process does.
    pub fn is_watched(&self, pid: Pid) -> bool {
        match &self.watched {
            Watched::All => pid != OWN,
            Watched::Only(pids) => pids.contains(&pid),
        }
    }

    /// Whether they report anything.
    pub fn is_watching(&self) -> bool {
        !matches!(&self.watched, Watched::Only(pids) if pids.is_empty())
    }

    /// A descriptor as the probes and iterators describe it.
    pub fn end(&self, table: TableId, fd: Fd) -> Option<End> {
        let descriptor = self.tables.get(&table)?.get(&fd)?;
        let file = &self.files[&descriptor.file];
        let pipe = &self.pipes[&file.pipe];
        Some(End {
            fd,
            pipe: file.pipe,
            address: pipe.address,
            file: descriptor.file,
            mode: file.mode,
            cloexec: descriptor.cloexec,
            kind: pipe.kind,
            head: (!is_socket(pipe.kind)).then_some(pipe.head),
        })
    }

    /// What the iterator over tasks shows.
    pub fn tasks(&self) -> Vec<TaskRow> {
        let live = self.threads.iter().map(|(tid, thread)| TaskRow {
            actor: self.actor(*tid),
            table: thread.table,
            parent: self.processes[&thread.process].parent,
            stopped: thread.stopped,
            asleep: (thread.read.is_some() || thread.waits_for.is_some()).then_some(thread.nvcsw),
            multiplexed: thread.read.and_then(multiplexed),
            waits_for: thread.waits_for,
            sleep: self.sleep(*tid),
        });
        // A leader that has ended stays until its process is waited for.
        let dead = self
            .processes
            .iter()
            .filter(|(pid, _)| !self.threads.contains_key(&Tid(pid.0)));
        let dead = dead.map(|(pid, process)| TaskRow {
            actor: Actor {
                process: self.key(*pid),
                tid: Tid(pid.0),
                comm: process.comm,
            },
            table: TableId(0),
            parent: process.parent,
            stopped: false,
            asleep: None,
            multiplexed: None,
            waits_for: None,
            sleep: None,
        });
        live.chain(dead).collect()
    }

    /// What the iterator over fd tables shows.
    pub fn ends(&self) -> Vec<EndRow> {
        let mut rows = Vec::new();
        for (tid, thread) in &self.threads {
            let leader = self.threads.get(&Tid(thread.process.0));
            let same = leader.is_some_and(|leader| leader.table == thread.table);
            if tid.0 != thread.process.0 && same {
                continue;
            }
            for fd in self.tables[&thread.table].keys() {
                let Some(end) = self.end(thread.table, *fd) else {
                    continue;
                };
                rows.extend(end.by_channel().map(|end| EndRow {
                    actor: self.actor(*tid),
                    table: thread.table,
                    end,
                    writers: self.writers(end.pipe),
                    buffered: self.buffered(end.pipe),
                    ring: false,
                }));
            }
        }
        rows
    }

    /// The last sleep in a read of each watched thread; it may be over.
    pub fn sleeps(&self) -> Vec<(Actor, TableId, Sleep)> {
        self.sleeps.values().copied().collect()
    }

    /// Asks for a report of the thread's next wake-up.
    pub fn arm(&mut self, arm: Arm) {
        self.armed.insert(arm.tid, arm);
    }

    fn key(&self, pid: Pid) -> ProcKey {
        let start = self.processes[&pid].start;
        ProcKey { pid, start }
    }

    fn actor(&self, tid: Tid) -> Actor {
        let thread = &self.threads[&tid];
        Actor {
            process: self.key(thread.process),
            tid,
            comm: thread.comm,
        }
    }

    /// The read the thread sleeps in, if its descriptor still is one of a pipe.
    fn sleep(&self, tid: Tid) -> Option<Sleep> {
        let thread = &self.threads[&tid];
        let read = thread.read.filter(|read| !read.call.is_multiplexed())?;
        Some(Sleep {
            since: read.since,
            end: self.end(thread.table, read.fd)?.by_channel().next()?,
            call: read.call,
            nvcsw: thread.nvcsw,
            previous: None,
        })
    }

    fn writers(&self, pipe: PipeId) -> u32 {
        let writes = |file: &&File| self.writes_to(file) == Some(pipe);
        self.files.values().filter(writes).count() as u32
    }

    /// The channel that what is written to a description goes to.
    fn writes_to(&self, file: &File) -> Option<PipeId> {
        match self.pipes[&file.pipe].kind {
            Kind::Socketpair { peer } => peer,
            Kind::Pipe | Kind::Fifo => file.mode.write.then_some(file.pipe),
        }
    }

    fn buffered(&self, pipe: PipeId) -> bool {
        self.pipes
            .get(&pipe)
            .is_some_and(|pipe| pipe.head != pipe.tail)
    }

    // ---- processes -----------------------------------------------------------

    /// A thread forks.
    pub fn fork(&mut self, by: Tid, child: Pid, share_files: bool) -> Done {
        let actor = self.act(by)?;
        self.free_id(child.0)?;
        let table = self.threads[&by].table;
        let child_table = if share_files {
            table
        } else {
            self.copy_table(table, Some(ViaKind::Fork))
        };
        self.add_process(child, actor.process.pid, actor.comm);
        self.add_thread(Tid(child.0), child, actor.comm, child_table);
        if let Watched::Only(pids) = &mut self.watched
            && pids.contains(&actor.process.pid)
        {
            pids.insert(child);
        }
        self.report_clone(by, child, Tid(child.0), child_table);
        Ok(())
    }

    /// A thread starts another one.
    pub fn thread(&mut self, by: Tid, tid: Tid, comm: &str) -> Done {
        let actor = self.act(by)?;
        self.free_id(tid.0)?;
        let table = self.threads[&by].table;
        self.add_thread(tid, actor.process.pid, comm.into(), table);
        self.report_clone(by, actor.process.pid, tid, table);
        Ok(())
    }

    fn report_clone(&mut self, by: Tid, process: Pid, tid: Tid, child_table: TableId) {
        let fork = Fact::Fork {
            child: self.key(process),
            child_tid: tid,
            child_table,
            stack: None,
        };
        self.emit(by, fork);
        if child_table != self.threads[&by].table {
            self.walk(by, child_table);
        }
    }

    /// A thread runs a new program, which ends all others of its process and
    /// goes on under the id of the leader.
    pub fn exec(&mut self, by: Tid, comm: &str) -> Done {
        let pid = self.act(by)?.process.pid;
        for other in self.threads_of(pid) {
            if other != by {
                self.wake(other, self.actor(by), Doing::Exec);
                self.end_thread(other, false);
            }
        }
        let leader = Tid(pid.0);
        let mut thread = self.threads.remove(&by).ok_or("no such thread")?;
        thread.comm = comm.into();
        self.threads.insert(leader, thread);
        if let Some(process) = self.processes.get_mut(&pid) {
            process.comm = comm.into();
        }
        let id = self.make_private(leader);
        let table = self.tables.entry(id).or_default();
        let closed: Vec<Descriptor> = table
            .extract_if(.., |_, descriptor| descriptor.cloexec)
            .map(|(_, descriptor)| descriptor)
            .collect();
        for descriptor in table.values_mut() {
            descriptor.history.insert(0, (ViaKind::Exec, self.now));
        }
        self.emit(leader, Fact::Exec);
        self.walk(leader, id);
        self.release(closed, self.actor(leader), Doing::Exec);
        Ok(())
    }

    /// A thread ends, its process goes on if there is another.
    pub fn leave(&mut self, by: Tid) -> Done {
        let pid = self.act(by)?.process.pid;
        if pid == INIT {
            return Err("init does not end".to_owned());
        }
        let last = self.threads_of(pid).len() == 1;
        self.end_thread(by, last);
        Ok(())
    }

    /// A thread ends its whole process.
    pub fn exit(&mut self, by: Tid) -> Done {
        let actor = self.act(by)?;
        self.end_process(actor.process.pid, by, actor)
    }

    /// A thread kills another process.
    pub fn kill(&mut self, by: Tid, pid: Pid) -> Done {
        let killer = self.act(by)?;
        let first = self.threads_of(pid).first().copied();
        let first = first.ok_or_else(|| format!("no live process {pid}"))?;
        self.end_process(pid, first, killer)
    }

    fn end_process(&mut self, pid: Pid, first: Tid, killer: Actor) -> Done {
        if pid == INIT {
            return Err("init does not end".to_owned());
        }
        let mut tids = self.threads_of(pid);
        tids.sort_by_key(|tid| *tid != first);
        for tid in &tids {
            if *tid != killer.tid {
                self.wake(*tid, killer, Doing::Call);
            }
        }
        for (index, tid) in tids.iter().enumerate() {
            self.end_thread(*tid, index + 1 == tids.len());
        }
        Ok(())
    }

    fn end_thread(&mut self, tid: Tid, last: bool) {
        let actor = self.actor(tid);
        self.urgent |= self.armed.remove(&tid).is_some();
        self.sleeps.remove(&tid);
        self.emit(tid, Fact::Exit { last });
        let Some(thread) = self.threads.remove(&tid) else {
            return;
        };
        if last {
            self.end_of_process(actor.process.pid);
        }
        if self.threads.values().all(|t| t.table != thread.table) {
            self.table_addresses.free.push(thread.table.0);
            let table = self.tables.remove(&thread.table).unwrap_or_default();
            self.release(table.into_values().collect(), actor, Doing::Exit);
        }
    }

    fn end_of_process(&mut self, pid: Pid) {
        if let Watched::Only(pids) = &mut self.watched {
            pids.remove(&pid);
        }
        let parent = self.processes[&pid].parent;
        if parent == INIT || !self.lives(parent) {
            self.processes.remove(&pid);
        }
        let mut reaper = parent;
        while let Some(process) = self.processes.get(&reaper) {
            if process.subreaper && self.lives(reaper) {
                break;
            }
            reaper = process.parent;
        }
        // Who adopts waits for the children it is given.
        let threads = &self.threads;
        self.processes.retain(|child, process| {
            let orphaned = process.parent == pid;
            if orphaned {
                process.parent = reaper;
            }
            !orphaned || threads.values().any(|thread| thread.process == *child)
        });
    }

    /// A process adopts what its descendants leave behind from now on.
    pub fn subreaper(&mut self, by: Tid) -> Done {
        let actor = self.act(by)?;
        if let Some(process) = self.processes.get_mut(&actor.process.pid) {
            process.subreaper = true;
        }
        Ok(())
    }

    /// A thread waits for a child that still lives.
    pub fn waitpid(&mut self, by: Tid, child: WaitFor) -> Done {
        self.act(by)?;
        if let Some(thread) = self.threads.get_mut(&by) {
            thread.nvcsw += 1;
            thread.waits_for = Some(child);
        }
        Ok(())
    }

    /// A thread waits for a child of its process that has ended.
    pub fn reap(&mut self, by: Tid, child: Pid) -> Done {
        let actor = self.act(by)?;
        let parent = self.processes.get(&child).map(|process| process.parent);
        if parent != Some(actor.process.pid) || self.lives(child) {
            return Err(format!("{child} is no dead child of {}", actor.process.pid));
        }
        self.processes.remove(&child);
        Ok(())
    }

    /// A signal ends the sleep of a thread, whose read then begins anew or
    /// fails.
    pub fn signal(&mut self, by: Tid, target: Tid, restart: bool) -> Done {
        let actor = self.act(by)?;
        let read = self.threads.get(&target).and_then(|thread| thread.read);
        let read = read.ok_or_else(|| format!("{target} does not sleep in a read"))?;
        self.wake(target, actor, Doing::Call);
        if restart {
            self.read(target, read.fd, read.call)?;
        }
        Ok(())
    }

    /// A process is stopped, or goes on. A signal that stops ends a read too,
    /// which has to be told before.
    pub fn set_stopped(&mut self, by: Tid, pid: Pid, stopped: bool) -> Done {
        self.act(by)?;
        for tid in self.threads_of(pid) {
            if self.threads[&tid].read.is_some() {
                return Err(format!("thread {tid} sleeps in a read: signal it first"));
            }
            if let Some(thread) = self.threads.get_mut(&tid) {
                thread.stopped = stopped;
            }
        }
        Ok(())
    }

    fn threads_of(&self, pid: Pid) -> Vec<Tid> {
        let threads = self.threads.iter();
        let of_pid = threads.filter(|(_, thread)| thread.process == pid);
        of_pid.map(|(tid, _)| *tid).collect()
    }

    fn add_process(&mut self, pid: Pid, parent: Pid, comm: Comm) {
        let start = self.now.0;
        self.processes.insert(
            pid,
            Process {
                start,
                parent,
                comm,
                subreaper: false,
            },
        );
    }

    fn add_thread(&mut self, tid: Tid, process: Pid, comm: Comm, table: TableId) {
        self.threads.insert(
            tid,
            Thread {
                process,
                comm,
                table,
                nvcsw: 0,
                stopped: false,
                read: None,
                waits_for: None,
            },
        );
    }

    // ---- descriptors ---------------------------------------------------------

    /// A thread makes a pipe.
    pub fn pipe(&mut self, by: Tid, read: Fd, write: Fd, cloexec: bool) -> Done {
        self.act(by)?;
        self.free_fd(by, read)?;
        self.free_fd(by, write)?;
        if read == write {
            return Err("two ends at one number".to_owned());
        }
        let pipe = self.new_inode();
        self.add_pipe(pipe, Kind::Pipe);
        self.created(
            by,
            [(read, pipe, Mode::READ), (write, pipe, Mode::WRITE)],
            cloexec,
        )
    }

    /// A thread makes a pair of sockets.
    pub fn socketpair(&mut self, by: Tid, one: Fd, other: Fd) -> Done {
        self.act(by)?;
        self.free_fd(by, one)?;
        self.free_fd(by, other)?;
        if one == other {
            return Err("two sockets at one number".to_owned());
        }
        let (inode, peer) = (self.new_inode(), self.new_inode());
        for (inode, peer) in [(inode, peer), (peer, inode)] {
            self.add_pipe(inode, Kind::Socketpair { peer: Some(peer) });
        }
        self.created(by, [(one, inode, BOTH), (other, peer, BOTH)], false)
    }

    fn created(&mut self, by: Tid, ends: [(Fd, PipeId, Mode); 2], cloexec: bool) -> Done {
        let history = vec![(ViaKind::Created, self.now)];
        for (fd, pipe, mode) in ends {
            let file = self.new_file(pipe, mode);
            self.install(by, fd, file, cloexec, history.clone());
        }
        let [(read, ..), (write, ..)] = ends;
        let table = self.threads[&by].table;
        let created = Fact::Create {
            read: self.end(table, read).ok_or("no read end")?,
            write_fd: write,
            write_file: self.end(table, write).map(|end| end.file),
            stack: None,
        };
        self.emit(by, created);
        Ok(())
    }

    /// A thread opens a FIFO, which is there when first opened, or a pipe by
    /// `/proc/THREAD/fd/NUMBER`. Not reported.
    pub fn open(&mut self, by: Tid, path: &str, mode: Mode, fd: Fd) -> Done {
        self.act(by)?;
        self.free_fd(by, fd)?;
        let pipe = match path.strip_prefix("/proc/") {
            Some(path) => self.opened(path)?,
            None => {
                let known = self.fifos.get(path).copied();
                let pipe = known.unwrap_or_else(|| self.new_inode());
                self.fifos.insert(path.to_owned(), pipe);
                self.add_pipe(pipe, Kind::Fifo);
                pipe
            }
        };
        let file = self.new_file(pipe, mode);
        self.install(by, fd, file, false, vec![(ViaKind::Unknown, self.now)]);
        Ok(())
    }

    /// The pipe at `THREAD/fd/NUMBER`.
    fn opened(&self, path: &str) -> Result<PipeId, String> {
        let known = || {
            let (tid, fd) = path.split_once("/fd/")?;
            let thread = self.threads.get(&Tid(tid.parse().ok()?))?;
            let end = self.end(thread.table, Fd(fd.parse().ok()?))?;
            (!is_socket(end.kind)).then_some(end.pipe)
        };
        known().ok_or_else(|| format!("no pipe at /proc/{path}"))
    }

    /// A thread closes a descriptor.
    pub fn close(&mut self, by: Tid, fd: Fd) -> Done {
        let actor = self.act(by)?;
        let (_, end) = self.descriptor(by, fd)?;
        self.emit(by, Fact::Close { end });
        let closed = self.remove(by, fd);
        self.release(closed, actor, Doing::Call);
        Ok(())
    }

    /// A thread duplicates a descriptor to a number, whatever that was.
    pub fn dup(&mut self, by: Tid, old: Fd, new: Fd, cloexec: bool) -> Done {
        let actor = self.act(by)?;
        let (mut descriptor, end) = self.descriptor(by, old)?;
        if old == new {
            return Err("duplicated onto itself".to_owned());
        }
        let closed = self.replace(by, new);
        descriptor.history.insert(0, (ViaKind::Dup, self.now));
        self.install(by, new, descriptor.file, cloexec, descriptor.history);
        let end = End {
            fd: new,
            cloexec,
            ..end
        };
        self.emit(
            by,
            Fact::Dup {
                end,
                from: old,
                stack: None,
            },
        );
        self.release(closed, actor, Doing::Call);
        Ok(())
    }

    /// A thread duplicates something that is no pipe onto a descriptor.
    pub fn overwrite(&mut self, by: Tid, fd: Fd) -> Done {
        let actor = self.act(by)?;
        self.descriptor(by, fd)?;
        let closed = self.replace(by, fd);
        self.release(closed, actor, Doing::Call);
        Ok(())
    }

    /// The descriptor that a duplicate is about to replace.
    fn replace(&mut self, by: Tid, fd: Fd) -> Vec<Descriptor> {
        if let Some(end) = self.end(self.threads[&by].table, fd) {
            self.emit(by, Fact::Close { end });
        }
        self.remove(by, fd)
    }

    /// A thread closes or marks a range of descriptors.
    pub fn close_range(&mut self, by: Tid, first: Fd, last: Fd, how: Range) -> Done {
        let actor = self.act(by)?;
        if first > last {
            return Err("the range is empty".to_owned());
        }
        let id = match how {
            Range::Unshare => self.make_private(by),
            Range::Close | Range::Mark => self.threads[&by].table,
        };
        let table = self.tables.entry(id).or_default();
        let closed = if how == Range::Mark {
            for (_, descriptor) in table.range_mut(first..=last) {
                descriptor.cloexec = true;
            }
            Vec::new()
        } else {
            let closed = table.extract_if(first..=last, |_, _| true);
            closed.map(|(_, descriptor)| descriptor).collect()
        };
        if how == Range::Unshare {
            self.emit(by, Fact::Unshare);
            self.walk(by, id);
        } else {
            let mark_only = how == Range::Mark;
            self.emit(
                by,
                Fact::CloseRange {
                    first,
                    last,
                    mark_only,
                },
            );
        }
        self.release(closed, actor, Doing::Call);
        Ok(())
    }

    /// A thread sets or clears close-on-exec.
    pub fn set_cloexec(&mut self, by: Tid, fd: Fd, cloexec: bool) -> Done {
        self.act(by)?;
        let (descriptor, end) = self.descriptor(by, fd)?;
        self.install(by, fd, descriptor.file, cloexec, descriptor.history);
        let end = End { cloexec, ..end };
        self.emit(by, Fact::SetCloexec { end });
        Ok(())
    }

    /// A thread gets a table of its own.
    pub fn unshare(&mut self, by: Tid) -> Done {
        self.act(by)?;
        let table = self.make_private(by);
        self.emit(by, Fact::Unshare);
        self.walk(by, table);
        Ok(())
    }

    /// A thread puts a copy of a descriptor into a socket. Not reported.
    pub fn send(&mut self, by: Tid, fd: Fd) -> Done {
        self.act(by)?;
        let (descriptor, _) = self.descriptor(by, fd)?;
        self.sent.push_back(descriptor.file);
        Ok(())
    }

    /// A thread takes the first descriptor out of the socket. Not reported.
    pub fn receive(&mut self, by: Tid, fd: Fd) -> Done {
        self.act(by)?;
        self.free_fd(by, fd)?;
        let file = self.sent.pop_front().ok_or("nothing was sent")?;
        self.install(by, fd, file, false, vec![(ViaKind::Unknown, self.now)]);
        Ok(())
    }

    fn descriptor(&self, by: Tid, fd: Fd) -> Result<(Descriptor, End), String> {
        let id = self.threads[&by].table;
        let descriptor = self.tables[&id].get(&fd).cloned();
        let both = descriptor.zip(self.end(id, fd));
        both.ok_or_else(|| format!("{by} has no descriptor {fd}"))
    }

    fn free_fd(&self, by: Tid, fd: Fd) -> Done {
        match self.end(self.threads[&by].table, fd) {
            None => Ok(()),
            Some(_) => Err(format!("descriptor {fd} of {by} is in use")),
        }
    }

    fn install(
        &mut self,
        by: Tid,
        fd: Fd,
        file: FileId,
        cloexec: bool,
        history: Vec<(ViaKind, Ktime)>,
    ) {
        let descriptor = Descriptor {
            file,
            cloexec,
            history,
        };
        let table = self.threads[&by].table;
        self.tables.entry(table).or_default().insert(fd, descriptor);
    }

    fn remove(&mut self, by: Tid, fd: Fd) -> Vec<Descriptor> {
        let table = self.threads[&by].table;
        let table = self.tables.entry(table).or_default();
        table.remove(&fd).into_iter().collect()
    }

    fn new_table(&mut self, table: Table) -> TableId {
        let id = TableId(self.table_addresses.take());
        self.tables.insert(id, table);
        id
    }

    fn copy_table(&mut self, id: TableId, by: Option<ViaKind>) -> TableId {
        let mut table = self.tables[&id].clone();
        for descriptor in table.values_mut() {
            descriptor.history.splice(0..0, by.map(|by| (by, self.now)));
        }
        self.new_table(table)
    }

    /// Gives the thread a copy of its table if others use it too.
    fn make_private(&mut self, tid: Tid) -> TableId {
        let shared = self.threads[&tid].table;
        let users = self.threads.values().filter(|t| t.table == shared);
        if users.count() == 1 {
            return shared;
        }
        let copy = self.copy_table(shared, None);
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.table = copy;
        }
        copy
    }

    fn new_inode(&mut self) -> PipeId {
        self.last_inode += 1;
        pipe_id(self.last_inode)
    }

    fn add_pipe(&mut self, id: PipeId, kind: Kind) {
        let addresses = &mut self.pipe_addresses;
        self.pipes.entry(id).or_insert_with(|| Pipe {
            address: addresses.take(),
            kind,
            head: 0,
            tail: 0,
        });
    }

    fn new_file(&mut self, pipe: PipeId, mode: Mode) -> FileId {
        let id = FileId(self.file_addresses.take());
        self.files.insert(id, File { pipe, mode });
        id
    }

    // ---- bytes ---------------------------------------------------------------

    /// A thread reads, and sleeps if there is neither a byte nor the end.
    pub fn read(&mut self, by: Tid, fd: Fd, call: Call) -> Done {
        let actor = self.act(by)?;
        let (descriptor, end) = self.descriptor(by, fd)?;
        if !end.mode.read {
            return Err(format!("descriptor {fd} of {by} is not open for reading"));
        }
        if self.buffered(end.pipe) || self.writers(end.pipe) == 0 {
            self.consume(end.pipe);
            return Ok(());
        }
        let now = self.now;
        let Some(thread) = self.threads.get_mut(&by) else {
            return Ok(());
        };
        thread.nvcsw += 1;
        thread.read = Some(Reading {
            since: now,
            fd,
            call,
            file: descriptor.file,
        });
        let table = thread.table;
        if let Some(sleep) = self.sleep(by)
            && self.is_watched(actor.process.pid)
        {
            let before = self.sleeps.get(&by).map(|(_, _, sleep)| sleep);
            let before = before
                .filter(|before| is_socket(sleep.end.kind) && before.end.file == sleep.end.file);
            let previous = before.map(|before| before.since);
            let sleep = Sleep { previous, ..sleep };
            self.sleeps.insert(by, (actor, table, sleep));
        }
        Ok(())
    }

    /// A thread writes, which wakes one reader.
    pub fn write(&mut self, by: Tid, fd: Fd) -> Done {
        let actor = self.act(by)?;
        let (_, end) = self.descriptor(by, fd)?;
        if !end.mode.write {
            return Err(format!("descriptor {fd} of {by} is not open for writing"));
        }
        let mut written = end.by_channel().filter(|end| end.mode.write);
        let channel = written.next().ok_or("nobody is there to read")?.pipe;
        if let Some(pipe) = self.pipes.get_mut(&channel) {
            pipe.head += 1;
        }
        if let Some(reader) = self.readers(channel).first() {
            let polls = self.threads[reader]
                .read
                .is_some_and(|read| read.call.is_multiplexed());
            self.wake(*reader, actor, Doing::Call);
            if !polls {
                self.consume(channel);
            }
        }
        Ok(())
    }

    /// All bytes are taken out.
    fn consume(&mut self, pipe: PipeId) {
        if let Some(pipe) = self.pipes.get_mut(&pipe) {
            pipe.tail = pipe.head;
        }
    }

    /// Threads asleep in a read of the pipe, the first one first.
    fn readers(&self, pipe: PipeId) -> Vec<Tid> {
        let readers = self.threads.keys().copied();
        let mut readers: Vec<Tid> = readers
            .filter(|tid| self.reads(*tid) == Some(pipe))
            .collect();
        readers.sort_by_key(|tid| self.threads[tid].read.map(|read| read.since));
        readers
    }

    /// Ends a thread's sleep, and reports it if that was asked for.
    fn wake(&mut self, sleeper: Tid, by: Actor, doing: Doing) {
        let thread = self.threads.get_mut(&sleeper);
        let Some(read) = thread.and_then(|thread| thread.read.take()) else {
            return;
        };
        if let Some(arm) = self.armed.remove(&sleeper) {
            let mut pipes = self.pipes.iter();
            let pipe = pipes.find(|(_, pipe)| pipe.address == arm.pipe);
            let pipe = pipe.map(|(id, _)| *id);
            let fact = Fact::Wake {
                sleeper,
                nvcsw: arm.nvcsw,
                address: arm.pipe,
                writers: pipe.map_or(0, |pipe| self.writers(pipe)),
                buffered: pipe.is_some_and(|pipe| self.buffered(pipe)),
                doing,
            };
            self.events.push(Event {
                time: self.now,
                actor: by,
                table: TableId(0),
                fact,
            });
            self.urgent = true;
        }
        self.close_files([read.file], by, doing);
    }

    /// Descriptors that are in no table any more.
    fn release(&mut self, closed: Vec<Descriptor>, by: Actor, doing: Doing) {
        self.close_files(closed.iter().map(|closed| closed.file), by, doing);
    }

    /// Closes the descriptions that nobody refers to any more. The last one
    /// for writing tells all readers.
    fn close_files(&mut self, files: impl IntoIterator<Item = FileId>, by: Actor, doing: Doing) {
        for id in files {
            if self.is_referred_to(id) {
                continue;
            }
            let Some(file) = self.files.remove(&id) else {
                continue;
            };
            self.file_addresses.free.push(id.0);
            let written = self.writes_to(&file);
            if let Some(written) = written.filter(|written| self.writers(*written) == 0) {
                for reader in self.readers(written) {
                    self.wake(reader, by, doing);
                }
            }
            if let Some(peer) = written.filter(|written| *written != file.pipe) {
                let peer = self.pipes.get_mut(&peer);
                peer.into_iter()
                    .for_each(|peer| peer.kind = Kind::Socketpair { peer: None });
            }
            if self.files.values().all(|other| other.pipe != file.pipe)
                && let Some(pipe) = self.pipes.remove(&file.pipe)
            {
                self.pipe_addresses.free.push(pipe.address);
            }
        }
    }

    fn is_referred_to(&self, file: FileId) -> bool {
        let mut tables = self.tables.values().flat_map(Table::values);
        let mut threads = self.threads.values().filter_map(|thread| thread.read);
        tables.any(|descriptor| descriptor.file == file)
            || threads.any(|read| read.file == file)
            || self.sent.contains(&file)
    }

    // ---- reports -------------------------------------------------------------

    /// The beginning of everything a thread does: it takes a moment, and a
    /// thread that sleeps can do nothing.
    fn act(&mut self, by: Tid) -> Result<Actor, String> {
        let thread = self.threads.get(&by);
        let thread = thread.ok_or_else(|| format!("no live thread {by}"))?;
        if thread.read.is_some() || thread.stopped {
            return Err(format!("thread {by} sleeps"));
        }
        if let Some(thread) = self.threads.get_mut(&by) {
            thread.waits_for = None;
        }
        self.now = self.now.after(1_000);
        Ok(self.actor(by))
    }

    fn free_id(&self, id: u32) -> Done {
        if self.knows(id) {
            return Err(format!("the id {id} is in use"));
        }
        Ok(())
    }

    fn emit(&mut self, by: Tid, fact: Fact) {
        let actor = self.actor(by);
        if self.is_watched(actor.process.pid) {
            self.events.push(Event {
                time: self.now,
                actor,
                table: self.threads[&by].table,
                fact,
            });
        }
    }

    /// Reports every pipe end of a table.
    fn walk(&mut self, by: Tid, table: TableId) {
        let fds: Vec<Fd> = self.tables[&table].keys().copied().collect();
        for fd in &fds {
            if let Some(end) = self.end(table, *fd) {
                self.emit(by, Fact::Entry { table, end });
            }
        }
        self.emit(by, Fact::Walked { table });
    }
}

/// A wait for one descriptor as if among others, whose number is the set.
fn multiplexed(read: Reading) -> Option<Multiplexed> {
    read.call.is_multiplexed().then_some(Multiplexed {
        call: read.call,
        set: u64::from(read.fd.0),
        count: 1,
        since: read.since,
    })
}

fn is_socket(kind: Kind) -> bool {
    matches!(kind, Kind::Socketpair { .. })
}

fn pipe_id(inode: u64) -> PipeId {
    PipeId { dev: 14, inode }
}
