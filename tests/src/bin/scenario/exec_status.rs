//! The race of the story inside the standard library: `Command` waits for EOF
//! on its private "did exec work?" channel, another thread has forked a child
//! that holds the other end.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Barrier, LazyLock};
use std::thread;

use nix::unistd::Pid;

use crate::Options;
use crate::sys;

/// Where the two threads meet, before and after the fork inside the window.
static WINDOW: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

/// What the C library calls in the thread that is about to fork: `Command` has
/// made its channel by then, and closes the far end when the fork returns.
extern "C" fn before_fork() {
    WINDOW.wait();
    WINDOW.wait();
}

pub fn run(options: &Options) {
    options.wait_for_go();
    let hold = options.hold();
    let updater = thread::Builder::new()
        .name("updater".to_owned())
        .spawn(move || {
            WINDOW.wait();
            let Some(child) = fork_unnoticed() else {
                thread::sleep(hold);
                sys::quit()
            };
            WINDOW.wait();
            child
        })
        .expect("a thread");
    // SAFETY: the handler takes no lock but that of the barrier, which no other
    // fork of this process runs into.
    assert_eq!(0, unsafe {
        libc::pthread_atfork(Some(before_fork), None, None)
    });
    let mut command = Command::new("true");
    // SAFETY: a closure that does nothing is safe after a fork. It is there so
    // that `Command` forks by itself, not by posix_spawn.
    unsafe { command.pre_exec(|| Ok(())) };
    let status = command.status().expect("true");
    assert!(status.success());
    sys::reap(updater.join().expect("a child"));
}

/// Forks without the C library, which would call [`before_fork`] again; `None`
/// in the child, which must end in [`sys::quit`].
fn fork_unnoticed() -> Option<Pid> {
    // SAFETY: the child only sleeps and ends, which needs no lock.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    assert!(pid >= 0, "clone: {}", std::io::Error::last_os_error());
    (pid > 0).then(|| Pid::from_raw(pid as i32))
}
