//! The one vocabulary of facts: what the kernel reported, whoever asked. Live
//! tracing and tests feed the engine with the same words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{Comm, Fd, FileId, Ktime, Pid, PipeId, ProcKey, StackId, TableId, Tid};

/// A thread as an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its process.
    pub process: ProcKey,
    /// Its thread id.
    pub tid: Tid,
    /// Its name at that moment.
    pub comm: Comm,
}

/// Which way a descriptor lets bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Open for reading.
    pub read: bool,
    /// Open for writing.
    pub write: bool,
}

impl Mode {
    /// For reading only.
    pub const READ: Self = Self {
        read: true,
        write: false,
    };
    /// For writing only.
    pub const WRITE: Self = Self {
        read: false,
        write: true,
    };
}

/// What bytes go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An anonymous pipe.
    Pipe,
    /// A named FIFO.
    Fifo,
    /// A pair of UNIX sockets. Each end reads what the other one writes, so the
    /// pair is two channels, each named after the socket that reads it.
    Socketpair {
        /// The channel the other way; `None` if the peer is closed.
        peer: Option<PipeId>,
    },
}

/// One descriptor that refers to a pipe, a FIFO or a socket of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its number.
    pub fd: Fd,
    /// The pipe.
    pub pipe: PipeId,
    /// Address of the `struct pipe_inode_info` or the `struct sock`, which the
    /// kernel side wants for a wake-up to be reported.
    pub address: u64,
    /// The open file description.
    pub file: FileId,
    /// Direction.
    pub mode: Mode,
    /// Closes on exec.
    pub cloexec: bool,
    /// What it is an end of.
    pub kind: Kind,
    /// `pipe->head`: how many buffers have ever been filled (wraps). Somebody
    /// wrote if it moves. Sockets do not count.
    pub head: Option<u32>,
}

impl End {
    /// What the descriptor is an end of, channel by channel: a socket reads
    /// from one and writes to another.
    pub fn by_channel(self) -> impl Iterator<Item = Self> {
        let Kind::Socketpair { peer } = self.kind else {
            return [Some(self), None].into_iter().flatten();
        };
        let side = |pipe, write: bool| Self {
            pipe,
            mode: Mode {
                read: !write,
                write,
            },
            ..self
        };
        let write = peer.map(|peer| side(peer, true));
        [Some(side(self.pipe, false)), write].into_iter().flatten()
    }

    /// Nobody has written since the other was seen, as far as can be told.
    pub fn is_undisturbed_since(&self, other: &Self) -> bool {
        self.head.is_some() && self.head == other.head
    }

    /// Whether another descriptor refers to the same open file description. The
    /// kernel reuses addresses soon, but not the numbers of inodes.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.file, self.pipe) == (other.file, other.pipe)
    }
}

/// A system call that waits for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// `read`.
    Read,
    /// `readv` or `preadv2`.
    Readv,
    /// `recvfrom`, `recvmsg` or `recvmmsg`.
    Recv,
    /// `splice`.
    Splice,
    /// `tee`.
    Tee,
    /// `poll` or `ppoll`.
    Poll,
    /// `select` or `pselect6`.
    Select,
    /// `epoll_wait` and its kin.
    Epoll,
    /// `io_uring_enter`.
    #[serde(rename = "io_uring")]
    IoUring,
}

impl Call {
    /// It waits for several descriptors at once.
    pub fn is_multiplexed(self) -> bool {
        match self {
            Self::Read | Self::Readv | Self::Recv | Self::Splice | Self::Tee => false,
            Self::Poll | Self::Select | Self::Epoll | Self::IoUring => true,
        }
    }

    /// It may be one thread's now and another one's next, so that the process
    /// waits as a whole.
    pub fn is_of_process(self) -> bool {
        matches!(self, Self::Epoll | Self::IoUring)
    }
}

/// A call in which a thread sleeps until one of several descriptors is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multiplexed {
    /// Which call.
    pub call: Call,
    /// Its set: the address of the pollfd array or of the set of descriptors to
    /// read, or the epoll instance's descriptor.
    pub set: u64,
    /// How many descriptors the set has room for; nothing for epoll.
    pub count: u64,
    /// Since when the thread sleeps in it.
    pub since: Ktime,
}

impl Multiplexed {
    /// The set may have no more than one descriptor. Select's count is that of
    /// the numbers below the highest.
    pub fn has_room_for_one(&self) -> bool {
        self.call != Call::Poll || self.count == 1
    }
}

