//! What pipewatch costs the host and the processes it watches: the time of a
//! few operations with nothing attached, with another process watched, and
//! with this one watched, in interleaved rounds. Prints medians and ratios.
//!
//! `cargo run --release -p pipewatch-tests --bin cost`, as root.

use std::{
    io::{self, Read as _, Write as _},
    process::Command,
    time::Instant,
};

use pipewatch_tests::{Program, Watcher};

const ROUNDS: usize = 9;

/// What is attached.
#[derive(Clone, Copy)]
enum Attached {
    Nothing,
    Other,
    This,
    ThisWithoutStacks,
}

const SETUPS: [(Attached, &str); 4] = [
    (Attached::Nothing, "nothing attached"),
    (Attached::Other, "another process watched"),
    (Attached::This, "this process watched"),
    (Attached::ThisWithoutStacks, "the same with --stacks off"),
];

/// An operation, and how often to do it in a round.
type Operation = (&'static str, u32, fn(u32) -> io::Result<()>);

const OPERATIONS: [Operation; 5] = [
    ("getppid", 200_000, getppid),
    ("pipe write+read, no sleep", 100_000, write_read),
    ("blocking ping-pong over two pipes", 10_000, ping_pong),
    ("pipe2 + 2 close", 50_000, pipe_close),
    ("fork+exit+wait, 40 pipe ends open", 300, fork_exit),
];

fn main() -> io::Result<()> {
    let mut samples = vec![vec![Vec::new(); OPERATIONS.len()]; SETUPS.len()];
    for _ in 0..ROUNDS {
        for (setup, (attached, _)) in SETUPS.iter().enumerate() {
            let mut sleep = Command::new("sleep");
            sleep.arg("600");
            let other = Program::start(sleep);
            let own = std::process::id().to_string();
            let watcher = match attached {
                Attached::Nothing => None,
                Attached::Other => Some(Watcher::of(&other, &[])),
                Attached::This => Some(Watcher::start(&["-p", &own])),
                Attached::ThisWithoutStacks => {
                    Some(Watcher::start(&["-p", &own, "--stacks", "off"]))
                }
            };
            pin(true);
            for (operation, (_, times, run)) in OPERATIONS.iter().enumerate() {
                let begun = Instant::now();
                run(*times)?;
                let each = begun.elapsed().as_secs_f64() * 1e9 / f64::from(*times);
                samples[setup][operation].push(each);
            }
            pin(false);
            drop(watcher);
        }
    }
    println!(
        "| operation | {} |",
        SETUPS.map(|(_, name)| name).join(" | ")
    );
    println!("|---|---|---|---|---|");
    for (operation, (name, ..)) in OPERATIONS.iter().enumerate() {
        let mut medians = samples
            .iter_mut()
            .map(|setup| median(&mut setup[operation]));
        let base = medians.next().unwrap_or(f64::NAN);
        let others: Vec<String> = medians
            .map(|time| format!("{time:.0} ns (×{:.2})", time / base))
            .collect();
        println!("| {name} | {base:.0} ns | {} |", others.join(" | "));
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

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn getppid(times: u32) -> io::Result<()> {
    for _ in 0..times {
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
    Ok(())
}

fn write_read(times: u32) -> io::Result<()> {
    let (mut reader, mut writer) = io::pipe()?;
    let mut byte = [0];
    for _ in 0..times {
        writer.write_all(&byte)?;
        reader.read_exact(&mut byte)?;
    }
    Ok(())
}

fn ping_pong(times: u32) -> io::Result<()> {
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

fn pipe_close(times: u32) -> io::Result<()> {
    for _ in 0..times {
        drop(io::pipe()?);
    }
    Ok(())
}

fn fork_exit(times: u32) -> io::Result<()> {
    let pipes: Vec<_> = (0..20).map(|_| io::pipe()).collect::<io::Result<_>>()?;
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
