//! What crosses from the kernel to user space.
//!
//! Every probe and every iterator emits the same [`Record`]; its `kind` says
//! which members have a meaning. One layout keeps the decoder small, lets a
//! record be stored in a map or written to an iterator's file alike, and costs
//! a few unused bytes. What comes in large numbers for one event is smaller, and known
//! by its size: each [`Entry`] of a table, and a [`PythonStack`]. Kinds and flags are plain integers: an enum would be
//! undefined behaviour for a value the other side does not know.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a task's name in the kernel (`TASK_COMM_LEN`), the final NUL
/// included.
pub const COMM_LEN: usize = 16;

/// A thread, and the process it belongs to.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Task {
    /// Process id as user space knows it (the kernel's tgid), in the initial
    /// pid namespace.
    pub tgid: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
    /// Start of the process: `start_boottime` of its group leader, nanoseconds
    /// since boot. Together with `tgid` it survives the reuse of a process id,
    /// and an exec from any thread (`de_thread` hands it on).
    pub start: u64,
}

/// One descriptor that refers to a pipe, a FIFO or one end of a pair of UNIX
/// sockets.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct End {
    /// Address of the `struct file`: the open file description's identity,
    /// equal for all descriptors made from it by dup or fork.
    pub file: u64,
    /// Address of the `struct pipe_inode_info`, or of the `struct sock`.
    pub pipe: u64,
    /// Inode number of the pipe, FIFO or socket.
    pub inode: u64,
    /// Device of that inode (`super_block.s_dev`, the kernel's encoding).
    pub dev: u32,
    /// `pipe->head`: how many buffers have ever been filled. An unchanged value
    /// means that nobody has started a new buffer in between. Of a socket: the
    /// inode number of its peer, 0 if that is closed.
    pub head: u32,
    /// Descriptor number.
    pub fd: u32,
    /// [`MODE_READ`] and [`MODE_WRITE`].
    pub mode: u16,
    /// [`END_CLOEXEC`], [`END_FIFO`], [`END_SOCKET`].
    pub flags: u16,
}

/// [`End::mode`]: open for reading (`FMODE_READ`).
pub const MODE_READ: u16 = 1;
/// [`End::mode`]: open for writing (`FMODE_WRITE`).
pub const MODE_WRITE: u16 = 2;
/// [`End::flags`]: the descriptor closes on exec.
pub const END_CLOEXEC: u16 = 1;
/// [`End::flags`]: a named FIFO, not an anonymous pipe.
pub const END_FIFO: u16 = 2;
/// [`End::flags`]: one end of a connected pair of UNIX sockets without
/// addresses, as socketpair makes it, of a type that has an end of file.
pub const END_SOCKET: u16 = 4;

/// What a probe or an iterator saw.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Record {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// One of the `KIND_` constants.
    pub kind: u16,
    /// `FLAG_` constants, by kind.
    pub flags: u16,
    /// Id of the user stack of `task` in the map `STACKS`, negative if there
    /// is none (the kernel's error number).
    pub stack: i32,
    /// Who did it; for rows, whom the row describes.
    pub task: Task,
    /// Address of `task`'s `struct files_struct`: the identity of the fd table,
    /// equal for tasks that share it (`CLONE_FILES`).
    pub table: u64,
    /// Name of `task`, NUL padded; any bytes. In [`KIND_WAKE`] the waker's.
    pub comm: [u8; COMM_LEN],
    /// The other party, by kind.
    pub peer: Task,
    /// Address of `peer`'s `struct files_struct`, by kind.
    pub peer_table: u64,
    /// The descriptor concerned, by kind.
    pub end: End,
    /// Further numbers, by kind.
    pub args: [u64; 5],
}

