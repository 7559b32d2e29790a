//! From the kernel side's bytes to the vocabulary of facts.

use pipewatch_ebpf::abi::{
    self, END_CLOEXEC, END_FIFO, END_SOCKET, FLAG_EXECING, FLAG_EXITING, FLAG_GROUP, FLAG_IN_READ,
    FLAG_KERNEL, FLAG_RING, FLAG_SLEEPING, FLAG_STOPPED, MODE_READ, MODE_WRITE, Record,
};
use zerocopy::FromBytes as _;

use crate::{
    arch,
    event::{
        Actor, Call, Doing, End, EndRow, Event, Fact, Kind, Mode, Multiplexed, Sleep, TaskRow,
        WaitFor,
    },
    ids::{Comm, Fd, FileId, Ktime, Pid, PipeId, ProcKey, StackId, TableId, Tid},
    stack::FramePointer,
};

/// `CLOSE_RANGE_CLOEXEC` of `include/uapi/linux/close_range.h`.
const CLOSE_RANGE_CLOEXEC: u64 = 4;

/// Bytes that are nothing the kernel side sends, or not what belongs where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Nothing that is sent is so long.
    #[error("a record of {0} bytes, {expected} expected", expected = size_of::<Record>())]
    Size(usize),
    /// Its kind has no meaning where it was found.
    #[error("a record of the unexpected kind {0}")]
    Kind(u16),
    /// It was copied while it was written.
    #[error("a record that was being renewed")]
    Torn,
}

/// Which numbers the calls have on this machine that threads wait in.
#[derive(Clone, Copy, Debug)]
pub struct CallNumbers {
    /// `read`.
    pub read: u64,
    /// `readv` and `preadv2`.
    pub readv: [u64; 2],
    /// `recvfrom`, `recvmsg` and `recvmmsg`.
    pub recv: [u64; 3],
    /// `splice`.
    pub splice: u64,
    /// `tee`.
    pub tee: u64,
    /// `wait4`, which waitpid is.
    pub wait4: u64,
    /// `waitid`.
    pub waitid: u64,
    /// `poll`, which not every architecture has, and `ppoll`.
    pub poll: &'static [libc::c_long],
    /// `select`, the same, and `pselect6`.
    pub select: &'static [libc::c_long],
    /// `epoll_wait`, the same, `epoll_pwait` and `epoll_pwait2`.
    pub epoll: &'static [libc::c_long],
    /// `io_uring_enter`.
    pub io_uring: u64,
}

impl CallNumbers {
    /// On this machine.
    pub const NATIVE: Self = Self {
        read: libc::SYS_read as u64,
        readv: [libc::SYS_readv as u64, libc::SYS_preadv2 as u64],
        recv: [
            libc::SYS_recvfrom as u64,
            libc::SYS_recvmsg as u64,
            libc::SYS_recvmmsg as u64,
        ],
        splice: libc::SYS_splice as u64,
        tee: libc::SYS_tee as u64,
        wait4: libc::SYS_wait4 as u64,
        waitid: libc::SYS_waitid as u64,
        poll: arch::POLL,
        select: arch::SELECT,
        epoll: arch::EPOLL,
        io_uring: libc::SYS_io_uring_enter as u64,
    };

    /// The call that waits for one descriptor.
    pub fn call(self, number: u64) -> Option<Call> {
        if number == self.read {
            Some(Call::Read)
        } else if self.readv.contains(&number) {
            Some(Call::Readv)
        } else if self.recv.contains(&number) {
            Some(Call::Recv)
        } else if number == self.splice {
            Some(Call::Splice)
        } else if number == self.tee {
            Some(Call::Tee)
        } else {
            None
        }
    }
}

/// `P_PID` of `include/uapi/linux/wait.h`.
const P_PID: u64 = 1;

impl CallNumbers {
    /// The call that waits for several. The arguments are those of a record: the
    /// first is none of the call's, the second its number.
    pub fn multiplexed(self, [number, arg0, arg1]: [u64; 3], since: Ktime) -> Option<Multiplexed> {
        let is_one_of = |calls: &[libc::c_long]| calls.contains(&(number as libc::c_long));
        let (call, set, count) = if is_one_of(self.poll) {
            (Call::Poll, arg0, arg1)
        } else if is_one_of(self.select) {
            (Call::Select, arg1, arg0)
        } else if is_one_of(self.epoll) {
            (Call::Epoll, arg0, 0)
        } else if number == self.io_uring {
            (Call::IoUring, arg0, 0)
        } else {
            return None;
        };
        Some(Multiplexed {
            call,
            set,
            count,
            since,
        })
    }

