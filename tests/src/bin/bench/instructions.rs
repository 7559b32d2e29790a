//! How many instructions the kernel executes for an operation, and how many more with
//! pipewatch attached: for a guest of `cargo xtask bench instructions`, in which the
//! time stamp counter advances by one with each instruction.

use std::{
    fs::{self, File},
    io,
    process::Command,
};

use pipewatch_tests::{Program, Watcher};

use super::{
    table::{head, median, row},
    worker,
};

const BACKENDS: [&str; 3] = ["fentry", "kprobe", "tracepoint"];
/// An odd number, so that a median is one of them.
const BATCHES: usize = 25;

/// Does something so many times, and tells the instructions that took.
type Count = fn(u32) -> io::Result<u64>;

/// What is done, and how often in a batch.
const OPERATIONS: [(&str, u32, Count); 5] = [
    ("getppid", 16, |times| counted(times, worker::getppid)),
    ("pipe write+read, no sleep", 16, |times| {
        counted(times, worker::write_read)
    }),
    ("close of no pipe", 16, close),
    ("pipe2 + 2 close", 16, |times| {
        counted(times, worker::pipe_close)
    }),
    ("blocking ping-pong over two pipes", 16, |times| {
        counted(times, worker::ping_pong)
    }),
];

/// Measures all operations with each backend.
pub fn measure() -> io::Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut sleep = Command::new("sleep");
    sleep.arg("86400");
    let other = Program::start(sleep);
    let own = std::process::id().to_string();

    let base = all()?;
    head(&[&[release.trim()][..], &OPERATIONS.map(|(name, ..)| name)].concat());
    let cells = base.iter().map(|count| format!("{count:.0}"));
    print("nothing attached".to_owned(), cells);
    for backend in BACKENDS {
        let args = ["--backend", backend];
        for (whom, pid) in [
            ("another process", other.pid().to_string()),
            ("this process", own.clone()),
        ] {
            let watcher = Watcher::start(&[&args[..], &["-p", &pid]].concat());
            // What it does with what it is told is no part of an operation.
            signal(&watcher, libc::SIGSTOP);
            let counts = all();
            signal(&watcher, libc::SIGCONT);
            let counts = counts?;
            let added = counts.iter().zip(&base);
            let cells = added.map(|(count, base)| format!("{:+.0}", count - base));
            print(format!("{backend}, {whom} watched"), cells);
        }
    }
    Ok(())
}

fn print(name: String, cells: impl Iterator<Item = String>) {
    row(&[name].into_iter().chain(cells).collect::<Vec<_>>());
}

/// The instructions of each operation.
fn all() -> io::Result<Vec<f64>> {
    OPERATIONS
        .iter()
        .map(|(_, times, count)| each(*times, *count))
        .collect()
}

/// The median over batches, in some of which a timer has its tick. What is done once in
/// a batch is not counted: it is in a batch of double size, too.
fn each(times: u32, count: Count) -> io::Result<f64> {
    let mut samples = Vec::new();
    for _ in 0..BATCHES {
        let (double, single) = (count(2 * times)?, count(times)?);
        samples.push((double as f64 - single as f64) / f64::from(times));
    }
    Ok(median(&samples))
}

fn counted(times: u32, run: fn(u32) -> io::Result<()>) -> io::Result<u64> {
    let begun = instructions()?;
    run(times)?;
    Ok(instructions()? - begun)
}

/// Closes files that are no pipes.
fn close(times: u32) -> io::Result<u64> {
    let files: Vec<File> = (0..times)
        .map(|_| File::open("/dev/null"))
        .collect::<io::Result<_>>()?;
    let begun = instructions()?;
    drop(files);
    Ok(instructions()? - begun)
}

/// The time stamp counter.
#[cfg(target_arch = "x86_64")]
fn instructions() -> io::Result<u64> {
    // SAFETY: every such processor has it, and Linux lets programs read it.
    Ok(unsafe { std::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> io::Result<u64> {
    Err(io::Error::other("instructions are only counted on x86_64"))
}

fn signal(watcher: &Watcher, signal: libc::c_int) {
    // SAFETY: a child that has not been reaped. Its id is positive.
    unsafe { libc::kill(watcher.pid() as libc::pid_t, signal) };
}
