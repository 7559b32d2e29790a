//! What is told to a person: a wait, who holds the other end, how that came
//! about, and what it means. The words are those of the output contract
//! (docs/output.md).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    event::{Actor, Call, Kind, Mode},
    ids::{Comm, Fd, Ktime, Pid, PipeId, ProcKey, StackId},
    language::Language,
    stack::Sights,
};

/// Number of a reported wait, from 1 in the order of reporting.
pub type WaitId = u64;

/// What a wait with EOF withheld is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Only heirs that never put their copy to use hold the write end.
    Leaked,
    /// Who was meant to write is gone; what it left behind holds the write end.
    Orphaned,
    /// Only the waiting process itself holds the write end.
    SelfHeld,
    /// No fd table shows the writer that the kernel counts.
    InFlight,
    /// Healthy: somebody meant to write still holds the write end.
    Waiting,
}

/// How the write end got where it should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another thread forked between the pipe's creation and the close.
    ForkRace,
    /// Inherited by a fork.
    Fork,
    /// Kept across an exec for want of close-on-exec.
    Exec,
    /// Duplicated.
    Dup,
    /// Sent in a message.
    Passed,
    /// Not known, or nothing to explain.
    Unknown,
}

/// Whether anybody who could mean to write is left. Ordered: a later one is
/// stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Confidence {
    /// The picture is that of a forked child that will still answer.
    Likely,
    /// Nobody who could mean to write is left.
    Certain,
}

/// Whether the whole history was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It was.
    Exact,
    /// Some of it happened before attaching, or events were lost.
    Inferred,
}

/// How a holder came by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViaKind {
    /// A fork copied the fd table.
    Fork,
    /// It was kept across an exec.
    Exec,
    /// It was duplicated from another descriptor.
    Dup,
    /// The holder made the pipe.
    Created,
    /// The holder opened the FIFO by its path, or the pipe by that of a
    /// descriptor (`/proc/PID/fd/N`).
    Opened,
    /// Another process passed it on, by a message on a socket, or the holder
    /// took it, by pidfd_getfd.
    Passed,
    /// It happened before anybody looked.
    Unknown,
}

/// The act by which a holder came by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// What kind of act.
    pub kind: ViaKind,
    /// When, and by which thread, if seen.
    pub act: Option<Act>,
}

/// Something a thread did at a known moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub time: Ktime,
    /// Who.
    pub actor: Actor,
    /// Where in the program, if known.
    pub stack: Option<StackId>,
}

/// The thread that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The thread.
    pub actor: Actor,
    /// The descriptor it reads.
    pub fd: Fd,
    /// The system call it waits in.
    pub call: Call,
    /// Since when.
    pub since: Ktime,
}

impl Reader {
    /// The begin of its wait.
    pub fn act(&self) -> Act {
        Act {
            time: self.since,
            actor: self.actor,
            stack: None,
        }
    }
}

/// How a pipe was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// When and by whom.
    pub act: Act,
    /// The read and the write end's descriptor at that moment, or both sockets.
    pub fds: [Fd; 2],
}

/// The channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Which pipe.
    pub id: PipeId,
    /// What kind of channel.
    pub kind: Kind,
    /// It holds bytes.
    pub buffered: bool,
    /// Its creation, if seen.
    pub created: Option<Created>,
}

/// A descriptor of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldFd {
    /// Its number.
    pub fd: Fd,
    /// Direction.
    pub mode: Mode,
    /// Closes on exec.
    pub cloexec: bool,
}

/// What a holder is to the process that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The waiting process itself.
    Itself,
    /// Its child.
    Child,
    /// A descendant further down, also if who was between them has ended.
    Descendant,
    /// Its parent.
    Parent,
    /// An ancestor further up.
    Ancestor,
    /// It has the same parent, or had.
    Sibling,
    /// None of these.
    Unrelated,
}

/// A process that holds a write end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub process: ProcKey,
    /// Its parent.
    pub parent: Pid,
    /// Its name.
    pub comm: Comm,
    /// All its descriptors on this channel, read ends too.
    pub fds: Vec<HeldFd>,
    /// What it is to the reader.
    pub relation: Relation,
    /// It wrote to the pipe, or arranged its ends on purpose.
    pub used: bool,
    /// It inherited the end, and is not meant to use it, as the kernel's tables tell without
    /// any history: who looks now finds the same.
    pub heir: bool,
    /// It has run a new program since it got the end.
    pub execed: bool,
    /// It is stopped or traced.
    pub stopped: bool,
    /// How it came by the end.
    pub via: Via,
}

/// What a step of the timeline was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A pipe was made.
    Pipe,
    /// A pair of sockets was made.
    Socketpair,
    /// A process was forked, which inherited ends.
    Fork {
        /// The new process.
        child: Pid,
    },
    /// Ends were kept across an exec.
    Exec,
    /// An end was duplicated.
    Dup,
    /// An end was closed.
    Close,
    /// A process ended that had made the pipe, or had arranged its write end, and still
    /// held that.
    Exit,
    /// The wait began.
    Read(Call),
}

