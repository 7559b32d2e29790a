//! The kernel side at work: loading, what it reports, and its iterators.

mod attach;
pub mod btf;
mod casts;
mod cause;
mod hooks;
mod loader;
mod named;
mod native_stacks;
mod offsets;
mod programs;
mod pythons;
mod skipped;
mod tracefs;
mod vmlinux;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufReader, Read as _},
    os::fd::{AsRawFd as _, BorrowedFd},
    panic::resume_unwind,
    thread,
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader, Endianness,
    maps::{HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::Iter,
};
use pipewatch_ebpf::{
    abi::{self, Record},
    offsets::syscalls::SET_WORDS,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

pub use self::{
    attach::Attached,
    cause::Cause,
    hooks::drifted,
    native_stacks::NativeStacks,
    programs::{Hook, Mechanism, PROGRAMS, Program, Release},
    pythons::Pythons,
};
use self::{
    offsets::{Casts, Layout},
    pythons::Stacks as PythonStacks,
    skipped::Skipped,
};
use crate::{
    arch,
    asked::{Asked, What},
    decode::{self, CallNumbers},
    event::{Actor, Arm, EndRow, Event, Sleep, TaskRow},
    ids::{Ktime, Pid, StackId, TableId, Tid},
    problem::{Problem, chain},
    stack::{FramePointer, Walked},
};

/// The compiled programs. Built from `pipewatch-ebpf` by `cargo xtask ebpf` and
/// committed, so that building pipewatch needs no eBPF tool chain.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../pipewatch-ebpf/pipewatch.bpf.o");

const CALLS: CallNumbers = CallNumbers::NATIVE;

/// What is to be watched, and how.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Every process of the host, not only those that are added.
    pub all: bool,
    /// pipewatch's own process, never reported.
    pub own: Pid,
    /// Record user stacks.
    pub stacks: bool,
    /// Size of the buffer for events, in bytes; a power of two, at least a page.
    pub buffer: u32,
    /// Attach the probes; without them only the kernel's tables can be read.
    pub probes: bool,
    /// Let the programs log what they do.
    pub verbose: bool,
}

/// What became of records in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Put into the buffer.
    pub events: u64,
    /// Found it full.
    pub dropped: u64,
    /// Not made, since the kernel did not run the program.
    pub skipped: u64,
    /// Processes or sleeps that found their map full.
    pub map_full: u64,
}

impl Counters {
    /// What user space never heard of.
    pub fn lost(&self) -> u64 {
        self.dropped + self.skipped
    }
}

/// Why the kernel side is not at work.
#[derive(Clone, Debug)]
pub struct NotLoaded {
    /// In words.
    pub problem: Problem,
    /// What kind of reason that is.
    pub cause: Cause,
}

impl From<Problem> for NotLoaded {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            cause: Cause::Unexpected,
        }
    }
}

/// A value of the map of sleeps.
type SleepBytes = [u8; size_of::<Record>()];
/// So many rows of an iterator are read at once.
const ROWS: usize = 256;
/// So many more copies are made of one that was being renewed.
const COPIES: usize = 3;

/// The loaded and attached programs. Dropping it removes all of them.
pub struct Kernel {
    options: Options,
    attached: Option<Attached>,
    skipped: Skipped,
    ebpf: Ebpf,
    ring: RingBuf<MapData>,
    watched: HashMap<MapData, u32, u64>,
    sleeps: HashMap<MapData, u32, SleepBytes>,
    armed: HashMap<MapData, u32, [u8; size_of::<abi::Armed>()]>,
    asked: HashMap<MapData, u64, u8>,
    /// Whether [`programs::SEARCH`] is loaded.
    searches: bool,
    counters: PerCpuArray<MapData, u64>,
    native_stacks: NativeStacks,
    python_stacks: PythonStacks,
    /// Of the threads that slept when all were last looked at.
    frame_pointers: Vec<FramePointer>,
}

