//! What a few operations cost with nothing attached, with another process watched,
//! with this one watched, and with what else one would take.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pipewatch_tests::{Program, Watcher};

use super::{
    forked::Forked,
    table::{head, median, row},
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
        let this = worker.process.pid().to_string();
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

/// An operation, and how often to do it in a round.
type Operation = (&'static str, u32, fn(u32) -> io::Result<()>);

const OPERATIONS: [Operation; 6] = [
    ("getppid", 200_000, getppid),
    ("pipe write+read, no sleep", 100_000, write_read),
    ("blocking ping-pong over two pipes", 10_000, ping_pong),
    ("pipe2 + 2 close", 50_000, pipe_close),
    ("fork+exit+wait, 20 pipe ends open", 300, fork_exit),
    ("fork+exec+wait", 200, fork_exec),
];

/// Measures all operations in all setups.
pub fn measure() -> io::Result<()> {
    let mut samples = vec![vec![Vec::new(); OPERATIONS.len()]; SETUPS.len()];
    let mut worker = Worker::fork()?;
    let mut sleep = Command::new("sleep");
    sleep.arg("86400");
    let other = Program::start(sleep);
    for _ in 0..ROUNDS {
        for ((attached, _), samples) in SETUPS.iter().zip(&mut samples) {
            let tool = attached.start(&worker, &other)?;
            // The kernel goes on for a while to free what the one before had.
            thread::sleep(SETTLING);
            for ((operation, (_, times, _)), samples) in OPERATIONS.iter().enumerate().zip(samples)
            {
                let times = if *attached == Attached::Strace {
                    times / SLOWER
                } else {
                    *times
                };
                thread::sleep(DIGESTION);
                samples.push(worker.run(operation, times)?);
            }
            drop(tool);
        }
    }
    let names = SETUPS.map(|(_, name)| name);
    head(&[&["operation"][..], &names].concat());
    for (operation, (name, ..)) in OPERATIONS.iter().enumerate() {
        let medians = samples.iter().map(|setup| median(&setup[operation]));
        let base = median(&samples[0][operation]);
        let cell = |(index, time): (usize, f64)| match index {
            0 => format!("{time:.0} ns"),
            _ => format!("{time:.0} ns (×{:.2})", time / base),
        };
        let cells = medians.enumerate().map(cell);
        row(&[(*name).to_owned()]
            .into_iter()
            .chain(cells)
            .collect::<Vec<_>>());
    }
    Ok(())
}

/// A process that does the operations, which is the same whatever is attached to it: what
/// reads the output of a tool has threads, which a fork has to pay for.
struct Worker {
    process: Forked,
    orders: io::PipeWriter,
    times: io::PipeReader,
}

impl Worker {
    fn fork() -> io::Result<Self> {
        let (taken, orders) = io::pipe()?;
        let (times, told) = io::pipe()?;
        let (process, (orders, times)) = Forked::fork((orders, times), || work(taken, told))?;
        Ok(Self {
            process,
            orders,
            times,
        })
    }

    /// Nanoseconds that an operation takes, done so many times.
    fn run(&mut self, operation: usize, times: u32) -> io::Result<f64> {
        let order = [operation as u32, times].map(u32::to_ne_bytes);
        self.orders.write_all(order.as_flattened())?;
        let mut nanoseconds = [0; 8];
        self.times.read_exact(&mut nanoseconds)?;
        Ok(f64::from_ne_bytes(nanoseconds) / f64::from(times))
    }
}

/// In the worker: does what it is told, until nobody tells it any more.
fn work(mut orders: io::PipeReader, mut times: io::PipeWriter) -> io::Result<()> {
    pin();
    let mut order = [0; 8];
    while orders.read_exact(&mut order).is_ok() {
        let (operation, count) = order.split_at(4);
        let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
        let (_, _, run) = OPERATIONS[number(operation) as usize];
        let begun = Instant::now();
        run(number(count))?;
        let taken = begun.elapsed().as_nanos() as f64;
        times.write_all(&taken.to_ne_bytes())?;
    }
    Ok(())
}

/// Keeps this thread, and what it starts, on the first CPU, so that a wake-up
/// does not wait for another one to come out of idle.
fn pin() {
    // SAFETY: a set of CPUs is plain bits, for which zero is a value.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the first CPU is in every set.
    unsafe { libc::CPU_SET(0, &mut cpus) };
    // SAFETY: the set lives during the call. Not being pinned costs precision.
    unsafe { libc::sched_setaffinity(0, size_of_val(&cpus), &raw const cpus) };
}

pub(super) fn getppid(times: u32) -> io::Result<()> {
    for _ in 0..times {
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    Ok(())
}

pub(super) fn write_read(times: u32) -> io::Result<()> {
    let (mut reader, mut writer) = io::pipe()?;
    let mut byte = [0];
    for _ in 0..times {
        writer.write_all(&byte)?;
        reader.read_exact(&mut byte)?;
    }
    Ok(())
}

pub(super) fn ping_pong(times: u32) -> io::Result<()> {
    let (mut there, mut ping) = io::pipe()?;
    let (mut back, mut pong) = io::pipe()?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || -> io::Result<()> {
            let mut byte = [0];
            for _ in 0..times {
                there.read_exact(&mut byte)?;
                pong.write_all(&byte)?;
            }
            Ok(())
        });
        let mut byte = [0];
        for _ in 0..times {
            ping.write_all(&byte)?;
            back.read_exact(&mut byte)?;
        }
        echo.join()
            .map_err(|_| io::Error::other("the echo panicked"))?
    })
}

pub(super) fn pipe_close(times: u32) -> io::Result<()> {
    for _ in 0..times {
        drop(io::pipe()?);
    }
    Ok(())
}

fn fork_exit(times: u32) -> io::Result<()> {
    let pipes: Vec<_> = (0..10).map(|_| io::pipe()).collect::<io::Result<_>>()?;
    for _ in 0..times {
        // SAFETY: the child does nothing but end.
        match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            // SAFETY: runs no destructor, which is what is wanted here.
            0 => unsafe { libc::_exit(0) },
            // SAFETY: the child is ours, and a null status is allowed.
            child => unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) },
        };
    }
    drop(pipes);
    Ok(())
}

fn fork_exec(times: u32) -> io::Result<()> {
    for _ in 0..times {
        Command::new("/bin/true").status()?;
    }
    Ok(())
}