/// A step on the way to a hang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When and by whom.
    pub act: Act,
    /// What it was.
    pub what: What,
    /// Descriptors concerned.
    pub fds: Vec<Fd>,
}

impl Step {
    /// The child, if it is a fork.
    pub fn child(&self) -> Option<Pid> {
        match self.what {
            What::Fork { child } => Some(child),
            What::Pipe
            | What::Socketpair
            | What::Exec
            | What::Dup
            | What::Close
            | What::Exit
            | What::Read(_) => None,
        }
    }
}

/// A wait with EOF withheld, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// Its number.
    pub id: WaitId,
    /// The number of the first of those that go on of which the same was reported: another
    /// wait for this channel, with the same holders and the same judgement.
    pub same_as: Option<WaitId>,
    /// When this was found.
    pub time: Ktime,
    /// What it is.
    pub verdict: Verdict,
    /// How it came about.
    pub cause: Cause,
    /// Whether it can be meant.
    pub confidence: Confidence,
    /// Whether the whole history was seen.
    pub certainty: Certainty,
    /// What decides was seen. Of a wait that is said to be healthy it may not have been:
    /// in doubt there is no alarm.
    pub judged: bool,
    /// Who waits.
    pub reader: Reader,
    /// For what.
    pub channel: Channel,
    /// Every process that holds a write end, most culpable first.
    pub holders: Vec<Holder>,
    /// How it came about, in order of time.
    pub timeline: Vec<Step>,
    /// One or two plain sentences.
    pub why: String,
    /// What to change.
    pub hint: String,
}

/// So many holders, the most culpable, are told of at length: a pool of workers may have
/// thousands, each of which waits and holds.
pub const LOOKED_INTO: usize = 64;

impl Hang {
    /// The holders that are looked into.
    pub fn looked_into(&self) -> &[Holder] {
        let count = self.holders.len().min(LOOKED_INTO);
        &self.holders[..count]
    }

    /// The processes it tells of at length: who waits, who holds, who made the pipe, and by
    /// whose acts holders came by their ends.
    pub fn processes(&self) -> BTreeSet<ProcKey> {
        let made = self.channel.created.map(|created| created.act);
        let vias = self
            .looked_into()
            .iter()
            .filter_map(|holder| holder.via.act);
        let actors = vias.chain(made).map(|act| act.actor.process);
        let holders = self.looked_into().iter().map(|holder| holder.process);
        holders
            .chain(actors)
            .chain([self.reader.actor.process])
            .collect()
    }

    /// Whether a holder keeps it up by a copy that it inherited and never used, so that
    /// `pipewatch release` may close that.
    pub fn is_kept_up_by_heir(&self, holder: &Holder) -> bool {
        matches!(self.verdict, Verdict::Leaked | Verdict::Orphaned) && holder.heir
    }

    /// Whether the waiting process itself is among those that keep it up.
    pub fn is_kept_up_by_reader(&self) -> bool {
        let mut holders = self.holders.iter();
        holders.any(|holder| holder.relation == Relation::Itself)
    }

    /// The write ends that keep the read from ending.
    pub fn write_ends(&self) -> impl Iterator<Item = (&Holder, Fd)> {
        self.holders.iter().flat_map(|holder| {
            let writing = holder.fds.iter().filter(|held| held.mode.write);
            writing.map(move |held| (holder, held.fd))
        })
    }

    /// The process whose program is to be changed, if any is.
    pub fn to_mend(&self) -> ProcKey {
        let forker = || self.holders.first()?.via.act;
        let maker = || Some(self.channel.created?.act);
        let culprit = match (self.verdict, self.cause) {
            (Verdict::Leaked, Cause::Fork | Cause::ForkRace) => forker(),
            (Verdict::Leaked, Cause::Exec) => maker(),
            _ => None,
        };
        culprit.map_or(self.reader.actor.process, |act| act.actor.process)
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The last write end was closed.
    Eof,
    /// Somebody wrote.
    Data,
    /// A signal, a timeout.
    Interrupted,
    /// The reader ended.
    ReaderGone,
}

/// By which act the last write end was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreedHow {
    /// A system call.
    Close,
    /// The end of the process.
    Exit,
    /// An exec.
    Exec,
}

/// Who let a reader go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreedBy {
    /// The process.
    pub pid: Pid,
    /// Its name.
    pub comm: Comm,
    /// What it did.
    pub how: FreedHow,
}

/// The end of a reported wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which.
    pub id: WaitId,
    /// When.
    pub time: Ktime,
    /// How.
    pub outcome: Outcome,
    /// Nanoseconds from the beginning of the wait.
    pub blocked: u64,
    /// By whom, if known.
    pub freed_by: Option<FreedBy>,
    /// Who had waited, and on what.
    pub reader: Actor,
    /// The descriptor it read.
    pub fd: Fd,
    /// It was reported as a hang, not only as a healthy wait.
    pub alarmed: bool,
}