impl Kernel {
    /// Loads and attaches what is asked for, following system calls by the first
    /// of `mechanisms` that works. From then on events are recorded.
    ///
    /// # Errors
    ///
    /// Missing privileges, a kernel without type information, a program the
    /// kernel refuses: each says which, why, and what to do.
    pub fn load(options: Options, mechanisms: &[Mechanism]) -> Result<Self, NotLoaded> {
        let mut loader = loader::without_types()
            .map_err(|error| unexpected("set the limit of open files", &error))?;
        let (layout, types) = learn_types()?;
        let types = thread::spawn(move || Btf::parse(&types, Endianness::default()));
        let reads = set(&[
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_preadv2,
            libc::SYS_recvfrom,
            libc::SYS_recvmsg,
            libc::SYS_recvmmsg,
            libc::SYS_splice,
            libc::SYS_tee,
        ]);
        let polls = set(&[
            arch::POLL,
            arch::SELECT,
            arch::EPOLL,
            &[libc::SYS_io_uring_enter],
        ]
        .concat());
        let calls = [libc::SYS_execve, libc::SYS_execveat].map(|number| number as u32);
        let flags = [
            layout.typed_tasks,
            options.all,
            options.stacks,
            arch::RETURNS_IN_FIRST,
            options.verbose,
        ];
        let [typed, all, stacks, returns_in_first, verbose] = flags.map(u32::from);
        let wake_bytes = options.buffer / 16;
        loader
            .map_max_entries("EVENTS", options.buffer)
            .override_global("OFFSETS", &layout.offsets, true)
            .override_global("TYPED_TASKS", &typed, true)
            .override_global("STACK_REGS", &layout.stack_regs, true)
            .override_global("READS", &reads, true)
            .override_global("POLLS", &polls, true)
            .override_global("SYSCALLS", &calls, true)
            .override_global("WATCH_ALL", &all, true)
            .override_global("SELF_TGID", &options.own.0, true)
            .override_global("WITH_STACKS", &stacks, true)
            .override_global("RETURNS_IN_FIRST", &returns_in_first, true)
            .override_global("WAKE_BYTES", &wake_bytes, true)
            .override_global("ZERO", &0u64, true)
            .override_global("VERBOSE", &verbose, true);
        if options.all {
            loader.map_max_entries("WATCHED", 1);
        }
        if !options.probes {
            // Only they put anything in there.
            for name in ["SLEEPS", "ARMED", "STACKS", "PYTHONS", "THREADS"] {
                loader.map_max_entries(name, 1);
            }
        }
        let casts = layout.casts.as_ref().unwrap_or(&Casts::NONE);
        let mut ebpf = load_object(&mut loader, casts)?;
        let types = types.join().unwrap_or_else(|panic| resume_unwind(panic));
        let btf = types
            .map_err(|error| unexpected("understand the kernel's type information", &error))?;
        if let Err(refused) = attach::load_iterators(&mut ebpf, &btf, *casts != Casts::NONE) {
            if *casts == Casts::NONE {
                return Err(refused);
            }
            // They need a kernel that compiles programs.
            ebpf = load_object(&mut loader, &Casts::NONE)?;
            attach::load_iterators(&mut ebpf, &btf, false)?;
        }
        let searches = attach::typed::<Iter>(&mut ebpf, programs::SEARCH);
        let searches = searches.is_ok_and(|program| program.fd().is_ok());
        let attached = if options.probes {
            Some(attach::attach(&mut ebpf, &btf, mechanisms)?)
        } else {
            None
        };
        Ok(Self {
            options,
            attached,
            skipped: Skipped::of(&ebpf),
            ring: map(&mut ebpf, "EVENTS")?,
            watched: map(&mut ebpf, "WATCHED")?,
            sleeps: map(&mut ebpf, "SLEEPS")?,
            armed: map(&mut ebpf, "ARMED")?,
            asked: map(&mut ebpf, "ASKED")?,
            searches,
            counters: map(&mut ebpf, "COUNTERS")?,
            native_stacks: NativeStacks::new(map(&mut ebpf, "STACKS")?),
            python_stacks: PythonStacks::default(),
            frame_pointers: Vec::new(),
            ebpf,
        })
    }

    /// How system calls are followed, if probes are attached.
    pub fn attached(&self) -> Option<&Attached> {
        self.attached.as_ref()
    }

