//! `pipewatch release`: makes a holder close a write end that it will never use, so that
//! the read ends for which it was kept open. What is judged idle is closed, and no other
//! descriptor, unless that is asked for.

use std::{
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use crate::{
    arch,
    clock::{self, Wall},
    driver::{self, Looked},
    event::{Kind, Snapshot, TaskRow},
    finding::{Hang, HeldFd, Reader, Release, Released, StillHeld, Verdict},
    ids::{Fd, Pid, ProcKey, Tid},
    injection::{self, Before, Failure},
    output::{self, say},
    plan::{Plan, Target},
    problem::Problem,
    procfs::{self, Referent},
    render::{self, Format, Style},
    source::Backend,
};

/// So long a thread may take to make a system call.
const CALL: Duration = Duration::from_secs(1);
/// So long all of them together may.
const CALLS: Duration = Duration::from_secs(5);
/// So long a reader may take to be seen to go on.
const GOING_ON: Duration = Duration::from_secs(2);
/// How often it is looked at.
const LOOKING: Duration = Duration::from_millis(2);

/// What the user wants.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The holder.
    pub pid: Pid,
    /// Its write end.
    pub fd: Fd,
    /// Whatever the judgement, and the filters of the holder.
    pub force: bool,
    /// Do not ask.
    pub yes: bool,
    /// How the host is to be seen.
    pub backend: Backend,
    /// How the outcome is told.
    pub format: Format,
}

/// Does it; whether all who waited went on.
///
/// # Errors
///
/// It is refused, or fails: nothing was closed, unless the problem says so.
pub fn release(request: &Request) -> Result<bool, Problem> {
    let asks = !request.yes;
    if asks && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Problem::new(
            "nobody is there to be asked whether to close it",
            "run it at a terminal, or with --yes",
        ));
    }
    let subject = Subject::find(request)?;
    subject.threads(request.force)?;
    let mut case = subject.judge(request)?;
    let style = Style {
        width: output::width(),
        colour: false,
    };
    let plan = render::plan(&case.release, &style);
    say(plan.trim_end());
    if asks {
        if !is_agreed(request)? {
            return Err(Problem::new(
                "not agreed to, nothing was closed",
                "answer y to close it",
            ));
        }
        // A person takes time, in which things happen.
        case = subject.judge(request)?;
    }
    subject.close(request, &case)?;
    let released = outcome(request, &case)?;
    let mut out = io::stdout().lock();
    let written = render::outcome(
        (&case.release, &released),
        Wall::new().of(released.time),
        request.format,
        &style,
        &mut out,
    );
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Problem::new(
            format!("it was closed, but that cannot be written: {error}"),
            "is there space left where output goes?",
        )),
        Ok(()) | Err(_) => Ok(released.waiting.is_empty()),
    }
}

