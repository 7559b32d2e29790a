//! How the host is seen: by programs in the kernel, or, where these are not
//! permitted, by looking into `/proc` again and again.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    os::fd::BorrowedFd,
    time::Duration,
};

use crate::{
    asked::Asked,
    bpf::{Cause, Counters, Kernel, Mechanism, NotLoaded, Options},
    choice, clock,
    decode::Unreadable,
    event::{Actor, Arm, EndRow, Event, Sleep, Snapshot, TaskRow},
    finding::Act,
    ids::{Ktime, Pid, TableId, Tid},
    privileges::{self, Job, Lack},
    problem::Problem,
    procfs::{self, Tables},
    stack::{FramePointer, Walked},
};

/// Which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// The kernel's programs if they are permitted, else `/proc`.
    #[default]
    Auto,
    /// Programs at the functions of system calls, by type.
    Fentry,
    /// Programs at the functions of system calls, by breakpoint.
    Kprobe,
    /// Programs on the tracepoints of system calls.
    Tracepoint,
    /// `/proc` alone.
    Procfs,
}

/// The host, as it is seen.
pub enum Source {
    /// By programs in the kernel, which report what happens.
    Bpf(Box<Kernel>),
    /// By `/proc`, which shows what is.
    Procfs(Box<Looking>),
}

/// `/proc` shows what is and not what happens, which is told by what has
/// changed since the last look.
pub struct Looking {
    tables: Tables,
    /// Why it is not done by programs in the kernel; `None` if it was asked for.
    forced: Option<String>,
    /// Who slept at the last look.
    sleepers: Vec<TaskRow>,
    /// A sleep that was seen is over.
    went_on: bool,
    /// What must have happened since the look before.
    events: VecDeque<Event>,
    /// What the watched processes had, when last told, and when that was.
    state: Option<(Snapshot, Ktime)>,
}

/// How often it is looked at what no event tells.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Who sleeps in a read. What is not urgent waits that long too.
    pub tick: Duration,
    /// Once in so many ticks, who waits for several descriptors at once.
    pub polls: u32,
    /// Once in so many ticks, whether events were lost.
    pub losses: u32,
}

impl Pace {
    fn new(tick: Duration, polls: Duration) -> Self {
        let ticks = |time: Duration| time.as_nanos().div_ceil(tick.as_nanos()) as u32;
        Self {
            tick,
            polls: ticks(polls),
            losses: ticks(LOSSES),
        }
    }
}

/// So late it may be seen that events were lost.
const LOSSES: Duration = Duration::from_millis(400);

/// How often it is seen which descriptors the watched processes have.
const STATE: u64 = 1_000_000_000;

impl Source {
    /// Begins to see.
    ///
    /// # Errors
    ///
    /// This way, or any, does not work here: why, and what to do.
    pub fn open(backend: Backend, options: Options) -> Result<Self, Problem> {
        let mechanisms: &[Mechanism] = match backend {
            Backend::Auto => &Mechanism::ALL,
            Backend::Fentry => &[Mechanism::Fentry],
            Backend::Kprobe => &[Mechanism::Kprobe],
            Backend::Tracepoint => &[Mechanism::Tracepoint],
            Backend::Procfs => &[],
        };
        let forced = match mechanisms {
            [] => None,
            mechanisms => match load(options, mechanisms) {
                Ok(kernel) => return Ok(Self::Bpf(Box::new(kernel))),
                Err(refused) if backend == Backend::Auto => Some(choice::instead(refused)?),
                Err(refused) => return Err(refused.problem),
            },
        };
        let tables = Tables::new(options.all, options.own).map_err(|error| unreadable(&error))?;
        Ok(Self::Procfs(Box::new(Looking {
            tables,
            forced,
            sleepers: Vec::new(),
            went_on: false,
            events: VecDeque::new(),
            state: None,
        })))
    }

    /// What it needs from now on.
    pub fn job(&self) -> Job {
        match self {
            Self::Bpf(_) => Job::Probes,
            Self::Procfs(_) => Job::Procfs,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bpf(kernel) => {
                let attached = kernel.attached().map(|attached| attached.mechanism);
                attached.unwrap_or(Mechanism::Tracepoint).name()
            }
            Self::Procfs(_) => "procfs",
        }
    }

