//! A storm of forks, pipes, duplicates and closes on all cores.

use std::{
    io,
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use pipewatch_tests::Watcher;

use super::table::{head, row};

const LASTING: Duration = Duration::from_secs(60);
/// When to stop waiting for the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets it storm, watched by pipewatch with all its defaults.
pub fn measure() -> io::Result<()> {
    let (ready, go) = io::pipe()?;
    // SAFETY: this program has one thread, so the child may do anything.
    let leader = unsafe { libc::fork() };
    if leader == 0 {
        drop(go);
        let failed = io::Read::read(&mut &ready, &mut [0])
            .and_then(|_| storm())
            .is_err();
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(failed)) };
    }
    let watcher = Watcher::start(&["-p", &leader.to_string()]);
    drop((ready, go));
    let cpu = |who| {
        // SAFETY: plain numbers, for which zero is a value, filled in by the call.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut usage);
            usage
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    // SAFETY: a child of ours.
    unsafe { libc::waitpid(leader, std::ptr::null_mut(), 0) };
    let before = cpu(libc::RUSAGE_CHILDREN);
    watcher.finish(PATIENCE);
    let stopped = watcher.last_record();
    drop(watcher);
    let used = cpu(libc::RUSAGE_CHILDREN) - before;
    let count = |name: &str| stopped[name].as_u64().unwrap_or_default();
    let (events, lost) = (count("events"), count("lost_events"));
    head(&["storm of 60 s", "value"]);
    row(&["events".to_owned(), events.to_string()]);
    let rate = events as f64 / LASTING.as_secs_f64();
    row(&["events per second".to_owned(), format!("{rate:.0}")]);
    row(&["lost".to_owned(), lost.to_string()]);
    let each = used * 1e6 / events as f64;
    row(&[
        "CPU of pipewatch for each event".to_owned(),
        format!("{each:.2} µs"),
    ]);
    Ok(())
}

/// One process for each core.
fn storm() -> io::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let until = Instant::now() + LASTING;
    for _ in 0..cores {
        // SAFETY: this process has one thread, so the child may do anything.
        if unsafe { libc::fork() } == 0 {
            let failed = blow(until).is_err();
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(failed)) };
        }
    }
    for _ in 0..cores {
        // SAFETY: a child of ours.
        unsafe { libc::wait(std::ptr::null_mut()) };
    }
    Ok(())
}

fn blow(until: Instant) -> io::Result<()> {
    while Instant::now() < until {
        let ends = io::pipe()?;
        // SAFETY: an open descriptor.
        let copy = unsafe { libc::dup(ends.1.as_raw_fd()) };
        // SAFETY: the child does nothing but end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: a descriptor and a child of ours.
        unsafe {
            libc::close(copy);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    Ok(())
}
