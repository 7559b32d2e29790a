//! A process that does one operation again and again, as it is told.

use std::{
    io::{self, Read as _, Write as _},
    process::Command,
    time::Instant,
};

use super::forked::Forked;

/// An operation, and how often to do it in a round.
pub type Operation = (&'static str, u32, fn(u32) -> io::Result<()>);

pub const OPERATIONS: [Operation; 6] = [
    ("getppid", 200_000, getppid),
    ("pipe write+read, no sleep", 100_000, write_read),
    ("blocking ping-pong over two pipes", 10_000, ping_pong),
    ("pipe2 + 2 close", 50_000, pipe_close),
    ("fork+exit+wait, 20 pipe ends open", 3_000, fork_exit),
    ("fork+exec+wait", 1_000, fork_exec),
];

/// A process that does the operations, which is the same whatever is attached to it: what
/// reads the output of a tool has threads, which a fork has to pay for.
pub struct Worker {
    process: Forked,
    orders: io::PipeWriter,
    times: io::PipeReader,
}

impl Worker {
    pub fn fork() -> io::Result<Self> {
        let (taken, orders) = io::pipe()?;
        let (times, told) = io::pipe()?;
        let (process, (orders, times)) = Forked::fork((orders, times), || work(taken, told))?;
        Ok(Self {
            process,
            orders,
            times,
        })
    }

    pub fn pid(&self) -> libc::pid_t {
        self.process.pid()
    }

    /// Nanoseconds that an operation takes, done so many times.
    pub fn run(&mut self, operation: usize, times: u32) -> io::Result<f64> {
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

pub fn getppid(times: u32) -> io::Result<()> {
    for _ in 0..times {
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    Ok(())
}

pub fn write_read(times: u32) -> io::Result<()> {
    let (mut reader, mut writer) = io::pipe()?;
    let mut byte = [0];
    for _ in 0..times {
        writer.write_all(&byte)?;
        reader.read_exact(&mut byte)?;
    }
    Ok(())
}

pub fn ping_pong(times: u32) -> io::Result<()> {
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

pub fn pipe_close(times: u32) -> io::Result<()> {
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