/// `peer` is a new task made by `task` (`sched_process_fork`: its fd table is
/// complete and it has not run yet); a thread if it is of the same process. If
/// `peer_table` differs from `table`, the table was copied: an [`Entry`] for each of
/// its ends and one [`KIND_TABLE`] follow.
pub const KIND_FORK: u16 = 1;
/// The walk of `peer_table` is over.
pub const KIND_TABLE: u16 = 3;
/// `task` executes a new program (`sched_process_exec`), all its other threads
/// are gone; what survived close-on-exec follows as in [`KIND_FORK`], with
/// `peer` = `task`.
pub const KIND_EXEC: u16 = 4;
/// `task` ends (`sched_process_exit`, its descriptors are still open).
/// [`FLAG_GROUP`] if it is the last thread of its process.
pub const KIND_EXIT: u16 = 5;
/// pipe, pipe2 or socketpair succeeded: `end` is the read end or the first
/// socket, `args` = fd and `struct file` of the other one.
pub const KIND_CREATE: u16 = 6;
/// `end.fd` is being closed: by close, or because dup2 or dup3 reuses it.
pub const KIND_CLOSE: u16 = 7;
/// close_range succeeded: `args` = first, last, flags of the call.
pub const KIND_CLOSE_RANGE: u16 = 8;
/// `end.fd` is a duplicate of `args[0]`, made by dup, dup2, dup3 or fcntl.
pub const KIND_DUP: u16 = 9;
/// fcntl(F_SETFD) on `end.fd`; `end.flags` has the close-on-exec bit of now.
pub const KIND_SETFD: u16 = 10;
/// unshare(CLONE_FILES) succeeded: `table` is `task`'s private copy, its
/// entries follow as in [`KIND_FORK`], with `peer` = `task`.
pub const KIND_UNSHARE: u16 = 11;
/// `task` goes to sleep in a read of `end`. `args` = `nvcsw` (equal as long as
/// the same sleep lasts), system call number, for a socket the `time` of the
/// sleep before this one if that was in a read of it too (else 0), `time` again: if
/// they differ, this is a copy of one that was being renewed. Kept in the map
/// `SLEEPS`, one per thread.
pub const KIND_SLEEP: u16 = 12;
/// The armed sleeper `task` is being woken, by `peer` (named `comm`).
/// [`FLAG_EXITING`], [`FLAG_EXECING`], [`FLAG_KERNEL`] tell what the waker was
/// doing. `args` = `pipe->writers`, `head`, `tail`, `nvcsw` of the sleep; of a
/// socket: whether its peer can write, how much is in its queue, 0, `nvcsw`.
/// `end.pipe` is [`Channel::pipe`].
pub const KIND_WAKE: u16 = 13;
/// Row of `iter/task_file`: `task`'s table holds `end`. `args` =
/// `pipe->readers`, `writers`, `head`, `tail`. Of a socket: whether its peer can
/// still be written to by it, whether it can by its peer, how much its own
/// queue holds, how much the peer's.
pub const KIND_ROW_END: u16 = 14;
/// Row of `iter/task`: a thread. `peer` = its parent process (`real_parent`),
/// `time` = when it last got a CPU (`sched_info.last_arrival`, the scheduler's
/// clock). `args` = `nvcsw`, number of the system call it is in, first and
/// second argument of that, its frame pointer. [`FLAG_SLEEPING`] if it sleeps interruptibly,
/// [`FLAG_STOPPED`] if it is stopped or traced, [`FLAG_IN_READ`] if `end` is
/// the pipe it sleeps on.
pub const KIND_ROW_TASK: u16 = 15;

/// After rows of a table: these are not all.
pub const KIND_ROW_MORE: u16 = 16;

/// [`KIND_EXIT`]: the last thread, so the process ends.
pub const FLAG_GROUP: u16 = 1 << 2;
/// [`KIND_WAKE`]: the waker is exiting (`PF_EXITING`).
pub const FLAG_EXITING: u16 = 1 << 4;
/// [`KIND_WAKE`]: the waker is in execve.
pub const FLAG_EXECING: u16 = 1 << 5;
/// [`KIND_WAKE`]: the waker is a kernel thread, so no one is to be named.
pub const FLAG_KERNEL: u16 = 1 << 6;
/// [`KIND_ROW_TASK`]: `TASK_INTERRUPTIBLE`.
pub const FLAG_SLEEPING: u16 = 1 << 7;
/// [`KIND_ROW_TASK`]: `TASK_STOPPED` or `TASK_TRACED`.
pub const FLAG_STOPPED: u16 = 1 << 8;
/// [`KIND_ROW_TASK`]: `end` is valid.
pub const FLAG_IN_READ: u16 = 1 << 9;
/// [`KIND_ROW_END`]: a request of an io_uring of `task`'s process waits to read
/// `end`.
pub const FLAG_RING: u16 = 1 << 10;

/// Index into the per-CPU map `COUNTERS`: records put into the ring buffer.
pub const COUNTER_EVENTS: u32 = 0;
/// Index into `COUNTERS`: records that found the ring buffer full.
pub const COUNTER_DROPPED: u32 = 1;
/// Index into `COUNTERS`: processes or sleeps that found their map full.
pub const COUNTER_MAP_FULL: u32 = 2;
/// Number of counters.
pub const COUNTERS: u32 = 3;

/// How many channels and fd tables can be asked for at once, by their addresses, with
/// [`ASKED_PIPES`] and [`ASKED_SOCKETS`].
pub const MAX_ASKED: u32 = 4_096;
/// Among what is asked for: there are pipes among that. No object has this address.
pub const ASKED_PIPES: u64 = 1;
/// As [`ASKED_PIPES`]: there are sockets.
pub const ASKED_SOCKETS: u64 = 2;