    /// How often it is looked at what no event tells, for waits to be seen before they
    /// get their first look, which is 100 ms before they reach the threshold.
    pub fn pace(&self, threshold: Duration) -> Pace {
        let ms = Duration::from_millis;
        match self {
            // Since when a thread sleeps is told when it is seen, however late.
            Self::Bpf(_) => Pace::new(
                (threshold / 5).clamp(ms(50), ms(200)),
                (threshold * 4 / 5).clamp(ms(100), ms(800)),
            ),
            // A wait begins when it is seen. Every thread costs some microseconds.
            Self::Procfs(_) => Pace::new(ms(150), (threshold * 2 / 5).clamp(ms(100), ms(400))),
        }
    }

    /// Whether it shows since when a thread sleeps, or only that it does.
    pub fn shows_since(&self) -> bool {
        matches!(self, Self::Bpf(_))
    }

    /// What cannot be seen here, after a first look.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn limits(&mut self) -> Result<Vec<String>, Problem> {
        let tasks = self.tasks()?;
        let init_shown = tasks.iter().any(|row| row.actor.process.pid == Pid(1));
        let mut limits = Vec::new();
        match self {
            Self::Bpf(kernel) => {
                if let Some(attached) = kernel.attached() {
                    limits.extend(attached.fallbacks.iter().cloned());
                }
                limits.extend(privileges::lesser_lack());
            }
            Self::Procfs(looking) => limits.extend(looking.limits()),
        }
        if !init_shown {
            let hidden = "process 1 is hidden from pipewatch here: what it holds is not seen";
            limits.push(hidden.to_owned());
        }
        Ok(limits)
    }

    /// Whether there are processes, as far as was seen, that may not be looked into.
    pub fn hides(&self) -> bool {
        match self {
            Self::Bpf(_) => false,
            Self::Procfs(looking) => looking.tables.hidden() > 0,
        }
    }

    /// The kernel's programs, if they are what is used.
    pub fn kernel_mut(&mut self) -> Option<&mut Kernel> {
        match self {
            Self::Bpf(kernel) => Some(kernel),
            Self::Procfs(_) => None,
        }
    }

    /// Readable when there are urgent or many events, if events are told.
    pub fn ring_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Bpf(kernel) => Some(kernel.ring_fd()),
            Self::Procfs(_) => None,
        }
    }

    /// The next event, if there is one. An unreadable one counts as lost.
    pub fn next_event(&mut self) -> Option<Result<Event, Unreadable>> {
        match self {
            Self::Bpf(kernel) => kernel.next_event(),
            Self::Procfs(looking) => looking.events.pop_front().map(Ok),
        }
    }

    /// Every user thread of the host.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn tasks(&mut self) -> Result<Vec<TaskRow>, Problem> {
        match self {
            Self::Bpf(kernel) => kernel.tasks(),
            Self::Procfs(looking) => {
                let tasks = looking.tables.tasks(clock::now());
                tasks.map_err(|error| unreadable(&error))
            }
        }
    }

    /// Every descriptor of a pipe that a watched process has, after the threads were
    /// asked for; or what is asked for. There may be others among them, unless it is
    /// nothing.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn ends(&mut self, of: Option<&Asked>) -> Result<Vec<EndRow>, Problem> {
        if of.is_some_and(Asked::is_empty) {
            return Ok(Vec::new());
        }
        match self {
            Self::Bpf(kernel) => kernel.ends(of),
            Self::Procfs(looking) => Ok(looking.tables.ends()),
        }
    }

    /// The latest sleep in a read of each watched thread; it may be over.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn sleeps(&mut self) -> Result<Vec<(Actor, TableId, Sleep)>, Problem> {
        match self {
            Self::Bpf(kernel) => Ok(kernel.sleeps()),
            Self::Procfs(looking) => {
                looking.look().map_err(|error| unreadable(&error))?;
                let sleep = |row: &TaskRow| Some((row.actor, row.table, row.sleep?));
                Ok(looking.sleepers.iter().filter_map(sleep).collect())
            }
        }
    }

    /// Threads among which are those that wait for several descriptors.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn pollers(&mut self) -> Result<Vec<TaskRow>, Problem> {
        match self {
            Self::Bpf(kernel) => kernel.pollers(),
            Self::Procfs(looking) => Ok(looking.sleepers.clone()),
        }
    }

    /// Who sleeps, once a sleep is over of which no event tells.
    pub fn take_sleepers(&mut self) -> Option<Vec<TaskRow>> {
        match self {
            Self::Bpf(_) => None,
            Self::Procfs(looking) => {
                std::mem::take(&mut looking.went_on).then(|| looking.sleepers.clone())
            }
        }
    }

    /// Makes exact since when watched threads sleep, where that was seen.
    pub fn date(&self, snapshot: &mut Snapshot) {
        if let Self::Bpf(kernel) = self {
            let sleeps = kernel.sleeps().into_iter();
            snapshot.date(sleeps.map(|(actor, _, sleep)| (actor.tid, sleep)));
        }
    }

    /// What the watched processes have, if it has changed and no event tells.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn take_state(&mut self) -> Result<Option<Snapshot>, Problem> {
        match self {
            Self::Bpf(_) => Ok(None),
            Self::Procfs(looking) => looking.take_state().map_err(|error| unreadable(&error)),
        }
    }

    /// Adds a process to the watched ones.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn watch(&mut self, pid: Pid, start: u64) -> Result<(), Problem> {
        match self {
            Self::Bpf(kernel) => kernel.watch(pid, start),
            Self::Procfs(looking) => {
                looking.tables.watch(pid, start);
                Ok(())
            }
        }
    }

    /// Adds processes and their descendants to the watched ones.
    ///
    /// # Errors
    ///
    /// There is no room for one, or the host cannot be seen.
    pub fn watch_families(&mut self, roots: &BTreeSet<Pid>) -> Result<(), Problem> {
        self.add_families(roots)?.map_or(Ok(()), Err)
    }

    /// The same; returned is why there is no room for one.
    fn add_families(&mut self, roots: &BTreeSet<Pid>) -> Result<Option<Problem>, Problem> {
        let mut watched: BTreeSet<Pid> = BTreeSet::new();
        // Children of watched processes are added when they are forked, so this
        // ends once a pass finds no process that was forked by another's child.
        loop {
            let tasks = self.tasks()?;
            let mut added = false;
            let mut again = true;
            while again {
                again = false;
                for row in &tasks {
                    let process = row.actor.process;
                    let wanted = roots.contains(&process.pid) || watched.contains(&row.parent);
                    if wanted && watched.insert(process.pid) {
                        if let Err(problem) = self.watch(process.pid, process.start) {
                            return Ok(Some(problem));
                        }
                        (added, again) = (true, true);
                    }
                }
            }
            if !added {
                return Ok(None);
            }
        }
    }

    /// Adds the descendants of watched processes whose fork was missed, as far as
    /// there is room, and removes those that had ended when they were added.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn watch_families_again(&mut self) -> Result<(), Problem> {
        // Whoever is watched now and does not show afterwards has ended.
        let watched = match self {
            Self::Bpf(kernel) => kernel.watched(),
            Self::Procfs(_) => Vec::new(),
        };
        let tasks = self.tasks()?;
        let alive = tasks.iter().filter(|row| row.is_alive());
        let alive: BTreeSet<Pid> = alive.map(|row| row.actor.process.pid).collect();
        let (watched, gone): (BTreeSet<Pid>, BTreeSet<Pid>) =
            watched.into_iter().partition(|pid| alive.contains(pid));
        for pid in gone {
            self.unwatch(pid)?;
        }
        self.add_families(&watched).map(drop)
    }

    /// Removes a process from the watched ones; its children stay.
    ///
    /// # Errors
    ///
    /// The host cannot be seen any more.
    pub fn unwatch(&mut self, pid: Pid) -> Result<(), Problem> {
        match self {
            Self::Bpf(kernel) => {
                kernel.unwatch(pid);
                Ok(())
            }
            Self::Procfs(looking) => {
                let removed = looking.tables.unwatch(pid);
                removed.map_err(|error| unreadable(&error))
            }
        }
    }

    /// Whether a process is among the watched ones.
    pub fn is_watched(&self, pid: Pid) -> bool {
        match self {
            Self::Bpf(kernel) => kernel.is_watched(pid),
            Self::Procfs(looking) => looking.tables.is_watched(pid),
        }
    }

    /// Whether a process may not be looked into.
    pub fn is_hidden(&self, pid: Pid) -> bool {
        match self {
            Self::Bpf(_) => false,
            Self::Procfs(looking) => looking.tables.is_hidden(pid),
        }
    }

    /// Asks to be told, once, when the thread is woken. Where that cannot be,
    /// the end of the wait is found by looking.
    pub fn arm(&mut self, arm: Arm) {
        if let Some(kernel) = self.kernel_mut() {
            kernel.arm(arm);
        }
    }

    /// What became of events so far.
    pub fn counters(&self) -> Counters {
        match self {
            Self::Bpf(kernel) => kernel.counters(),
            Self::Procfs(_) => Counters::default(),
        }
    }

    /// What was found on the stack of whoever did something, then.
    pub fn stack(&self, act: &Act) -> Walked {
        match self {
            Self::Bpf(kernel) => kernel.stack(act.time, act.actor.tid, act.stack),
            Self::Procfs(_) => Walked::default(),
        }
    }

    /// The frame pointer of a thread that slept when all were last looked at.
    pub fn frame_pointer(&self, tid: Tid) -> Option<FramePointer> {
        match self {
            Self::Bpf(kernel) => kernel.frame_pointer(tid),
            Self::Procfs(_) => None,
        }
    }
}

