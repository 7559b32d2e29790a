//! What the picture of a hang shows, before it is drawn: a lane for each process, in
//! it a row for each thread that did something and for each end that it had, and a
//! column for each moment. What was not seen is left open, never made up.

use crate::{
    event::Mode,
    finding::{FreedHow, Hang, Holder, Outcome, Reader, Resolved, Step, Verdict, What},
    ids::{Comm, Fd, Ktime, Pid, ProcKey, Tid},
};

/// So many holders have a lane; the others are only counted.
const HOLDERS: usize = 8;
/// So many steps are in a picture: the first of them, and the last.
const STEPS: usize = 24;

const WRITE: Mode = Mode {
    read: false,
    write: true,
};
const READ: Mode = Mode {
    read: true,
    write: false,
};
/// Of a socket, before it is known what it is used for here.
const EITHER: Mode = Mode {
    read: false,
    write: false,
};

/// The picture.
#[derive(Debug)]
pub(super) struct Lanes {
    /// In the order in which they appear.
    pub processes: Vec<Process>,
    /// What happened, a column each, in order of time.
    pub events: Vec<Event>,
    /// Holders without a lane.
    pub more_holders: usize,
    /// Steps without a column.
    pub more_steps: usize,
    /// The column of the report: after all steps.
    pub told: usize,
    /// The column of the end of the wait, or of what is known last.
    pub last: usize,
    /// The columns' moments.
    pub times: Vec<Ktime>,
    /// The row of the thread that waits, and the column in which it begins to.
    pub reader: (At, usize),
    /// The column in which the pipe was made, if that was seen.
    pub made: Option<usize>,
    /// The row of the end that was closed last, if it was seen.
    pub freed: Option<At>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    /// Which.
    pub pid: Pid,
    /// Its name, as it was last: that of its main thread.
    pub comm: Option<Comm>,
    /// The column in which it was forked, if that was seen.
    pub begin: Option<usize>,
    /// It ends at the last column.
    pub ends: bool,
    /// It made the pipe.
    pub maker: bool,
    /// One of its threads waits.
    pub waits: bool,
    /// Its number among the holders.
    pub holder: Option<usize>,
    /// It is none: what is in flight has this lane.
    pub nobody: bool,
    /// Its threads, as far as they did something.
    pub threads: Vec<Tid>,
    /// The ends it had, by descriptor.
    pub ends_held: Vec<Line>,
}

/// A descriptor of the pipe in a process, from when it was there to when it was not.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its number, if known.
    pub fd: Option<Fd>,
    /// Which end it is.
    pub mode: Mode,
    /// It was seen to come to be, in the column `first`.
    pub seen_to_begin: bool,
    /// From this column on it is known to be there.
    pub first: usize,
    /// Up to this one.
    pub last: usize,
    /// And then.
    pub end: End,
    /// What it is a copy of, by a fork: its number is the same.
    origin: Option<At>,
}

/// What becomes of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is there until the picture ends.
    Open,
    /// It was closed.
    Closed,
    /// It was gone in this column, and nobody saw it go.
    Unseen(usize),
}

/// A row of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The process.
    pub process: usize,
    /// The thread, or else the line.
    pub row: Row,
}

/// A row within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// The name of the process.
    Title,
    /// A thread, by its place among them.
    Thread(usize),
    /// An end, likewise.
    End(usize),
}

/// Something that happened.
#[derive(Debug)]
pub(super) struct Event {
    /// Its number in the timeline of the hang.
    pub step: usize,
    /// The thread that did it.
    pub by: At,
    /// What was made, closed or kept by it.
    pub touched: Vec<At>,
    /// What was copied.
    pub copied: Vec<At>,
}

