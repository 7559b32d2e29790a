//! What a few operations cost with nothing attached, with another process watched,
//! with this one watched, and with what else one would take.

use std::{
    fs,
    io::{self, Read as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use pipewatch_tests::{Program, Watcher};

use super::{
    table::{head, median, row},
    worker::{OPERATIONS, Worker},
};

const ROUNDS: usize = 9;
/// How much less is done where each system call is many times slower.
const SLOWER: u32 = 50;
/// Runs bpftrace on what is given as `$0`.
const IN_TRACEFS: &str = "\
    test -d /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing; \
    exec bpftrace -e \"$0\"";
const SETTLING: Duration = Duration::from_secs(1);
/// Whatever is attached goes on for a moment with what the operation before has caused.
const DIGESTION: Duration = Duration::from_millis(200);
/// Calls and events that pipewatch follows too.
const BPFTRACE: &str = "\
    tracepoint:syscalls:sys_enter_pipe2, tracepoint:syscalls:sys_exit_pipe2, \
    tracepoint:syscalls:sys_enter_close, tracepoint:syscalls:sys_exit_close, \
    tracepoint:syscalls:sys_enter_read, tracepoint:sched:sched_switch, \
    tracepoint:sched:sched_process_fork, tracepoint:sched:sched_process_exec, \
    tracepoint:sched:sched_process_exit { @[probe] = count(); }";

/// What is attached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attached {
    Nothing,
    Other,
    This,
    ThisWithoutStacks,
    Bpftrace,
    Strace,
}

const SETUPS: [(Attached, &str); 6] = [
    (Attached::Nothing, "nothing attached"),
    (Attached::Other, "another process watched"),
    (Attached::This, "this process watched"),
    (Attached::ThisWithoutStacks, "the same with --stacks off"),
    (Attached::Bpftrace, "bpftrace counting"),
    (Attached::Strace, "strace -f"),
];

/// A tool that runs until this is dropped.
enum Tool {
    Pipewatch { _watcher: Watcher },
    Other(Child),
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Self::Other(child) = self {
            // It lets go of what it traces when it ends by itself.
            let interrupt = Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status();
            let waited = interrupt.and_then(|_| child.wait());
            waited.expect("the end of a tool");
        }
    }
}

impl Attached {
    /// Starts what is attached to the worker, and waits until it is. `other` is a process
    /// besides.
    fn start(self, worker: &Worker, other: &Program) -> io::Result<Option<Tool>> {
        let this = worker.pid().to_string();
        let pipewatch = |watcher| Ok(Some(Tool::Pipewatch { _watcher: watcher }));
        match self {
            Self::Nothing => Ok(None),
            Self::Other => pipewatch(Watcher::of(other, &[])),
            Self::This => pipewatch(Watcher::start(&["-p", &this])),
            Self::ThisWithoutStacks => pipewatch(Watcher::start(&["-p", &this, "--stacks", "off"])),
            Self::Bpftrace => {
                // It needs tracefs, which the host may not have mounted.
                let mut bpftrace = Command::new("unshare");
                bpftrace.args(["--mount", "sh", "-c", IN_TRACEFS, BPFTRACE]);
                bpftrace.stdout(Stdio::piped());
                let mut child = bpftrace.spawn()?;
                let mut byte = [0];
                // It says how many probes it attaches, and then does it.
                if let Some(stdout) = &mut child.stdout {
                    stdout.read_exact(&mut byte)?;
                }
                thread::sleep(Duration::from_secs(2));
                Ok(Some(Tool::Other(child)))
            }
            Self::Strace => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-q", "-o", "/dev/null", "-p", &this]);
                let child = strace.stderr(Stdio::null()).spawn()?;
                while fs::read_to_string(format!("/proc/{this}/status"))?
                    .contains("TracerPid:\t0\n")
                {
                    thread::sleep(Duration::from_millis(10));
                }
                Ok(Some(Tool::Other(child)))
            }
        }
    }
}

/// Measures all operations in all setups. A ratio is the median of those of the rounds: a
/// machine whose neighbours are busy is slower for minutes, and so for a round.
pub fn measure() -> io::Result<()> {
    let mut samples = vec![vec![Vec::new(); OPERATIONS.len()]; SETUPS.len()];
    let mut worker = Worker::fork()?;
    let mut sleep = Command::new("sleep");
    sleep.arg("86400");
    let other = Program::start(sleep);
    for round in 0..ROUNDS {
        for turn in 0..SETUPS.len() {
            // Each has its turn at another time of a round.
            let setup = (round + turn) % SETUPS.len();
            let (attached, _) = SETUPS[setup];
            let tool = attached.start(&worker, &other)?;
            // The kernel goes on for a while to free what the one before had.
            thread::sleep(SETTLING);
            for (operation, (_, times, _)) in OPERATIONS.iter().enumerate() {
                let times = if attached == Attached::Strace {
                    times / SLOWER
                } else {
                    *times
                };
                thread::sleep(DIGESTION);
                samples[setup][operation].push(worker.run(operation, times)?);
            }
            drop(tool);
        }
    }
    let names = SETUPS.map(|(_, name)| name);
    head(&[&["operation"][..], &names].concat());
    for (operation, (name, ..)) in OPERATIONS.iter().enumerate() {
        let medians = samples.iter().map(|setup| median(&setup[operation]));
        let cell = |(index, time): (usize, f64)| match index {
            0 => format!("{time:.0} ns"),
            _ => {
                let rounds = samples[index][operation].iter().zip(&samples[0][operation]);
                let ratios: Vec<f64> = rounds.map(|(time, nothing)| time / nothing).collect();
                format!("{time:.0} ns (×{:.2})", median(&ratios))
            }
        };
        let cells = medians.enumerate().map(cell);
        row(&[(*name).to_owned()]
            .into_iter()
            .chain(cells)
            .collect::<Vec<_>>());
    }
    Ok(())
}