/// Loads the programs, if all is there that this needs.
///
/// # Errors
///
/// As [`Kernel::load`], or a capability is missing, or the ids of processes are others
/// here.
pub fn load(options: Options, mechanisms: &[Mechanism]) -> Result<Kernel, NotLoaded> {
    if !procfs::ids_are_the_kernels() {
        return Err(NotLoaded {
            problem: Problem::new(
                "the probes tell process ids as the host has them, and pipewatch runs in a pid \
                 namespace of its own",
                "run it in the host's (docker run --pid=host)",
            ),
            cause: Cause::Namespace,
        });
    }
    match privileges::lack() {
        None => Kernel::load(options, mechanisms),
        Some(Lack {
            problem, partly, ..
        }) => Err(NotLoaded {
            problem,
            cause: if partly {
                Cause::Incomplete
            } else {
                Cause::Privileges
            },
        }),
    }
}

impl Looking {
    fn limits(&self) -> Vec<String> {
        let why = self
            .forced
            .as_ref()
            .map_or_else(String::new, |forced| format!("{forced}; "));
        let [first, rest] = choice::LOST;
        let mut limits = vec![
            format!("{why}/proc is looked at instead: {first}"),
            rest.to_owned(),
        ];
        match self.tables.hidden() {
            0 => {}
            hidden => limits.push(format!(
                "processes of others ({hidden} now) may not be looked into: what they hold is not \
                 seen, so that a holder may be missing",
            )),
        }
        if self.tables.are_calls_hidden() {
            limits.push(
                "calls are hidden (kernel.yama.ptrace_scope): of a thread whose process has \
                 several read ends it is not seen which one it reads, and poll, select and epoll \
                 are not seen"
                    .to_owned(),
            );
        }
        limits
    }