impl Lanes {
    /// Of a hang, how it was resolved, and else until when it is known to go on.
    pub(super) fn new(hang: &Hang, resolved: Option<&Resolved>, until: Ktime) -> Self {
        let (steps, more_steps) = shown(hang);
        let end = resolved.map_or(until, |resolved| resolved.time);
        let mut times: Vec<Ktime> = steps.iter().map(|(_, step)| step.act.time).collect();
        let told = times.len();
        times.push(hang.time);
        if end > hang.time {
            times.push(end);
        }
        let mut lanes = Self {
            processes: Vec::new(),
            events: Vec::new(),
            more_holders: hang.holders.len().saturating_sub(HOLDERS),
            more_steps,
            told,
            last: times.len() - 1,
            times,
            reader: (at(0, Row::Title), told),
            made: None,
            freed: None,
        };
        for (column, (number, step)) in steps.into_iter().enumerate() {
            lanes.take(column, number, step, hang);
        }
        let actor = hang.reader.actor;
        let process = lanes.process(actor.process.pid);
        lanes.reader.0 = lanes.thread(process, actor.tid);
        for (number, holder) in hang.holders.iter().take(HOLDERS).enumerate() {
            lanes.hold(number, holder, sole(hang, holder.process.pid));
        }
        if hang.verdict == Verdict::InFlight {
            let process = lanes.add(Pid(0));
            lanes.processes[process].nobody = true;
            let line = lanes.begin(process, None, WRITE, told);
            if let Some(line) = lanes.line_mut(line) {
                line.seen_to_begin = false;
            }
        }
        lanes.end(hang, resolved);
        lanes
    }

    fn take(&mut self, column: usize, number: usize, step: &Step, hang: &Hang) {
        let actor = step.act.actor;
        let process = self.process(actor.process.pid);
        if actor.tid.0 == actor.process.pid.0 {
            self.processes[process].comm = Some(actor.comm);
        }
        let by = self.thread(process, actor.tid);
        let mut event = Event {
            step: number,
            by,
            touched: Vec::new(),
            copied: Vec::new(),
        };
        match step.what {
            What::Pipe | What::Socketpair => {
                self.processes[process].maker = true;
                self.made = Some(column);
                for (index, fd) in step.fds.iter().enumerate() {
                    let mode = match (step.what, index) {
                        (What::Socketpair, _) => socket(actor.process, *fd, &step.fds, hang),
                        (_, 0) => READ,
                        (_, _) => WRITE,
                    };
                    let end = self.begin(process, Some(*fd), mode, column);
                    event.touched.push(end);
                }
            }
            What::Fork { child } => {
                let heir = (child, sole(hang, child));
                self.fork(process, heir, column, step, &mut event);
            }
            What::Dup if step.fds.is_empty() => {
                event.touched.push(self.begin(process, None, WRITE, column));
            }
            What::Dup => {
                for fd in &step.fds {
                    if self.open(process, *fd).is_none() {
                        let end = self.begin(process, Some(*fd), EITHER, column);
                        event.touched.push(end);
                    }
                }
            }
            What::Exec => {
                self.processes[process].comm = Some(actor.comm);
                let sole = sole(hang, actor.process.pid);
                for fd in &step.fds {
                    self.known(process, *fd, sole == Some(*fd));
                    event.touched.push(self.there(process, *fd, EITHER, column));
                }
            }
            What::Close | What::Exit => {
                for fd in &step.fds {
                    let there = self.there(process, *fd, WRITE, column);
                    if let Some(line) = self.line_mut(there) {
                        line.end = End::Closed;
                    }
                    event.touched.push(there);
                }
            }
            What::Read(_) => {
                self.processes[process].waits = true;
                self.reader.1 = column;
                for fd in &step.fds {
                    event.touched.push(self.there(process, *fd, READ, column));
                }
            }
        }
        self.events.push(event);
    }

    /// The child gets what is named; if nothing is, all that the parent is known to have.
    fn fork(
        &mut self,
        parent: usize,
        (child, sole): (Pid, Option<Fd>),
        column: usize,
        step: &Step,
        event: &mut Event,
    ) {
        let process = self.process(child);
        self.processes[process].begin = Some(column);
        self.processes[process].comm = Some(step.act.actor.comm);
        let copied: Vec<(Option<Fd>, Option<At>)> = if step.fds.is_empty() {
            let lines = self.processes[parent].ends_held.iter().enumerate();
            let open = lines.filter(|(_, line)| line.end == End::Open);
            open.map(|(index, line)| (line.fd, Some(at(parent, Row::End(index)))))
                .collect()
        } else {
            let fds = step.fds.iter();
            fds.map(|&fd| (Some(fd), self.known(parent, fd, sole == Some(fd))))
                .collect()
        };
        for (fd, origin) in copied {
            let mode = origin
                .and_then(|origin| self.line_mut(origin))
                .map_or(EITHER, |line| {
                    line.last = column;
                    line.mode
                });
            let copy = self.begin(process, fd, mode, column);
            if let Some(line) = self.line_mut(copy) {
                line.origin = origin;
            }
            event.copied.extend(origin);
            event.touched.push(copy);
        }
        if event.touched.is_empty() {
            event.touched.push(at(process, Row::Title));
        }
    }