    /// Whose end is waited for, by the same arguments.
    pub fn waits_for(self, [number, arg0, arg1]: [u64; 3]) -> Option<WaitFor> {
        // Process ids are ints: a negative one names a group of processes.
        let process = |id: u64| match u32::try_from(id as i32) {
            Ok(pid) if pid > 0 => WaitFor::Process(Pid(pid)),
            Ok(_) | Err(_) => WaitFor::Any,
        };
        if number == self.wait4 {
            Some(process(arg0))
        } else if number == self.waitid {
            Some(if arg0 & 0xffff_ffff == P_PID {
                process(arg1)
            } else {
                WaitFor::Any
            })
        } else {
            None
        }
    }
}

/// Reads the record at the beginning of `bytes`, which must be all of it.
pub fn record(bytes: &[u8]) -> Result<Record, Unreadable> {
    Record::read_from_bytes(bytes).map_err(|_| Unreadable::Size(bytes.len()))
}

/// What was found of the frames of a thread of CPython.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonStack {
    /// That of the event it belongs to.
    pub time: Ktime,
    /// Which thread.
    pub tid: Tid,
    /// Innermost first.
    pub frames: Vec<abi::PythonFrame>,
}

/// Frames of Python, which come between the records of events; `None` if these are
/// others.
pub fn python_stack(bytes: &[u8]) -> Option<PythonStack> {
    let stack = abi::PythonStack::read_from_bytes(bytes).ok()?;
    let frames = stack.frames.iter().copied();
    Some(PythonStack {
        time: Ktime(stack.time),
        tid: Tid(stack.tid as u32),
        frames: frames.take_while(|frame| frame.code != 0).collect(),
    })
}

/// An event of the ring buffer.
pub fn event(bytes: &[u8]) -> Result<Event, Unreadable> {
    match abi::Entry::read_from_bytes(bytes) {
        Ok(entry) => Ok(self::entry(&entry)),
        Err(_) => of_record(&record(bytes)?),
    }
}

/// The event that an entry of a table is.
fn entry(entry: &abi::Entry) -> Event {
    let table = TableId(entry.table);
    Event {
        time: Ktime(entry.time),
        // Its name comes with the walk's beginning and its end.
        actor: actor(&entry.task, Default::default()),
        table,
        fact: Fact::Entry {
            table,
            end: end(&entry.end),
        },
    }
}

fn of_record(record: &Record) -> Result<Event, Unreadable> {
    let end = end(&record.end);
    let [arg0, arg1, arg2, arg3, _] = record.args;
    let flag = |bit| record.flags & bit != 0;
    let stack = stack(record.stack);
    let mut actor = actor(&record.task, record.comm);
    let mut table = TableId(record.table);
    let fact = match record.kind {
        abi::KIND_FORK => Fact::Fork {
            child: process(&record.peer),
            child_tid: Tid(record.peer.tid),
            child_table: TableId(record.peer_table),
            stack,
        },
        abi::KIND_TABLE => Fact::Walked {
            table: TableId(record.peer_table),
        },
        abi::KIND_EXEC => Fact::Exec,
        abi::KIND_UNSHARE => Fact::Unshare,
        abi::KIND_EXIT => Fact::Exit {
            last: flag(FLAG_GROUP),
        },
        abi::KIND_CREATE => Fact::Create {
            read: end,
            write_fd: fd(arg0),
            write_file: (arg1 != 0).then_some(FileId(arg1)),
            stack,
        },
        abi::KIND_CLOSE => Fact::Close { end },
        abi::KIND_CLOSE_RANGE => Fact::CloseRange {
            first: fd(arg0),
            last: fd(arg1),
            mark_only: arg2 & CLOSE_RANGE_CLOEXEC != 0,
        },
        abi::KIND_DUP => Fact::Dup {
            end,
            from: fd(arg0),
            stack,
        },
        abi::KIND_SETFD => Fact::SetCloexec { end },
        abi::KIND_WAKE => {
            actor = self::actor(&record.peer, record.comm);
            table = TableId(0);
            Fact::Wake {
                sleeper: Tid(record.task.tid),
                nvcsw: arg3,
                address: record.end.pipe,
                writers: arg0 as u32,
                buffered: arg1 != arg2,
                doing: if flag(FLAG_KERNEL) {
                    Doing::Kernel
                } else if flag(FLAG_EXITING) {
                    Doing::Exit
                } else if flag(FLAG_EXECING) {
                    Doing::Exec
                } else {
                    Doing::Call
                },
            }
        }
        kind => return Err(Unreadable::Kind(kind)),
    };
    Ok(Event {
        time: Ktime(record.time),
        actor,
        table,
        fact,
    })
}

/// An entry of the map of sleeping readers: who sleeps, with which fd table.
pub fn sleep(record: &Record, calls: CallNumbers) -> Result<(Actor, TableId, Sleep), Unreadable> {
    let (abi::KIND_SLEEP, Some(call)) = (record.kind, calls.call(record.args[1])) else {
        return Err(Unreadable::Kind(record.kind));
    };
    if record.args[3] != record.time {
        return Err(Unreadable::Torn);
    }
    let sleep = Sleep {
        since: Ktime(record.time),
        end: read_end(&record.end),
        call,
        nvcsw: record.args[0],
        previous: (record.args[2] != 0).then_some(Ktime(record.args[2])),
    };
    Ok((
        actor(&record.task, record.comm),
        TableId(record.table),
        sleep,
    ))
}