fn is_agreed(request: &Request) -> Result<bool, Problem> {
    let Request { pid, fd, .. } = request;
    let mut answer = String::new();
    let asked = write!(io::stderr(), "Close fd {fd} of pid {pid}? [y/N] ");
    asked
        .and_then(|()| io::stdin().read_line(&mut answer))
        .map_err(|error| Problem::new(format!("cannot ask: {error}"), "use --yes"))?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// The descriptor as it was found at first.
struct Subject {
    pid: Pid,
    /// When its process started, in clock ticks since boot.
    start: u64,
    fd: Fd,
    file: Referent,
}

/// What is known of the descriptor.
struct Case {
    release: Release,
    /// How often each reader had given up its CPU when it was last seen asleep.
    asleep: Vec<u64>,
}

impl Subject {
    fn find(request: &Request) -> Result<Self, Problem> {
        let &Request { pid, fd, .. } = request;
        let start = procfs::start(pid).ok_or_else(|| has_ended(pid))?;
        if procfs::is_32_bit(pid) == Some(true) {
            return Err(Problem::new(
                format!("process {pid} runs a program of 32 bit, which pipewatch cannot release"),
                "gdb can: gdb -p PID -batch -ex 'call (int)close(FD)'",
            ));
        }
        let threads = procfs::threads(pid);
        // The first thread may have ended before the others.
        let mut files = threads.iter().map(|tid| procfs::referent(*tid, fd));
        let first = files.next().ok_or_else(|| has_ended(pid))?;
        let file = match first.or_else(|error| files.find(Result::is_ok).unwrap_or(Err(error))) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(not_permitted(pid));
            }
            Err(_) => {
                return Err(Problem::new(
                    format!("process {pid} has no descriptor {fd}"),
                    "`pipewatch snapshot` tells who holds what",
                ));
            }
        };
        match file {
            Some(file) if file.mode.write => Ok(Self {
                pid,
                start,
                fd,
                file,
            }),
            Some(_) => Err(Problem::new(
                format!(
                    "descriptor {fd} of process {pid} is a read end, which keeps no read from ending"
                ),
                "name the write end: `pipewatch snapshot` tells it",
            )),
            None => Err(Problem::new(
                format!("descriptor {fd} of process {pid} is no end of a pipe"),
                "`pipewatch snapshot` tells who holds what",
            )),
        }
    }

    /// Whether the process, and its descriptor in that thread's table, are still these.
    fn is_there(&self, tid: Tid) -> bool {
        procfs::start(self.pid) == Some(self.start)
            && procfs::referent(tid, self.fd).is_ok_and(|file| file == Some(self.file))
    }

    /// The threads that may be made to close it, the most suitable first.
    fn threads(&self, force: bool) -> Result<Vec<(Tid, Option<Before>)>, Problem> {
        let pid = self.pid;
        let mut threads = Vec::new();
        let mut filtered = None;
        for tid in procfs::threads(pid) {
            let Some(condition) = procfs::condition(tid) else {
                continue;
            };
            if let Some(tracer) = condition.tracer {
                return Err(traced(pid, tracer));
            }
            match condition.seccomp {
                0 => {}
                1 => {
                    filtered = Some(Problem::new(
                        format!(
                            "process {pid} is in strict seccomp mode: the kernel would kill it for a close"
                        ),
                        "end it instead",
                    ));
                    continue;
                }
                _ if force => {}
                _ => {
                    filtered.get_or_insert_with(|| Problem::new(
                        format!("process {pid} has a filter of system calls (seccomp), which may kill it for a close"),
                        "those of Docker, systemd and browsers permit it: --force takes the risk",
                    ));
                    continue;
                }
            }
            if matches!(condition.state, b'Z' | b'X') || !self.is_there(tid) {
                continue;
            }
            let call = procfs::call(tid);
            let polls = call.is_some_and(|[number, ..]| {
                arch::EPOLL
                    .iter()
                    .any(|epoll| epoll.cast_unsigned() == number)
            });
            let rank = match (condition.state, call) {
                (b'S' | b'T', Some(_)) if !polls => 0,
                (b'D', _) => 2,
                _ => 1,
            };
            threads.push((rank, tid, call.map(before)));
        }
        threads.sort_by_key(|(rank, tid, _)| (*rank, *tid));
        match filtered {
            Some(problem) if threads.is_empty() => Err(problem),
            _ => Ok(threads
                .into_iter()
                .map(|(_, tid, call)| (tid, call))
                .collect()),
        }
    }

    /// Who waits for it, and whether its holder is to have it.
    fn judge(&self, request: &Request) -> Result<Case, Problem> {
        let looked = driver::look_for(&Plan {
            target: Target::All,
            healthy: true,
            backend: request.backend,
            stacks: None,
            ..Plan::default()
        })?;
        if !procfs::threads(self.pid)
            .into_iter()
            .any(|tid| self.is_there(tid))
        {
            return Err(self.changed());
        }
        let Looked { hangs, snapshot } = looked;
        let holds = |hang: &Hang| {
            let holder = hang.holders.iter().find(|it| it.process.pid == self.pid)?;
            let of_fd = |held: &HeldFd| held.fd == self.fd && held.mode.write;
            holder.fds.iter().any(of_fd).then_some(holder.used)
        };
        let mut waits: Vec<(Hang, bool)> = hangs
            .into_iter()
            .filter_map(|hang| holds(&hang).map(|used| (hang, used)))
            .collect();
        // If somebody hangs, that comes before whoever waits for good reasons.
        let is_idle = |(hang, used): &(Hang, bool)| {
            matches!(hang.verdict, Verdict::Leaked | Verdict::Orphaned) && !used
        };
        waits.sort_by_key(|wait| !is_idle(wait));
        let all_idle = !waits.is_empty() && waits.iter().all(is_idle);
        if !request.force && !all_idle {
            return Err(self.refused(waits.iter().find(|wait| !is_idle(wait))));
        }
        let row = snapshot.ends.iter().find(|row| {
            row.actor.process.pid == self.pid && row.end.fd == self.fd && row.end.mode.write
        });
        let (id, kind) = match (waits.first(), row) {
            (Some((hang, _)), _) => (hang.channel.id, hang.channel.kind),
            (None, Some(row)) => (row.end.pipe, row.end.kind),
            (None, None) if self.file.socket => {
                return Err(Problem::new(
                    format!(
                        "descriptor {} of process {} is no socket of a pair",
                        self.fd, self.pid
                    ),
                    "pipewatch releases pipes, FIFOs and pairs of UNIX sockets (as root)",
                ));
            }
            // `/proc` shows what threads wait for, and no more.
            (None, None) => (self.file.id, Kind::Pipe),
        };
        let process = waits.first().and_then(|(hang, _)| {
            let holder = hang.holders.iter().find(|it| it.process.pid == self.pid)?;
            Some(holder.process)
        });
        let condition = procfs::condition(Tid(self.pid.0)).ok_or_else(|| has_ended(self.pid))?;
        let release = Release {
            process: process.unwrap_or(ProcKey {
                pid: self.pid,
                start: 0,
            }),
            comm: condition.comm,
            fd: self.fd,
            id,
            kind,
            readers: waits.iter().map(|(hang, _)| hang.reader.clone()).collect(),
            hang: waits.into_iter().next().map(|(hang, _)| Box::new(hang)),
        };
        let asleep = release
            .readers
            .iter()
            .map(|reader| nvcsw(&snapshot, reader));
        Ok(Case {
            asleep: asleep.collect(),
            release,
        })
    }

    fn refused(&self, wait: Option<&(Hang, bool)>) -> Problem {
        let Self { pid, fd, .. } = self;
        let hint = "--force closes it all the same; its holder may fail then, or lose what it meant \
                    to write";
        match wait {
            Some((hang, used)) => {
                let why = match (hang.verdict, used) {
                    (Verdict::Waiting, _) => "may be meant to write",
                    (_, true) => "has used it before",
                    _ => "is not an idle heir of it",
                };
                Problem::new(format!("process {pid} {why}, fd {fd}: {}", hang.why), hint)
            }
            None => Problem::new(
                format!("nobody is seen to wait for fd {fd} of process {pid} to be closed"),
                hint,
            ),
        }
    }

    fn changed(&self) -> Problem {
        Problem::new(
            format!(
                "process {} ended, or closed descriptor {} itself, meanwhile; pipewatch closed nothing",
                self.pid, self.fd
            ),
            "look again: pipewatch snapshot",
        )
    }

    /// Closes it, by one thread or another.
    fn close(&self, request: &Request, case: &Case) -> Result<(), Problem> {
        if !request.force && !case.is_waited_for() {
            return Err(Problem::new(
                "the reader went on by itself meanwhile; nothing was closed",
                "nothing needs to be done",
            ));
        }
        let end = Instant::now() + CALLS;
        let mut first = None;
        for (tid, before) in self.threads(request.force)? {
            let limit = CALL.min(end.saturating_duration_since(Instant::now()));
            match injection::close(tid, self.fd, before, limit, || self.is_there(tid)) {
                Ok(()) if !self.is_there(tid) => return Ok(()),
                Ok(()) => return Err(self.failed(tid, Failure::Changed)),
                Err(
                    failure @ (Failure::NoCall
                    | Failure::Gone
                    | Failure::Stopped
                    | Failure::Foreign),
                ) => {
                    first.get_or_insert((tid, failure));
                }
                Err(failure) => return Err(self.failed(tid, failure)),
            }
            if end <= Instant::now() {
                break;
            }
        }
        let (tid, failure) = first.unwrap_or((Tid(self.pid.0), Failure::Gone));
        Err(self.failed(tid, failure))
    }

    fn failed(&self, tid: Tid, failure: Failure) -> Problem {
        let Self { pid, fd, .. } = self;
        let error = io::Error::from_raw_os_error;
        match failure {
            Failure::Gone | Failure::Changed => self.changed(),
            Failure::NotPermitted => {
                let tracer = procfs::condition(tid).and_then(|condition| condition.tracer);
                tracer.map_or_else(|| not_permitted(*pid), |tracer| traced(*pid, tracer))
            }
            Failure::NoCall => Problem::new(
                format!(
                    "no thread of process {pid} came to a system call in time, so none was made to close fd {fd}"
                ),
                "it computes, or waits for a device: try again later, or end it",
            ),
            Failure::Stopped => Problem::new(
                format!(
                    "process {pid} is stopped outside of any system call, and would have to run to close fd {fd}"
                ),
                format!("let it go on first: kill -CONT {pid}"),
            ),
            Failure::Foreign => Problem::new(
                format!(
                    "process {pid} makes system calls of 32 bit, which pipewatch cannot release"
                ),
                "gdb can: gdb -p PID -batch -ex 'call (int)close(FD)'",
            ),
            Failure::Refused(number) => Problem::new(
                format!(
                    "the kernel did not let process {pid} close fd {fd}: {}",
                    error(number)
                ),
                "a filter of system calls may forbid it; end the process instead",
            ),
            Failure::Request(number) => Problem::new(
                format!(
                    "cannot trace thread {tid} of process {pid}: {}",
                    error(number)
                ),
                "report this as a bug",
            ),
            Failure::NoThread => Problem::new(
                "cannot start a thread",
                "are there processes left to start?",
            ),
            Failure::Killed => Problem::new(
                format!("process {pid} ended while it closed fd {fd}"),
                "a filter of system calls may have killed it; what it held is closed now",
            ),
        }
    }
}