    fn look(&mut self) -> io::Result<()> {
        let id = |row: &TaskRow| -> (Tid, Option<u64>) { (row.actor.tid, row.asleep) };
        let sleepers = self.tables.sleepers(clock::now())?;
        let present: BTreeSet<_> = sleepers.iter().map(id).collect();
        self.went_on |= self.sleepers.iter().any(|row| !present.contains(&id(row)));
        self.sleepers = sleepers;
        self.events.extend(self.tables.let_go(clock::now()));
        Ok(())
    }

    fn take_state(&mut self) -> io::Result<Option<Snapshot>> {
        let now = clock::now();
        let due = |told: Ktime| now.since(told) >= STATE;
        if self.state.as_ref().is_some_and(|(_, told)| !due(*told)) && !self.tables.is_idle() {
            return Ok(None);
        }
        let state = self.tables.watched_state()?;
        let news = self.state.as_ref().is_none_or(|(last, _)| *last != state);
        self.state = Some((state, now));
        Ok(self
            .state
            .as_ref()
            .filter(|_| news)
            .map(|(state, _)| state.clone()))
    }
}

fn unreadable(error: &io::Error) -> Problem {
    Problem::new(
        format!("cannot look into /proc: {error}"),
        "is it mounted? (mount -t proc proc /proc)",
    )
}