/// One sleep of one thread in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleep {
    /// Since when.
    pub since: Ktime,
    /// The descriptor it reads.
    pub end: End,
    /// The system call it sleeps in.
    pub call: Call,
    /// `task->nvcsw`, equal as long as the same sleep lasts.
    pub nvcsw: u64,
    /// When the thread's sleep before this one began, if that was in a read of
    /// the same socket: something came in between.
    pub previous: Option<Ktime>,
}

impl Sleep {
    /// Whether this is the same wait as a later sleep: it never ended, or it
    /// did without a byte having been written in between.
    pub fn is_continued_by(&self, later: &Self) -> bool {
        let undisturbed = self.nvcsw == later.nvcsw || later.end.is_undisturbed_since(&self.end);
        self.end.is_same(&later.end) && undisturbed
    }
}

/// A sleeper whose wake-up the kernel is to report, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The thread.
    pub tid: Tid,
    /// Address of the pipe, as in [`End::address`].
    pub pipe: u64,
    /// That is a socket.
    pub socket: bool,
    /// The thread waits for others too, so that only a wake-up is of interest
    /// that finds bytes or the end of file in this one.
    pub among_others: bool,
    /// The sleep, to be handed back.
    pub nvcsw: u64,
}

/// What the waker of a sleeper was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// A system call.
    Call,
    /// An execve, which closes what is marked so.
    Exec,
    /// Its own end, which closes everything.
    Exit,
    /// The kernel's own work: nobody is to be named.
    Kernel,
}

/// Something that happened, and who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Ktime,
    /// Who did it.
    pub actor: Actor,
    /// The actor's fd table.
    pub table: TableId,
    /// What it was.
    pub fact: Fact,
}

/// The facts, one per kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The actor made a new process or thread, which has not run yet. If
    /// `child_table` is not the actor's table, it is a copy, and its contents
    /// follow: [`Fact::Entry`] for each pipe end, then [`Fact::Walked`].
    Fork {
        /// The new task's process; the actor's own for a thread.
        child: ProcKey,
        /// The new task.
        child_tid: Tid,
        /// The new task's fd table.
        child_table: TableId,
        /// Where in the program, if known.
        stack: Option<StackId>,
    },
    /// `table` holds `end`.
    Entry {
        /// The table a fork, exec or unshare is reporting.
        table: TableId,
        /// What it holds.
        end: End,
    },
    /// All of `table` has been reported.
    Walked {
        /// The table.
        table: TableId,
    },
    /// The actor runs a new program, in its only thread; the contents of its
    /// table follow as for a fork.
    Exec,
    /// The actor got a private copy of its table, whose contents follow as for
    /// a fork.
    Unshare,
    /// The actor, a thread, ends.
    Exit {
        /// It is the last one of its process.
        last: bool,
    },
    /// The actor made a pipe or a pair of sockets.
    Create {
        /// The read end, or the first socket.
        read: End,
        /// The write end's descriptor, or that of the second socket.
        write_fd: Fd,
        /// Its description; `None` if another thread was quick to close it.
        write_file: Option<FileId>,
        /// Where in the program, if known.
        stack: Option<StackId>,
    },
    /// The actor closes a descriptor, or duplicates another one onto its number.
    Close {
        /// What it was.
        end: End,
    },
    /// The actor closed a range of descriptors, or marked them close-on-exec.
    CloseRange {
        /// First number.
        first: Fd,
        /// Last number.
        last: Fd,
        /// They were only marked.
        mark_only: bool,
    },
    /// The actor duplicated a descriptor.
    Dup {
        /// The new descriptor.
        end: End,
        /// The one it was made from.
        from: Fd,
        /// Where in the program, if known.
        stack: Option<StackId>,
    },
    /// The actor set or cleared close-on-exec; `end` has the present state.
    SetCloexec {
        /// The descriptor.
        end: End,
    },
    /// The actor woke a thread whose wake-up had been asked for.
    Wake {
        /// The sleeper.
        sleeper: Tid,
        /// The sleep that ends, as in [`Sleep::nvcsw`].
        nvcsw: u64,
        /// The pipe, as in [`End::address`].
        address: u64,
        /// Open write descriptions of the pipe (`pipe->writers`).
        writers: u32,
        /// Whether the pipe holds bytes (`head` differs from `tail`).
        buffered: bool,
        /// What the waker was doing.
        doing: Doing,
    },
}

/// Whose end a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Any of its children.
    Any,
    /// That child.
    Process(Pid),
}

/// The tree of processes.
#[derive(Clone, Debug, Default)]
pub struct Parents(BTreeMap<Pid, Pid>);