/// A row of the iterator over tasks.
pub fn task_row(record: &Record, calls: CallNumbers) -> Result<TaskRow, Unreadable> {
    if record.kind != abi::KIND_ROW_TASK {
        return Err(Unreadable::Kind(record.kind));
    }
    let [nvcsw, number, arg0, arg1, _] = record.args;
    let called = [number, arg0, arg1];
    let in_read = record.flags & FLAG_IN_READ != 0;
    let asleep = record.flags & FLAG_SLEEPING != 0;
    Ok(TaskRow {
        actor: actor(&record.task, record.comm),
        table: TableId(record.table),
        parent: Pid(record.peer.tgid),
        stopped: record.flags & FLAG_STOPPED != 0,
        asleep: asleep.then_some(nvcsw),
        multiplexed: calls
            .multiplexed(called, Ktime(record.time))
            .filter(|_| asleep),
        waits_for: calls.waits_for(called).filter(|_| asleep),
        sleep: calls.call(number).filter(|_| in_read).map(|call| Sleep {
            since: Ktime(record.time),
            end: read_end(&record.end),
            call,
            nvcsw,
            previous: None,
        }),
    })
}

/// From the same row: what a thread that sleeps has as its frame pointer.
pub fn frame_pointer(record: &Record) -> Option<FramePointer> {
    let [nvcsw, .., value] = record.args;
    (record.flags & FLAG_SLEEPING != 0).then_some(FramePointer {
        tid: Tid(record.task.tid),
        nvcsw,
        value,
    })
}

/// A row of the iterator over fd tables: what it tells of each channel.
pub fn end_rows(record: &Record) -> Result<impl Iterator<Item = EndRow> + use<>, Unreadable> {
    if record.kind != abi::KIND_ROW_END {
        return Err(Unreadable::Kind(record.kind));
    }
    let [peer_writers, writers, head, tail, _] = record.args;
    let (actor, table) = (actor(&record.task, record.comm), TableId(record.table));
    let socket = record.end.flags & END_SOCKET != 0;
    let ring = record.flags & FLAG_RING != 0;
    Ok(end(&record.end).by_channel().map(move |end| {
        let (writers, buffered) = match (socket, end.mode.write) {
            (false, _) => (writers, head != tail),
            (true, false) => (writers, head != 0),
            (true, true) => (peer_writers, tail != 0),
        };
        EndRow {
            actor,
            table,
            end,
            writers: writers as u32,
            buffered,
            ring,
        }
    }))
}

fn process(task: &abi::Task) -> ProcKey {
    ProcKey {
        pid: Pid(task.tgid),
        start: task.start,
    }
}

fn actor(task: &abi::Task, comm: [u8; abi::COMM_LEN]) -> Actor {
    Actor {
        process: process(task),
        tid: Tid(task.tid),
        comm: Comm::new(comm),
    }
}

/// Descriptors are ints in the kernel.
fn fd(number: u64) -> Fd {
    Fd(number as u32)
}

fn stack(id: i32) -> Option<StackId> {
    u32::try_from(id).ok().map(StackId)
}

/// The end as that of the channel it reads.
fn read_end(record: &abi::End) -> End {
    let end = end(record);
    end.by_channel().next().unwrap_or(end)
}

fn end(end: &abi::End) -> End {
    let flag = |bit| end.flags & bit != 0;
    let kind = if flag(END_SOCKET) {
        let inode = u64::from(end.head);
        Kind::Socketpair {
            peer: (inode != 0).then_some(PipeId {
                dev: end.dev,
                inode,
            }),
        }
    } else if flag(END_FIFO) {
        Kind::Fifo
    } else {
        Kind::Pipe
    };
    End {
        fd: Fd(end.fd),
        pipe: PipeId {
            dev: end.dev,
            inode: end.inode,
        },
        address: end.pipe,
        file: FileId(end.file),
        mode: Mode {
            read: end.mode & MODE_READ != 0,
            write: end.mode & MODE_WRITE != 0,
        },
        cloexec: flag(END_CLOEXEC),
        kind,
        head: (!flag(END_SOCKET)).then_some(end.head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_that_was_being_renewed_is_none() {
        let calls = CallNumbers::NATIVE;
        let whole = Record {
            time: 5,
            kind: abi::KIND_SLEEP,
            args: [1, calls.read, 0, 5, 0],
            ..Record::default()
        };
        assert!(sleep(&whole, calls).is_ok());
        let torn = Record { time: 4, ..whole };
        assert_eq!(sleep(&torn, calls), Err(Unreadable::Torn));
    }
}