impl Case {
    /// Every reader is still where it was seen.
    fn is_waited_for(&self) -> bool {
        let mut readers = self.readers();
        readers.all(|(reader, asleep)| reader.call.is_multiplexed() || !has_gone_on(reader, asleep))
    }

    fn readers(&self) -> impl Iterator<Item = (&Reader, u64)> {
        self.release.readers.iter().zip(self.asleep.iter().copied())
    }
}

/// What came of it: who went on, and if not all did, who else holds a write end.
fn outcome(request: &Request, case: &Case) -> Result<Released, Problem> {
    let end = Instant::now() + GOING_ON;
    let gone_on = || {
        case.readers()
            .all(|(reader, asleep)| has_gone_on(reader, asleep))
    };
    while !gone_on() && Instant::now() < end {
        thread::sleep(LOOKING);
    }
    let mut released = Released {
        time: clock::now(),
        waiting: Vec::new(),
        others: Vec::new(),
    };
    let release = &case.release;
    // Who polls wakes up for others too.
    if gone_on()
        && !release
            .readers
            .iter()
            .any(|reader| reader.call.is_multiplexed())
    {
        return Ok(released);
    }
    let looked = driver::look_for(&Plan {
        backend: request.backend,
        stacks: None,
        ..Plan::default()
    })?;
    let held = looked.snapshot.ends.iter();
    let held = held.filter(|row| row.end.pipe == release.id && row.end.mode.write);
    released.others = held
        .map(|row| StillHeld {
            process: row.actor.process,
            comm: row.actor.comm,
            fd: row.end.fd,
        })
        .collect();
    for (reader, asleep) in case.readers() {
        let polls_still = reader.call.is_multiplexed() && !released.others.is_empty();
        if polls_still || !has_gone_on(reader, asleep) {
            released.waiting.push(reader.clone());
        }
    }
    Ok(released)
}

