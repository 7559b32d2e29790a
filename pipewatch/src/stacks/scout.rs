//! Finds out which processes run CPython, by a thread of its own, so that the kernel
//! side can tell their frames from then on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender},
    thread,
    time::{Duration, Instant},
};

use pipewatch_ebpf::abi::{Layout, Python};

use super::{
    cpython::{self, Interpreter, Runtimes},
    process::Process,
};
use crate::ids::{Pid, ProcKey};

/// When a process is looked at, from its exec on. At first only if its file's name
/// says that it is Python, which costs next to nothing; an interpreter in a library
/// is there a little later. The last look finds those in other programs too.
const LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
];
const LAST: usize = LOOKS.len() - 1;
/// Not more processes than these wait to be looked at, now or later.
const WAITING: usize = 1 << 14;
/// Not more names than these are told.
const NAMES: usize = 64;

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scouted {
    /// Processes whose frames can be told.
    Python(Layout, Python),
    /// A process of a release whose frames cannot, and its file's name; each name
    /// once.
    Unknown(Pid, String),
}

/// Where processes are told to be looked at.
pub struct Scout(SyncSender<Wish>);

enum Wish {
    Look(Look),
    /// A word, once all that was wished before has been done.
    Word(Sender<()>),
}

/// One look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    process: ProcKey,
    /// Since when it runs what it runs, or longer.
    since: Instant,
    /// Its place in [`LOOKS`].
    number: usize,
}

impl Scout {
    /// Starts the thread, which ends with this.
    ///
    /// # Errors
    ///
    /// There is no room for a thread.
    pub fn start(tell: impl FnMut(Scouted) + Send + 'static) -> io::Result<Self> {
        let (sender, wishes) = mpsc::sync_channel(WAITING);
        thread::Builder::new()
            .name("scout".to_owned())
            .spawn(move || scout(&wishes, tell))?;
        Ok(Self(sender))
    }

    /// Processes that have been there for a while, so that all looks are due.
    pub fn all_exist(&self, processes: impl Iterator<Item = ProcKey>) {
        let now = Instant::now();
        let since = now.checked_sub(LOOKS[LAST]).unwrap_or(now);
        for process in processes.collect::<BTreeSet<_>>() {
            self.look(process, since);
        }
    }

    /// A process that has executed another program just now.
    pub fn began(&self, process: ProcKey) {
        self.look(process, Instant::now());
    }

    fn look(&self, process: ProcKey, since: Instant) {
        let look = Look {
            process,
            since,
            number: 0,
        };
        self.wish(Wish::Look(look));
    }

    fn wish(&self, wish: Wish) -> bool {
        // If there is no room, or the thread is gone, stacks are without what it
        // would find.
        self.0.try_send(wish).is_ok()
    }

    /// Waits until all processes so far had their first look, but not longer than this.
    pub fn catch_up(&self, patience: Duration) {
        let (sender, word) = mpsc::channel();
        if self.wish(Wish::Word(sender)) {
            // Late or not, watching begins.
            let _ = word.recv_timeout(patience);
        }
    }
}

/// What a look has shown.
#[derive(Debug)]
enum Seen {
    Interpreter(Layout, Interpreter),
    /// Perhaps at this look.
    NotYet(usize),
    /// It has ended.
    Nothing,
}

fn scout(wishes: &Receiver<Wish>, mut tell: impl FnMut(Scouted)) {
    let mut runtimes = Runtimes::default();
    let mut told = BTreeSet::new();
    let mut waiting = BTreeMap::new();
    let mut turn = 0_u64;
    loop {
        let due = waiting.first_key_value().map(|(&(due, _), _)| due);
        let patience = due.map_or(Duration::MAX, |due: Instant| {
            due.saturating_duration_since(Instant::now())
        });
        let look = match wishes.recv_timeout(patience) {
            Ok(Wish::Look(look)) => look,
            Ok(Wish::Word(sender)) => {
                let _ = sender.send(());
                continue;
            }
            Err(RecvTimeoutError::Timeout) => match waiting.pop_first() {
                Some((_, look)) => look,
                None => continue,
            },
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let process = look.process;
        // What a process shows of itself may be made up to confuse whoever reads it.
        let seen = catch_unwind(AssertUnwindSafe(|| see(look, &mut runtimes)));
        match seen.unwrap_or(Seen::Nothing) {
            Seen::Interpreter(layout, Interpreter::Known(python)) => {
                tell(Scouted::Python(layout, python));
            }
            Seen::Interpreter(_, Interpreter::Unknown(name)) => {
                if told.len() < NAMES && told.insert(name.clone()) {
                    tell(Scouted::Unknown(process.pid, name));
                }
            }
            Seen::NotYet(number) => {
                if let Some(next) = LOOKS.get(number).filter(|_| waiting.len() < WAITING) {
                    turn += 1;
                    waiting.insert((look.since + *next, turn), Look { number, ..look });
                }
            }
            Seen::Nothing => {}
        }
    }
}

/// Looks for the interpreter of a process, as far as this look goes.
fn see(look: Look, runtimes: &mut Runtimes) -> Seen {
    let Look {
        process, number, ..
    } = look;
    if number < LAST {
        let Ok(executable) = fs::read_link(format!("/proc/{}/exe", process.pid)) else {
            return Seen::Nothing;
        };
        let name = executable.file_name().unwrap_or_default();
        if !cpython::is_python(&name.to_string_lossy()) {
            return Seen::NotYet(LAST);
        }
    }
    let Some(process) = Process::open(process) else {
        return Seen::Nothing;
    };
    match cpython::interpreter(&process, runtimes) {
        Some(interpreter) => Seen::Interpreter(process.layout(), interpreter),
        None => Seen::NotYet(number + 1),
    }
}
