//! The descriptor that is to be closed: what it is, who waits for that, and whether its
//! holder can, and is to, do it.

use std::time::{Duration, Instant};

use super::{Request, has_gone_on, plan, words};
use crate::{
    arch,
    driver::{self, Looked},
    event::{Kind, Snapshot},
    finding::{Hang, Holder, Reader, Release},
    ids::{Fd, Pid, Tid},
    injection::{self, Before, Closing, Failure},
    plan::Plan,
    problem::Problem,
    procfs::{self, Referent},
};

/// After this no further thread is tried.
const TRYING: Duration = Duration::from_secs(4);

/// The descriptor as it was found at first.
pub(super) struct Subject {
    pid: Pid,
    /// When its process started, in clock ticks since boot.
    start: u64,
    fd: Fd,
    file: Referent,
}

/// Who waits for it.
pub(super) struct Case {
    pub(super) release: Release,
    /// How often each reader had given up its CPU when it was seen asleep.
    asleep: Vec<u64>,
}

impl Subject {
    /// A write end, of a process that can be made to close it.
    pub(super) fn find(request: &Request) -> Result<Self, Problem> {
        let &Request { pid, fd, force, .. } = request;
        let start = procfs::start(pid).ok_or_else(|| words::has_ended(pid))?;
        if procfs::is_32_bit(pid) == Some(true) {
            return Err(words::is_32_bit(pid));
        }
        let threads = procfs::threads(pid);
        // The first thread may have ended before the others.
        let mut files = threads.iter().map(|tid| procfs::referent(*tid, fd));
        let first = files.next().ok_or_else(|| words::has_ended(pid))?;
        let file = first.or_else(|error| files.find(Result::is_ok).unwrap_or(Err(error)));
        let subject = Self {
            pid,
            start,
            fd,
            file: words::write_end(pid, fd, file)?,
        };
        subject.threads(force)?;
        Ok(subject)
    }

    /// Whether the process, and its descriptor in that thread's table, are still these.
    fn is_there(&self, tid: Tid) -> bool {
        procfs::start(self.pid) == Some(self.start)
            && procfs::referent(tid, self.fd).is_ok_and(|file| file == Some(self.file))
    }

    /// The threads that may be made to close it, the most suitable first.
    fn threads(&self, force: bool) -> Result<Vec<(Tid, Option<Before>)>, Problem> {
        let mut threads = Vec::new();
        let mut filter = 0;
        for tid in procfs::threads(self.pid) {
            let Some(condition) = procfs::condition(tid) else {
                continue;
            };
            if let Some(tracer) = condition.tracer {
                return Err(words::traced(self.pid, tracer));
            }
            if condition.seccomp == libc::SECCOMP_MODE_STRICT || condition.seccomp != 0 && !force {
                filter = condition.seccomp;
                continue;
            }
            // It would get that, though it is stopped.
            if condition.state == b'T' && condition.pending {
                return Err(words::signalled(self.pid));
            }
            if matches!(condition.state, b'Z' | b'X') || !self.is_there(tid) {
                continue;
            }
            let call = procfs::call(tid);
            // A limit of time begins anew there.
            let polls = |[number, ..]: [u64; 4]| {
                let mut epolls = arch::EPOLL.iter();
                epolls.any(|epoll| epoll.cast_unsigned() == number)
            };
            let rank = match (condition.state, call) {
                (b'D', _) => 2,
                (b'S' | b'T', Some(call)) if !polls(call) => 0,
                _ => 1,
            };
            threads.push((rank, tid, call.map(before)));
        }
        if threads.is_empty() && filter != 0 {
            return Err(words::filtered(self.pid, filter));
        }
        threads.sort_by_key(|(rank, tid, _)| (*rank, *tid));
        let threads = threads.into_iter();
        Ok(threads.map(|(_, tid, call)| (tid, call)).collect())
    }

    /// Finds out who waits for it.
    ///
    /// # Errors
    ///
    /// Its holder is to keep it, or has closed it.
    pub(super) fn judge(&self, request: &Request) -> Result<Case, Problem> {
        let plan = Plan {
            healthy: true,
            ..plan(request)
        };
        let looked = driver::look_for(&plan, |hang| self.holder(hang).is_some())?;
        if !procfs::threads(self.pid)
            .into_iter()
            .any(|tid| self.is_there(tid))
        {
            return Err(words::changed(self.pid, self.fd));
        }
        let Looked { hangs, snapshot } = looked;
        let waits = hangs.into_iter().filter(|hang| self.holder(hang).is_some());
        let (mut waits, meant): (Vec<Hang>, Vec<Hang>) =
            waits.partition(|hang| self.is_idle_heir(hang));
        if !request.force && (waits.is_empty() || !meant.is_empty()) {
            let meant = meant.first();
            return Err(words::refused(self.pid, self.fd, meant));
        }
        waits.extend(meant);
        self.case(waits, &snapshot)
    }