    /// How many instructions of each program the verifier went through. Linux
    /// tells since 5.16.
    pub fn verified(&self) -> BTreeMap<String, u32> {
        let count = |(name, program): (&str, &aya::programs::Program)| {
            // Those of other mechanisms are not loaded.
            let count = program.info().ok()?.verified_instruction_count()?;
            Some((name.to_owned(), count))
        };
        self.ebpf.programs().filter_map(count).collect()
    }

    /// The object's programs, to be logged by whoever debugs pipewatch.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Readable when there are urgent or many events.
    pub fn ring_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the ring, which is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    /// The next event, if there is one. An unreadable one counts as lost.
    pub fn next_event(&mut self) -> Option<Result<Event, decode::Unreadable>> {
        loop {
            let item = self.ring.next()?;
            let Some(stack) = decode::python_stack(&item) else {
                return Some(decode::event(&item));
            };
            self.python_stacks.keep(stack);
        }
    }

    /// Where it is kept which processes run CPython; it can be had once.
    ///
    /// # Errors
    ///
    /// There is no such map (any more).
    pub fn pythons(&mut self) -> Result<Pythons, Problem> {
        map(&mut self.ebpf, "PYTHONS").map(Pythons::new)
    }

    /// Adds a process to the watched ones, unless all are.
    ///
    /// # Errors
    ///
    /// The map is full.
    pub fn watch(&mut self, pid: Pid, start: u64) -> Result<(), Problem> {
        if self.options.all {
            return Ok(());
        }
        self.watched.insert(pid.0, start, 0).map_err(|error| {
            Problem::new(
                format!("cannot watch process {pid}: {}", chain(&error)),
                "watch fewer processes, or all of them with --all",
            )
        })
    }

    /// Removes a process from the watched ones.
    pub fn unwatch(&mut self, pid: Pid) {
        // It may have ended, and removed itself, by now.
        let _ = self.watched.remove(&pid.0);
    }

    /// The watched processes; none if all are.
    pub fn watched(&self) -> Vec<Pid> {
        // An entry may vanish while the map is walked.
        self.watched.keys().flatten().map(Pid).collect()
    }

    /// Whether a process is among the watched ones.
    pub fn is_watched(&self, pid: Pid) -> bool {
        if self.options.all {
            return pid != self.options.own;
        }
        self.watched.get(&pid.0, 0).is_ok()
    }

    /// The latest sleep in a read of each watched thread; it may be over.
    pub fn sleeps(&self) -> Vec<(Actor, TableId, Sleep)> {
        // An entry may vanish while the map is walked.
        let tids = self.sleeps.iter().flatten();
        tids.filter_map(|(tid, bytes)| self.sleep(tid, &bytes))
            .collect()
    }

    /// A sleep, as it was copied, or as it is after that.
    fn sleep(&self, tid: u32, bytes: &SleepBytes) -> Option<(Actor, TableId, Sleep)> {
        let sleep = |bytes: &SleepBytes| decode::sleep(&decode::record(bytes)?, CALLS);
        let mut found = sleep(bytes);
        for _ in 0..COPIES {
            if found == Err(decode::Unreadable::Torn) {
                found = sleep(&self.sleeps.get(&tid, 0).ok()?);
            }
        }
        found.ok()
    }

    /// Asks to be told, once, when the thread is woken.
    pub fn arm(&mut self, arm: Arm) {
        let known = self.armed.get(&arm.tid.0, 0).ok();
        let known = known.and_then(|bytes| abi::Armed::read_from_bytes(&bytes).ok());
        let mut armed = known.unwrap_or_default();
        // Its own place, a free one, or that of the oldest.
        let place = |channel: &&mut abi::Channel| match channel.pipe {
            pipe if pipe == arm.pipe => (0, 0),
            0 => (1, 0),
            _ => (2, channel.nvcsw),
        };
        if let Some(channel) = armed.channels.iter_mut().min_by_key(place) {
            *channel = abi::Channel {
                pipe: arm.pipe,
                nvcsw: arm.nvcsw,
                socket: u32::from(arm.socket),
                among_others: u32::from(arm.among_others),
            };
        }
        let mut bytes = [0; size_of::<abi::Armed>()];
        bytes.copy_from_slice(armed.as_bytes());
        // If the map is full the end of the wait is found by looking.
        let _ = self.armed.insert(arm.tid.0, bytes, 0);
    }