/// Whether a thread does not sleep any more as it did then.
fn has_gone_on(reader: &Reader, asleep: u64) -> bool {
    procfs::condition(reader.actor.tid).is_none_or(|now| {
        // Who is stopped, or traced, sleeps on.
        let awake = matches!(now.state, b'R' | b'D' | b'Z' | b'X');
        awake || now.nvcsw != asleep
    })
}

fn nvcsw(snapshot: &Snapshot, reader: &Reader) -> u64 {
    let is_it = |row: &&TaskRow| row.actor.tid == reader.actor.tid;
    let row = snapshot.tasks.iter().find(is_it);
    row.and_then(|row| row.asleep).unwrap_or_default()
}

fn before([number, argument, stack, instruction]: [u64; 4]) -> Before {
    Before {
        number: number.cast_signed(),
        argument,
        stack,
        instruction,
    }
}

fn has_ended(pid: Pid) -> Problem {
    Problem::new(
        format!("process {pid} has ended"),
        "what it held is closed; look again: pipewatch snapshot",
    )
}

fn not_permitted(pid: Pid) -> Problem {
    Problem::new(
        format!("tracing process {pid} is not permitted"),
        "run pipewatch as root (sudo); kernel.yama.ptrace_scope may forbid it even for one's own",
    )
}

fn traced(pid: Pid, tracer: Pid) -> Problem {
    let name = procfs::condition(Tid(tracer.0)).map(|condition| condition.comm);
    let name = name.map_or_else(String::new, |comm| format!(" ({comm})"));
    Problem::new(
        format!(
            "process {pid} is traced by process {tracer}{name}, and the kernel permits one tracer"
        ),
        "end that one first; gdb can close it itself: call (int)close(FD)",
    )
}