    /// Itself among those who hold up a wait.
    fn holder<'a>(&self, hang: &'a Hang) -> Option<&'a Holder> {
        hang.holders.iter().find(|holder| {
            let mut fds = holder.fds.iter();
            // How FIFOs are numbered differs with the file system, sockets are two channels.
            let is_it = hang.channel.kind != Kind::Pipe || hang.channel.id == self.file.id;
            let is_holder = is_it && holder.process.pid == self.pid;
            is_holder && fds.any(|it| it.fd == self.fd && it.mode.write)
        })
    }

    /// Whether it keeps a read from ending by a copy that it inherited and never used.
    fn is_idle_heir(&self, hang: &Hang) -> bool {
        self.holder(hang)
            .is_some_and(|holder| hang.is_kept_up_by_heir(holder))
    }

    fn case(&self, waits: Vec<Hang>, tables: &Snapshot) -> Result<Case, Problem> {
        let condition = procfs::condition(Tid(self.pid.0));
        let comm = condition.ok_or_else(|| words::has_ended(self.pid))?.comm;
        let shown = tables.ends.iter().find(|row| {
            row.actor.process.pid == self.pid && row.end.fd == self.fd && row.end.mode.write
        });
        let (id, kind) = match (waits.first(), shown) {
            (Some(hang), _) => (hang.channel.id, hang.channel.kind),
            (None, Some(row)) => (row.end.pipe, row.end.kind),
            (None, None) if self.file.socket => return Err(words::no_pair(self.pid, self.fd)),
            // `/proc` shows what threads wait for, and no more.
            (None, None) => {
                let path = procfs::path(self.pid, self.fd);
                let anonymous = path.is_none_or(|path| path.starts_with("pipe:["));
                (
                    self.file.id,
                    if anonymous { Kind::Pipe } else { Kind::Fifo },
                )
            }
        };
        let readers: Vec<Reader> = waits.iter().map(|hang| hang.reader.clone()).collect();
        let asleep = |reader: &Reader| {
            let mut rows = tables.tasks.iter();
            let row = rows.find(|row| row.actor.tid == reader.actor.tid);
            row.and_then(|row| row.asleep).unwrap_or_default()
        };
        Ok(Case {
            asleep: readers.iter().map(asleep).collect(),
            release: Release {
                pid: self.pid,
                comm,
                fd: self.fd,
                stand_in: self.stand_in(),
                id,
                kind,
                readers,
                hang: waits.into_iter().next().map(Box::new),
            },
        })
    }

    /// What takes its number. The threads of a process nearly always share a table.
    fn stand_in(&self) -> Option<Fd> {
        let mut threads = procfs::threads(self.pid).into_iter();
        let tid = threads.find(|tid| self.is_there(*tid))?;
        procfs::stand_in(tid, &self.file)
    }

    /// Closes it, by one thread or another.
    pub(super) fn close(&self, request: &Request, case: &Case) -> Result<(), Problem> {
        if !request.force && !case.is_waited_for() {
            return Err(Problem::new(
                "the reader went on by itself meanwhile; nothing was closed",
                "nothing needs to be done",
            ));
        }
        let closing = Closing {
            fd: self.fd,
            stand_in: case.release.stand_in,
            cloexec: self.file.cloexec,
        };
        let end = Instant::now() + TRYING;
        let mut first = (Tid(self.pid.0), Failure::Gone);
        for (tid, before) in self.threads(request.force)? {
            let is_it = || {
                let stands_in = |fd| procfs::can_stand_in(tid, fd, &self.file);
                self.is_there(tid) && closing.stand_in.is_none_or(stands_in)
            };
            let failure = match injection::close(tid, closing, before, is_it) {
                Ok(()) if self.is_there(tid) => Failure::Changed,
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !failure.is_of_thread() {
                first = (tid, failure);
                break;
            }
            if first.1 == Failure::Gone {
                first = (tid, failure);
            }
            if end <= Instant::now() {
                break;
            }
        }
        Err(words::failed(self.pid, self.fd, first))
    }
}

impl Case {
    /// Every reader is still where it was seen.
    fn is_waited_for(&self) -> bool {
        let mut readers = self.readers();
        readers.all(|(reader, asleep)| reader.call.is_multiplexed() || !has_gone_on(reader, asleep))
    }

    pub(super) fn readers(&self) -> impl Iterator<Item = (&Reader, u64)> {
        self.release.readers.iter().zip(self.asleep.iter().copied())
    }
}

fn before([number, argument, stack, instruction]: [u64; 4]) -> Before {
    Before {
        number: number.cast_signed(),
        argument,
        stack,
        instruction,
    }
}