    /// What a holder has when the hang is told.
    fn hold(&mut self, number: usize, holder: &Holder, sole: Option<Fd>) {
        let process = self.process(holder.process.pid);
        self.processes[process].holder = Some(number);
        self.processes[process].comm = Some(holder.comm);
        let told = self.told;
        for held in &holder.fds {
            self.known(process, held.fd, sole == Some(held.fd));
            let there = self.there(process, held.fd, held.mode, told);
            if let Some(line) = self.line_mut(there) {
                line.mode = held.mode;
            }
        }
        for line in &mut self.processes[process].ends_held {
            let held = holder.fds.iter().any(|held| Some(held.fd) == line.fd);
            if !held && line.end == End::Open {
                line.end = End::Unseen(told);
            }
        }
    }

    /// What becomes of the ends after that.
    fn end(&mut self, hang: &Hang, resolved: Option<&Resolved>) {
        let (told, last) = (self.told, self.last);
        let reader = hang.reader.actor.process.pid;
        let outcome = resolved.map(|resolved| resolved.outcome);
        let freed_by = resolved.and_then(|resolved| resolved.freed_by);
        for (index, process) in self.processes.iter_mut().enumerate() {
            let frees = freed_by.filter(|by| by.pid == process.pid);
            process.ends = frees.is_some_and(|by| by.how == FreedHow::Exit)
                || (outcome == Some(Outcome::ReaderGone) && process.pid == reader);
            for (number, line) in process.ends_held.iter_mut().enumerate() {
                if line.end != End::Open {
                    continue;
                }
                let writes = line.mode.write;
                // What a fork gave to the reader besides may be gone.
                let read = !writes
                    && process.pid == reader
                    && (line.fd == Some(hang.reader.fd) || line.origin.is_none());
                let held = process.holder.is_some() || process.nobody || read;
                line.last = if held { last } else { line.last };
                if process.ends || frees.is_some() && writes {
                    (line.last, line.end) = (last, End::Closed);
                    if frees.is_some() && writes {
                        self.freed.get_or_insert(at(index, Row::End(number)));
                    }
                } else if held
                    && writes
                    && outcome.is_some_and(|it| it == Outcome::Eof || process.nobody)
                {
                    (line.last, line.end) = (told, End::Unseen(last));
                } else if !held {
                    line.end = End::Unseen(if writes { told } else { last });
                }
            }
        }
    }

    fn process(&mut self, pid: Pid) -> usize {
        let known = self.processes.iter().position(|it| it.pid == pid);
        known.unwrap_or_else(|| self.add(pid))
    }

    fn add(&mut self, pid: Pid) -> usize {
        self.processes.push(Process {
            pid,
            comm: None,
            begin: None,
            ends: false,
            maker: false,
            waits: false,
            holder: None,
            nobody: false,
            threads: Vec::new(),
            ends_held: Vec::new(),
        });
        self.processes.len() - 1
    }

    fn thread(&mut self, process: usize, tid: Tid) -> At {
        let threads = &mut self.processes[process].threads;
        let known = threads.iter().position(|known| *known == tid);
        let index = known.unwrap_or_else(|| {
            threads.push(tid);
            threads.len() - 1
        });
        at(process, Row::Thread(index))
    }

    /// A descriptor that is there by now.
    fn open(&self, process: usize, fd: Fd) -> Option<At> {
        let lines = &self.processes[process].ends_held;
        let is_open = |line: &Line| line.fd == Some(fd) && line.end == End::Open;
        let index = lines.iter().rposition(is_open)?;
        Some(at(process, Row::End(index)))
    }