/// A channel whose reader is to be told of.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Channel {
    /// Address of the `struct pipe_inode_info` or `struct sock`; 0: none.
    pub pipe: u64,
    /// The sleep's `nvcsw`, handed back in [`KIND_WAKE`].
    pub nvcsw: u64,
    /// 1: `pipe` is a socket.
    pub socket: u32,
    /// 1: the reader waits for other things too, so that only a wake-up that
    /// finds bytes or the end of file here is reported.
    pub among_others: u32,
}

/// How many channels of one thread can be armed.
pub const CHANNELS: usize = 4;

/// What user space keeps in the map `ARMED` for a reader whose end of wait it
/// wants to hear of, keyed by thread id. Each channel is reported once.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Armed {
    /// What it waits for.
    pub channels: [Channel; CHANNELS],
}

/// `table` holds `end`: one entry of the walk that a fork, exec or unshare by `task`
/// caused.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Entry {
    /// `CLOCK_MONOTONIC`, nanoseconds: that of the event.
    pub time: u64,
    /// Who did it.
    pub task: Task,
    /// Address of the `struct files_struct`.
    pub table: u64,
    /// What it holds.
    pub end: End,
}

/// Where the kernel has put the code and the first stack of a program, at random, when
/// it was executed. A forked process has those of its parent, and memory that is
/// the same at first: what was found out about where things lie in it is known of all.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Layout {
    /// `mm->start_code`.
    pub code: u64,
    /// `mm->start_stack`.
    pub stack: u64,
}

/// Where a CPython process keeps the frames of its threads: what user space keeps
/// in the map `PYTHONS`, keyed by [`Layout`]. Offsets are those of the release that
/// runs there.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Python {
    /// Address of the pointer to the first `PyInterpreterState`.
    pub interpreters: u64,
    /// `PyInterpreterState`: the pointer to its first `PyThreadState`.
    pub threads: u16,
    /// `PyThreadState.next`.
    pub next: u16,
    /// `PyThreadState.thread_id`: what `pthread_self` returns.
    pub thread_id: u16,
    /// The pointer of `PyThreadState` that leads to the innermost frame.
    pub frame: u16,
    /// What that points to has the pointer to the frame at this offset
    /// (`_PyCFrame.current_frame`); [`DIRECT`] if it is the frame itself.
    pub inner: u16,
    /// The frame's pointer to its code object.
    pub code: u16,
    /// The frame's pointer to the one that called it.
    pub back: u16,
    /// Where in the code it is, four or eight bytes by release.
    pub place: u16,
    /// How much of a frame has all of these, in bytes.
    pub span: u16,
    /// Which bits of a frame's address tell how much in front of it, in bytes, is read too,
    /// as it may have those that called it; all of them and `span` are less than
    /// [`PythonStack::memory`].
    pub before: u16,
    /// Of a code object: the first of [`mark`]'s four pointers.
    pub names: u16,
    /// Not used.
    pub unused: u16,
    /// What of the fourth pointer counts.
    pub fourth: u64,
}

/// [`Python::inner`]: there is nothing in between.
pub const DIRECT: u16 = u16::MAX;

/// What tells a code object from a later one at the same place, out of its pointers
/// to names and to the table of lines; of the fourth only `fourth`.
#[inline(always)]
pub const fn mark(pointers: [u64; 4], fourth: u64) -> u64 {
    let [a, b, c, d] = pointers;
    a ^ b.rotate_left(16) ^ c.rotate_left(32) ^ (d & fourth).rotate_left(48)
}

/// One frame of Python code.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PythonFrame {
    /// Address of the code object.
    pub code: u64,
    /// Its [`mark`].
    pub mark: u64,
    /// Eight bytes at [`Python::place`].
    pub place: u64,
}

/// How many frames are looked at, the innermost ones.
pub const FRAMES: usize = 32;

/// The frames of a thread of a CPython process at the moment of the [`Record`] with
/// the same `time` and thread, which is told of by itself since few have them. It is
/// no event: if it is lost, that costs a stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct PythonStack {
    /// As that of the [`Record`].
    pub time: u64,
    /// Id of the thread.
    pub tid: u64,
    /// From the innermost on; the first without code ends them.
    pub frames: [PythonFrame; FRAMES],
    /// Where the kernel side reads the interpreter's frames to.
    pub memory: [u64; MEMORY_WORDS],
}

/// So many words of the interpreter's memory are read at once.
pub const MEMORY_WORDS: usize = 128;

const _: () = assert!(size_of::<Python>() == 40);
const _: () = assert!(size_of::<PythonStack>() == 16 + 24 * FRAMES + 8 * MEMORY_WORDS);
const _: () = assert!(size_of::<Task>() == 16);
const _: () = assert!(size_of::<End>() == 40);
const _: () = assert!(size_of::<Record>() == 160);
const _: () = assert!(size_of::<Entry>() == 72);