    /// What became of records so far.
    pub fn counters(&self) -> Counters {
        let sum = |index| {
            let values = self.counters.get(&index, 0);
            values.map_or(0, |values| values.iter().sum())
        };
        Counters {
            events: sum(abi::COUNTER_EVENTS),
            dropped: sum(abi::COUNTER_DROPPED),
            skipped: self.skipped.count(),
            map_full: sum(abi::COUNTER_MAP_FULL),
        }
    }

    /// What was found on the stack of a thread when it did something, of which the
    /// kernel keeps that by this id.
    pub fn stack(&self, time: Ktime, tid: Tid, id: Option<StackId>) -> Walked {
        let native = id.map(|id| self.native_stacks.of(time, id));
        Walked {
            native: native.unwrap_or_default(),
            python: self.python_stacks.of(time, tid),
        }
    }

    /// The native stacks that the kernel keeps.
    pub fn native_stacks(&mut self) -> &mut NativeStacks {
        &mut self.native_stacks
    }

    /// The frame pointer of a thread that slept when all were last looked at.
    pub fn frame_pointer(&self, tid: Tid) -> Option<FramePointer> {
        let mut known = self.frame_pointers.iter();
        known.find(|known| known.tid == tid).copied()
    }

    /// Every user thread of the host.
    ///
    /// # Errors
    ///
    /// The kernel refuses to run the iterator.
    pub fn tasks(&mut self) -> Result<Vec<TaskRow>, Problem> {
        let (mut tasks, mut frame_pointers) = (Vec::new(), Vec::new());
        self.iterate("iter_tasks", |record| {
            tasks.extend(decode::task_row(record, CALLS));
            frame_pointers.extend(decode::frame_pointer(record));
        })?;
        self.frame_pointers = frame_pointers;
        Ok(tasks)
    }

    /// Every watched thread that sleeps in a call that waits for several descriptors.
    ///
    /// # Errors
    ///
    /// The kernel refuses to run the iterator.
    pub fn pollers(&mut self) -> Result<Vec<TaskRow>, Problem> {
        let mut tasks = Vec::new();
        self.iterate("iter_pollers", |record| {
            tasks.extend(decode::task_row(record, CALLS));
        })?;
        Ok(tasks)
    }

    /// Every descriptor of a watched process that refers to a pipe or FIFO; or what is
    /// asked for.
    ///
    /// # Errors
    ///
    /// The kernel refuses to run the iterator.
    pub fn ends(&mut self, of: Option<&Asked>) -> Result<Vec<EndRow>, Problem> {
        let Some(asked) = of else {
            return self.all_ends("iter_ends");
        };
        let mut ends = Vec::new();
        // There is room for those that tell what is at the others, too.
        let at_once = abi::MAX_ASKED as usize - 2;
        let asked: Vec<(What, u64)> = asked.addresses().collect();
        for part in asked.chunks(at_once) {
            self.ask_for(part)?;
            let found = self.search()?;
            ends.extend(found.map_or_else(|| self.all_ends("iter_ends_asked"), Ok)?);
        }
        if asked.len() > at_once {
            // What was asked for by its channel and by its table may be in two parts.
            let place = |row: &EndRow| (row.table, row.end.fd, row.end.pipe);
            ends.sort_by_key(place);
            ends.dedup_by_key(|row| place(row));
        }
        Ok(ends)
    }

    /// What this iterator tells of ends.
    fn all_ends(&mut self, name: &str) -> Result<Vec<EndRow>, Problem> {
        let mut ends = Vec::new();
        self.iterate(name, |record| {
            ends.extend(decode::end_rows(record).into_iter().flatten());
        })?;
        Ok(ends)
    }

    /// Asks for these, and no others, from now on.
    fn ask_for(&mut self, asked: &[(What, u64)]) -> Result<(), Problem> {
        let keys = asked.iter().flat_map(|&(what, address)| {
            let marker = match what {
                What::Pipe => abi::ASKED_PIPES,
                What::Socket => abi::ASKED_SOCKETS,
                What::Table => address,
            };
            [marker, address]
        });
        let asked: BTreeSet<u64> = keys.collect();
        let old: BTreeSet<u64> = self.asked.keys().flatten().collect();
        for address in old.difference(&asked) {
            // It is there, since only this changes the map.
            let _ = self.asked.remove(address);
        }
        let mut new = asked.difference(&old);
        new.try_for_each(|address| self.asked.insert(address, 1, 0))
            .map_err(|error| unexpected("ask for so many pipes at once", &error))
    }