impl Parents {
    /// As the task list shows it.
    pub fn of(tasks: &[TaskRow]) -> Self {
        Self(
            tasks
                .iter()
                .map(|row| (row.actor.process.pid, row.parent))
                .collect(),
        )
    }

    /// The parent of a process, if known.
    pub fn of_process(&self, pid: Pid) -> Option<Pid> {
        self.0.get(&pid).copied()
    }

    /// From a process up to init, itself left out.
    pub fn ancestors(&self, pid: Pid) -> impl Iterator<Item = Pid> {
        // Rows are read one after the other, so that reparenting could show a
        // loop; no real line of ancestors is this long.
        std::iter::successors(self.of_process(pid), |pid| self.of_process(*pid)).take(1000)
    }
}

/// A thread as the kernel's task list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The thread.
    pub actor: Actor,
    /// Its fd table.
    pub table: TableId,
    /// Its parent process.
    pub parent: Pid,
    /// It is stopped or traced.
    pub stopped: bool,
    /// It sleeps interruptibly: `task->nvcsw`, equal as long as that lasts.
    pub asleep: Option<u64>,
    /// It sleeps in poll, select or epoll.
    pub multiplexed: Option<Multiplexed>,
    /// It sleeps in wait4, waitpid or waitid.
    pub waits_for: Option<WaitFor>,
    /// The read it sleeps in, and has slept in throughout the snapshot. Not
    /// known if the descriptor it reads was closed by another thread.
    pub sleep: Option<Sleep>,
}

impl TaskRow {
    /// Whether the thread is still in that wait.
    pub fn continues(&self, wait: &Sleep) -> bool {
        let same = self.asleep == Some(wait.nvcsw);
        same || self.sleep.is_some_and(|now| wait.is_continued_by(&now))
    }

    /// A dead thread that nobody has waited for has no table any more.
    pub fn is_alive(&self) -> bool {
        self.table != TableId(0)
    }
}

/// A pipe end as the kernel's fd tables show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndRow {
    /// Who holds it: the process, by one of the threads that use the table.
    pub actor: Actor,
    /// The fd table it is in.
    pub table: TableId,
    /// The descriptor.
    pub end: End,
    /// `pipe->writers`: open write descriptions.
    pub writers: u32,
    /// `pipe->head` differs from `pipe->tail`.
    pub buffered: bool,
    /// A request of an io_uring of that process waits to read it.
    pub ring: bool,
}

/// An end of each channel that has more open write descriptions than these rows show.
pub fn held_elsewhere(rows: &[EndRow]) -> impl Iterator<Item = End> {
    let mut shown: BTreeMap<PipeId, (&EndRow, BTreeSet<FileId>)> = BTreeMap::new();
    for row in rows {
        let (_, files) = shown.entry(row.end.pipe).or_insert((row, BTreeSet::new()));
        if row.end.mode.write {
            files.insert(row.end.file);
        }
    }
    let mut shown = shown.into_values();
    std::iter::from_fn(move || shown.find(|(row, files)| row.writers as usize > files.len()))
        .map(|(row, _)| row.end)
}

/// What the only threads of processes sleep in a read of. Who waits for whom goes by these,
/// however long the chain: a process with more threads may always go on.
pub fn lone_reads(tasks: &[TaskRow]) -> impl Iterator<Item = End> {
    let mut threads: BTreeMap<ProcKey, u32> = BTreeMap::new();
    for row in tasks.iter().filter(|row| row.is_alive()) {
        *threads.entry(row.actor.process).or_default() += 1;
    }
    let reads = tasks
        .iter()
        .filter_map(|row| Some((row.actor.process, row.sleep?)));
    let lone = reads.filter(move |(process, _)| threads.get(process) == Some(&1));
    lone.map(|(_, sleep)| sleep.end)
}

/// The kernel's tables at one moment, the whole host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every user thread.
    pub tasks: Vec<TaskRow>,
    /// Every descriptor of a pipe or FIFO; a socket of a pair is in here twice,
    /// for the channel it reads and the one it writes.
    pub ends: Vec<EndRow>,
    /// Of which channels certainly every end is in here; of all, if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<BTreeSet<PipeId>>,
}

impl Snapshot {
    /// From threads as they were before and after the descriptors were listed:
    /// a read counts as asleep only if it was so both times, without a byte in
    /// between.
    pub fn new(before: &[TaskRow], ends: Vec<EndRow>, mut after: Vec<TaskRow>) -> Self {
        let before: BTreeMap<Tid, &TaskRow> =
            before.iter().map(|row| (row.actor.tid, row)).collect();
        for row in &mut after {
            let then = before.get(&row.actor.tid);
            row.asleep = row
                .asleep
                .filter(|_| then.is_some_and(|then| then.asleep == row.asleep));
            let steady = |now: &Sleep| {
                then.and_then(|then| then.sleep)
                    .is_some_and(|then| then.is_continued_by(now))
            };
            row.sleep = row.sleep.filter(steady);
        }
        Self {
            tasks: after,
            ends,
            of: None,
        }
    }