    /// A descriptor comes to be.
    fn begin(&mut self, process: usize, fd: Option<Fd>, mode: Mode, column: usize) -> At {
        let lines = &mut self.processes[process].ends_held;
        lines.push(Line {
            fd,
            mode,
            seen_to_begin: true,
            first: column,
            last: column,
            end: End::Open,
            origin: None,
        });
        at(process, Row::End(lines.len() - 1))
    }

    /// A descriptor that is there by now. If it is what a duplicate of unknown number was
    /// handed on as, it is the latest of these, and its number is known from here on.
    fn known(&mut self, process: usize, fd: Fd, duplicate: bool) -> Option<At> {
        let nameless = |line: &Line| line.fd.is_none() && line.end == End::Open;
        let open = self.open(process, fd);
        let place = open.or_else(|| {
            let lines = &self.processes[process].ends_held;
            let index = lines.iter().rposition(nameless).filter(|_| duplicate)?;
            Some(at(process, Row::End(index)))
        })?;
        let mut named = Some(place);
        while let Some(line) = named.and_then(|place| self.line_mut(place)) {
            line.fd = Some(fd);
            named = line.origin;
        }
        Some(place)
    }

    /// A descriptor that is there at this moment, whether or not it is known since when.
    fn there(&mut self, process: usize, fd: Fd, mode: Mode, column: usize) -> At {
        let place = self.open(process, fd).unwrap_or_else(|| {
            let place = self.begin(process, Some(fd), mode, column);
            if let Some(line) = self.line_mut(place) {
                line.seen_to_begin = false;
            }
            place
        });
        if let Some(line) = self.line_mut(place) {
            line.last = column;
        }
        place
    }

    fn line_mut(&mut self, At { process, row }: At) -> Option<&mut Line> {
        match row {
            Row::End(index) => self.processes.get_mut(process)?.ends_held.get_mut(index),
            Row::Title | Row::Thread(_) => None,
        }
    }
}

fn at(process: usize, row: Row) -> At {
    At { process, row }
}

/// The only write end of a holder: what the acts before tell of is how it came by that.
fn sole(hang: &Hang, holder: Pid) -> Option<Fd> {
    let holder = hang.holders.iter().find(|it| it.process.pid == holder)?;
    let mut writing = holder.fds.iter().filter(|held| held.mode.write);
    let only = writing.next()?.fd;
    writing.next().is_none().then_some(only)
}

/// Which end of the channel a socket is, to the process that made it: of the two, the
/// one that is not read is written to.
fn socket(maker: ProcKey, fd: Fd, both: &[Fd], hang: &Hang) -> Mode {
    let Reader {
        actor, fd: read, ..
    } = &hang.reader;
    match actor.process == maker && both.contains(read) {
        true if fd == *read => READ,
        true => WRITE,
        false => EITHER,
    }
}

/// The steps that have to do with who has a lane, by number, and how many were left out.
pub(super) fn shown(hang: &Hang) -> (Vec<(usize, &Step)>, usize) {
    let holders = hang.holders.iter().take(HOLDERS);
    let mut pids: Vec<Pid> = holders.map(|holder| holder.process.pid).collect();
    pids.push(hang.reader.actor.process.pid);
    pids.extend(hang.channel.created.map(|it| it.act.actor.process.pid));
    // Who brought it to them: a fork comes before what its child does.
    for step in hang.timeline.iter().rev() {
        if step.child().is_some_and(|child| pids.contains(&child)) {
            pids.push(step.act.actor.process.pid);
        }
    }
    let concerns = |step: &Step| {
        let whom = step.child().unwrap_or(step.act.actor.process.pid);
        pids.contains(&whom)
    };
    let steps = hang.timeline.iter().enumerate();
    let mut steps: Vec<(usize, &Step)> = steps.filter(|(_, step)| concerns(step)).collect();
    let middle = STEPS / 2..steps.len().saturating_sub(STEPS / 2);
    let mut place = 0..;
    steps.retain(|(_, step)| {
        let in_middle = place.next().is_some_and(|place| middle.contains(&place));
        !in_middle || matches!(step.what, What::Read(_))
    });
    let left_out = hang.timeline.len() - steps.len();
    (steps, left_out)
}