/// A write end that its holder is made to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The holder.
    pub pid: Pid,
    /// Its name.
    pub comm: Comm,
    /// The descriptor.
    pub fd: Fd,
    /// The descriptor of it that takes the number.
    pub stand_in: Option<Fd>,
    /// Which channel, after the socket that reads it if it is one of a pair.
    pub id: PipeId,
    /// What kind of channel.
    pub kind: Kind,
    /// Who waits for it to be closed, as far as is seen.
    pub readers: Vec<Reader>,
    /// As what that wait is judged; `None` if nobody was seen to wait.
    pub hang: Option<Box<Hang>>,
}

/// What came of closing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// When.
    pub time: Ktime,
    /// Those of its readers that did not go on.
    pub waiting: Vec<Reader>,
    /// Who holds write ends of the channel still.
    pub others: Vec<StillHeld>,
}

/// A write end of a channel of which another was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillHeld {
    /// Its holder.
    pub pid: Pid,
    /// Its name.
    pub comm: Comm,
    /// The descriptor.
    pub fd: Fd,
}

/// What the engine concludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A wait passed the threshold.
    Hang(Box<Hang>),
    /// The holders of a reported wait changed.
    Update(Box<Hang>),
    /// A reported wait is over.
    Resolved(Resolved),
}

/// What a report says of the run itself, first record of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// When.
    pub time: Ktime,
    /// pipewatch's version.
    pub version: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// How descriptors are followed.
    pub backend: String,
    /// The processes asked for; `None` for all of the host.
    pub watching: Option<Vec<Pid>>,
    /// Nanoseconds.
    pub threshold: u64,
    /// Processes of others may not be looked into, so they are not watched.
    #[serde(default)]
    pub hides: bool,
    /// What is degraded here, one sentence each.
    pub limits: Vec<String>,
}

/// Events that did not reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// When this was noticed.
    pub time: Ktime,
    /// How many.
    pub events: u64,
    /// The state was rebuilt from the kernel's tables.
    pub rescanned: bool,
}

/// How many hangs were reported. Healthy waits do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All.
    pub hangs: u64,
    /// Of these, resolved.
    pub resolved: u64,
    /// Of these, by an answer: they were slow rather than hung.
    #[serde(default)]
    pub answered: u64,
}

impl Tally {
    /// Counts a finding.
    pub fn count(&mut self, finding: &Finding) {
        match finding {
            Finding::Hang(hang) => self.hangs += u64::from(hang.verdict != Verdict::Waiting),
            Finding::Resolved(resolved) if resolved.alarmed => {
                self.resolved += 1;
                self.answered += u64::from(resolved.outcome == Outcome::Data);
            }
            Finding::Resolved(_) | Finding::Update(_) => {}
        }
    }
}

/// Waits that go on at the end of a run, and are no hangs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// All.
    pub open: u64,
    /// Of these, not [judged](Hang::judged).
    pub unjudged: u64,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// A signal asked for it.
    Signal,
    /// `--duration` is over.
    Duration,
    /// `--exit-on-hang` found one.
    Hang,
    /// All watched processes have ended.
    Ended,
    /// The command has ended, whoever of what it started lives on.
    CommandEnded,
    /// It was to look only once.
    Looked,
    /// The trace ends, though the run it is of did not end there.
    TraceEnds,
}

/// Last record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// When.
    pub time: Ktime,
    /// Hangs reported and resolved.
    pub tally: Tally,
    /// What else waits.
    #[serde(default)]
    pub waits: Waits,
    /// Events taken in.
    pub events: u64,
    /// Events lost.
    pub lost_events: u64,
    /// There are processes that could not be looked into: what hangs of these is not known.
    #[serde(default)]
    pub hides: bool,
    /// Why.
    pub reason: Reason,
}

/// What only the outside can tell of a finding: it changes no judgement.
pub trait Details {
    /// Command line of a process, if it can still be read.
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>>;
    /// Path of the control group that a process is in, if it can still be read.
    fn cgroup(&self, process: ProcKey) -> Option<String>;
    /// What the program of a process is written in.
    fn language(&self, process: ProcKey) -> Option<Language>;
    /// What was found out of its threads and processes.
    fn sights(&self) -> &Sights;
    /// Path of a FIFO, seen through a descriptor of a process.
    fn path(&self, process: ProcKey, fd: Fd) -> Option<String>;
    /// Wall clock of a moment, nanoseconds since 1970-01-01 UTC.
    fn wall(&self, time: Ktime) -> u64;
}

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// First.
    Started(Started),
    /// What the engine concluded.
    Finding(Finding),
    /// Events were lost.
    Lost(Lost),
    /// Last.
    Stopped(Stopped),
}