    /// As one that was made for these channels.
    #[must_use]
    pub fn of(mut self, channels: impl IntoIterator<Item = End>) -> Self {
        self.of = Some(channels.into_iter().map(|end| end.pipe).collect());
        self
    }

    /// Whether every end of a channel is in it.
    pub fn shows(&self, channel: PipeId) -> bool {
        self.of.as_ref().is_none_or(|of| of.contains(&channel))
    }

    /// What it shows of some processes.
    pub fn only(mut self, of: impl Fn(ProcKey) -> bool) -> Self {
        self.tasks.retain(|row| of(row.actor.process));
        self.ends.retain(|row| of(row.actor.process));
        self
    }

    /// Corrects since when threads sleep, by sleeps that were seen to begin: a row knows
    /// only since when its thread has not got a CPU any more, which it had for a while.
    pub fn date(&mut self, sleeps: impl Iterator<Item = (Tid, Sleep)>) {
        let seen: BTreeMap<(Tid, u64), Ktime> = sleeps
            .map(|(tid, sleep)| ((tid, sleep.nvcsw), sleep.since))
            .collect();
        for row in &mut self.tasks {
            if let Some(sleep) = &mut row.sleep
                && let Some(since) = seen.get(&(row.actor.tid, sleep.nvcsw))
            {
                sleep.since = *since;
            }
        }
    }

    /// What it shows of the pipes of some processes: these with everyone who
    /// holds an end, and the ancestors of all.
    pub fn concerning(&self, of: impl Fn(ProcKey) -> bool) -> Self {
        let pipes: BTreeSet<PipeId> = self
            .ends
            .iter()
            .filter(|row| of(row.actor.process))
            .map(|row| row.end.pipe)
            .collect();
        let ends = self.ends.iter().filter(|row| pipes.contains(&row.end.pipe));
        let ends: Vec<EndRow> = ends.copied().collect();
        let holders = ends.iter().map(|row| row.actor.process.pid);
        let named = self
            .tasks
            .iter()
            .map(|row| row.actor.process)
            .filter(|process| of(*process));
        let mut pids: BTreeSet<Pid> = holders.chain(named.map(|process| process.pid)).collect();
        let parents = Parents::of(&self.tasks);
        let above: Vec<Pid> = pids
            .iter()
            .flat_map(|pid| parents.ancestors(*pid))
            .collect();
        pids.extend(above);
        // Children too: who waits for them may be stuck.
        let known =
            |row: &&TaskRow| pids.contains(&row.actor.process.pid) || pids.contains(&row.parent);
        let tasks = self.tasks.iter().filter(known);
        Self {
            tasks: tasks.copied().collect(),
            ends,
            of: self.of.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::FileId;

    #[test]
    fn a_row_is_dated_by_its_own_sleep_and_by_no_other() {
        let sleep = |nvcsw, since| Sleep {
            since: Ktime(since),
            end: End {
                fd: Fd(3),
                pipe: PipeId { dev: 1, inode: 7 },
                address: 1,
                file: FileId(1),
                mode: Mode {
                    read: true,
                    write: false,
                },
                cloexec: false,
                kind: Kind::Pipe,
                head: Some(0),
            },
            call: Call::Read,
            nvcsw,
            previous: None,
        };
        let row = |tid, sleep| TaskRow {
            actor: Actor {
                process: ProcKey {
                    pid: Pid(5),
                    start: 1,
                },
                tid: Tid(tid),
                comm: "x".into(),
            },
            table: TableId(1),
            parent: Pid(1),
            stopped: false,
            asleep: Some(4),
            multiplexed: None,
            waits_for: None,
            sleep,
        };
        let mut snapshot = Snapshot {
            tasks: vec![row(5, Some(sleep(4, 100))), row(6, Some(sleep(4, 100)))],
            ..Snapshot::default()
        };
        let earlier = (Tid(6), sleep(3, 90));
        snapshot.date([(Tid(5), sleep(4, 130)), earlier].into_iter());
        let since = |row: &TaskRow| row.sleep.map(|sleep| sleep.since.0);
        let since: Vec<_> = snapshot.tasks.iter().map(since).collect();
        assert_eq!(since, [Some(130), Some(100)]);
    }
}
