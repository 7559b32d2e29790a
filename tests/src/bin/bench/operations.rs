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

use super::table::{head, median, row};

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
    /// Starts what is attached, and waits until it is. `other` is a process besides.
    fn start(self, other: &Program) -> io::Result<Option<Tool>> {
        let own = std::process::id().to_string();
        let pipewatch = |watcher| Ok(Some(Tool::Pipewatch { _watcher: watcher }));
        match self {
            Self::Nothing => Ok(None),
            Self::Other => pipewatch(Watcher::of(other, &[])),
            Self::This => pipewatch(Watcher::start(&["-p", &own])),
            Self::ThisWithoutStacks => pipewatch(Watcher::start(&["-p", &own, "--stacks", "off"])),
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
                strace.args(["-f", "-q", "-o", "/dev/null", "-p", &own]);
                let child = strace.stderr(Stdio::null()).spawn()?;
                while fs::read_to_string("/proc/self/status")?.contains("TracerPid:\t0\n") {
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
    let mut sleep = Command::new("sleep");
    sleep.arg("86400");
    let other = Program::start(sleep);
    for _ in 0..ROUNDS {
        for ((attached, _), samples) in SETUPS.iter().zip(&mut samples) {
            let tool = attached.start(&other)?;
            // The kernel goes on for a while to free what the one before had.
            thread::sleep(SETTLING);
            pin(true);
            for ((_, times, run), samples) in OPERATIONS.iter().zip(samples) {
                let times = if *attached == Attached::Strace {
                    times / SLOWER
                } else {
                    *times
                };
                thread::sleep(DIGESTION);
                let begun = Instant::now();
                run(times)?;
                samples.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(times));
            }
            pin(false);
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

/// Keeps this thread, and what it starts, on the first CPU, so that a wake-up
/// does not wait for another one to come out of idle; or lets it go.
fn pin(to_first: bool) {
    // SAFETY: a set of CPUs is plain bits, for which zero is a value.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in 0..if to_first {
        1
    } else {
        libc::CPU_SETSIZE as usize
    } {
        // SAFETY: `cpu` is below the size of the set.
        unsafe { libc::CPU_SET(cpu, &mut cpus) };
    }
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

pub(super) fn fork_exit(times: u32) -> io::Result<()> {
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