    /// The ends that are asked for, by a program that looks into the tables; not if that
    /// does not work here, or one has too many.
    fn search(&mut self) -> Result<Option<Vec<EndRow>>, Problem> {
        if !self.searches {
            return Ok(None);
        }
        let (mut ends, mut all) = (Vec::new(), true);
        self.iterate(programs::SEARCH, |record| {
            all &= record.kind != abi::KIND_ROW_MORE;
            ends.extend(decode::end_rows(record).into_iter().flatten());
        })?;
        Ok(all.then_some(ends))
    }

    /// Runs an iterator, and hands on what it tells.
    fn iterate(&mut self, name: &str, mut take: impl FnMut(&Record)) -> Result<(), Problem> {
        let failed = |error: &dyn std::error::Error| unexpected(&format!("run {name}"), error);
        let iter: &mut Iter = attach::typed(&mut self.ebpf, name).map_err(|e| failed(&e))?;
        let link = iter.attach().map_err(|error| failed(&error))?;
        let link = iter.take_link(link).map_err(|error| failed(&error))?;
        let file = link.into_file().map_err(|error| failed(&error))?;
        let mut file = BufReader::with_capacity(ROWS * size_of::<Record>(), file);
        let mut bytes = [0; size_of::<Record>()];
        loop {
            match file.read_exact(&mut bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(failed(&error)),
            }
            if let Ok(record) = Record::read_from_bytes(&bytes) {
                take(&record);
            }
        }
    }
}

/// What must be known of the kernel before anything is loaded: what programs need to know
/// of its types, and the types that they are loaded for.
fn learn_types() -> Result<(Layout, Vec<u8>), NotLoaded> {
    let bytes = vmlinux::bytes_of_types()?;
    let types = btf::Types::parse(&bytes)?;
    let names = offsets::names().map(str::to_owned);
    let named = types.named(names.chain(programs::types()));
    Ok((offsets::resolve(&named)?, named.excerpt()))
}

/// Loads the object and its maps.
fn load_object<'a>(loader: &mut EbpfLoader<'a>, casts: &'a Casts) -> Result<Ebpf, NotLoaded> {
    let mut object = OBJECT.to_vec();
    casts::write(&mut object, casts.function)?;
    loader
        .override_global("TYPES", &casts.types, true)
        .load(&object)
        .map_err(|error| explain_load(&error))
}

/// The set of some system calls, as the programs read it.
fn set(calls: &[libc::c_long]) -> [u32; SET_WORDS] {
    let mut words = [0; SET_WORDS];
    for &call in calls {
        words[call as usize / 32] |= 1 << (call % 32);
    }
    words
}

/// Takes a map out of the object, as the type it is used as.
fn map<T>(ebpf: &mut Ebpf, name: &str) -> Result<T, Problem>
where
    T: TryFrom<Map>,
    T::Error: std::error::Error,
{
    let map = ebpf.take_map(name).ok_or_else(|| {
        Problem::new(
            format!("the eBPF object has no map {name}"),
            "this build is broken: run `cargo xtask ebpf` and build again",
        )
    })?;
    map.try_into()
        .map_err(|error: T::Error| unexpected(&format!("use map {name}"), &error))
}

fn unexpected(what: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new(
        format!("cannot {what}: {}", chain(error)),
        "`pipewatch doctor` tells what works here",
    )
}

fn explain_load(error: &EbpfError) -> NotLoaded {
    let message = chain(error);
    let forbidden = message.contains("Operation not permitted") || message.contains("os error 1)");
    let problem = if forbidden {
        Problem::new(
            "loading BPF programs is not permitted, whatever capabilities there are",
            "is this a container, or in a user namespace? run pipewatch on the host, as root",
        )
    } else {
        Problem::new(
            format!("cannot load the eBPF programs: {message}"),
            "`pipewatch doctor` tells what works here",
        )
    };
    NotLoaded {
        problem,
        cause: if forbidden {
            Cause::Privileges
        } else {
            Cause::Unexpected
        },
    }
}
