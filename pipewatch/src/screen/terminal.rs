//! The terminal: taken, and given back as it was, whatever happens.

use std::{
    io::{self, Write as _, stdout},
    panic,
    sync::{
        Mutex, MutexGuard, Once, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use ratatui::crossterm::{
    cursor::{Hide, Show},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use rustix::{
    process::{Signal, getpgrp, kill_current_process_group},
    stdio,
    termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr},
};
use signal_hook::{
    consts::{
        SIGABRT, SIGALRM, SIGPROF, SIGQUIT, SIGSYS, SIGTRAP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
        SIGXFSZ,
    },
    low_level::{emulate_default_handler, register},
};

use crate::console;

/// The thread that draws.
pub(super) const DRAWER: &str = "pipewatch-top";

/// Signals that end the program unless they are caught, and are not, since somebody sends
/// them to have just that. Those that tell of a fault in it are not among them.
const ENDING: [libc::c_int; 11] = [
    SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGSYS, SIGTRAP, SIGXCPU,
    SIGXFSZ,
];
/// What [`leave`] sends, for a handler of signals.
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

static TAKEN: AtomicBool = AtomicBool::new(false);
/// The modes that the terminal had at first.
static BEFORE: OnceLock<Termios> = OnceLock::new();
/// Held by who draws, so that nobody draws on what was given back.
static DRAWING: Mutex<()> = Mutex::new(());
static STOP: AtomicBool = AtomicBool::new(false);
static CONTINUED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: libc::c_int) {
    let flag = if signal == libc::SIGCONT {
        &CONTINUED
    } else {
        &STOP
    };
    flag.store(true, SeqCst);
}

/// Sets what a signal does.
fn on(signal: libc::c_int, action: libc::sighandler_t) {
    // SAFETY: `action` is the default, or `note`, which stores to an atomic and does
    // nothing else, as a handler may.
    unsafe { libc::signal(signal, action) };
}

fn noting() -> libc::sighandler_t {
    note as extern "C" fn(libc::c_int) as libc::sighandler_t
}

fn drawing() -> MutexGuard<'static, ()> {
    DRAWING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the terminal. Should the program panic, it is given back first.
///
/// # Errors
///
/// It does not let itself be set, or written to; then it is as it was.
pub(super) fn take() -> io::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            match thread::current().name() {
                // Which may be drawing.
                Some(DRAWER) => put_back(),
                Some("main") => give_back(),
                // It ends no more than what that thread was at.
                Some(_) | None => return console::say(info),
            }
            tell(info);
        }));
    });
    console::hold();
    if let Ok(before) = tcgetattr(stdio::stdin()) {
        BEFORE.get_or_init(|| before);
    }
    for signal in ENDING {
        // SAFETY: `end_by` does what a handler may do.
        let registered = unsafe { register(signal, move || end_by(signal)) };
        // It is none of those that cannot be caught.
        let _ = registered;
    }
    on(libc::SIGCONT, noting());
    enter().inspect_err(|_| give_back())
}

/// Gives the terminal back and ends the program as a signal does, from within its handler:
/// by system calls and atomics alone.
fn end_by(signal: libc::c_int) {
    if TAKEN.swap(false, SeqCst) && is_in_foreground() {
        let _ = rustix::io::write(stdio::stdout(), LEAVE);
        if let Some(before) = BEFORE.get() {
            let _ = tcsetattr(stdio::stdin(), OptionalActions::Now, before);
        }
    }
    let _ = emulate_default_handler(signal);
}

/// Whether the terminal is this program's to set; who sets it from the background is
/// stopped. If it is gone, nothing can be wrong.
fn is_in_foreground() -> bool {
    tcgetpgrp(stdio::stdin()).map_or(true, |group| group == getpgrp())
}

fn enter() -> io::Result<()> {
    TAKEN.store(true, SeqCst);
    on(libc::SIGTSTP, noting());
    STOP.store(false, SeqCst);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// Gives the terminal back, unless that was done, and prints what was said meanwhile.
pub(super) fn give_back() {
    let _drawing = drawing();
    put_back();
}

fn put_back() {
    leave();
    console::release();
}

/// Gives the terminal back, unless that was done. Nothing more can be done if it fails: the
/// terminal is gone.
fn leave() {
    on(libc::SIGTSTP, libc::SIG_DFL);
    if TAKEN.swap(false, SeqCst) && is_in_foreground() {
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = stdout().flush();
        let _ = disable_raw_mode();
    }
}

/// Draws, if the terminal is still taken.
pub(super) fn draw(draw: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let _drawing = drawing();
    if TAKEN.load(SeqCst) { draw() } else { Ok(()) }
}

/// Somebody has sent SIGTSTP.
pub(super) fn is_to_stop() -> bool {
    STOP.swap(false, SeqCst)
}

/// The program was stopped, and goes on.
pub(super) fn was_continued() -> bool {
    CONTINUED.swap(false, SeqCst)
}

/// Stops the program and who belongs to it, as a terminal does it, with the terminal as
/// it was. Returns when it is continued.
pub(super) fn suspend() {
    let drawing = drawing();
    leave();
    drop(drawing);
    CONTINUED.store(false, SeqCst);
    let _ = kill_current_process_group(Signal::TSTP);
    // Another thread may take the signal, a moment later. Where nobody could continue it,
    // the kernel does not stop it at all.
    for _ in 0..20 {
        if was_continued() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Takes the terminal anew: somebody else may have set it meanwhile. `false`: it is still
/// somebody else's, since the program goes on in the background.
///
/// # Errors
///
/// As [`take`].
pub(super) fn retake() -> io::Result<bool> {
    let _drawing = drawing();
    CONTINUED.store(false, SeqCst);
    if !is_in_foreground() {
        leave();
        return Ok(false);
    }
    let _ = disable_raw_mode();
    enter().map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_sends_the_same() {
        let mut sent = Vec::new();
        execute!(sent, Show, LeaveAlternateScreen).expect("room");
        assert_eq!(sent, LEAVE);
    }
}
