//! The terminal: taken, and given back as it was, whatever happens.

use std::{
    io::{self, Write as _, stdout},
    panic,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
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
use rustix::process::{Signal, kill_current_process_group};

use crate::console;

/// The thread that draws.
pub(super) const DRAWER: &str = "pipewatch-top";

static TAKEN: AtomicBool = AtomicBool::new(false);
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
            if thread::current().name() == Some(DRAWER) {
                // Which may be drawing.
                put_back();
            } else {
                give_back();
            }
            tell(info);
        }));
    });
    console::hold();
    on(libc::SIGTSTP, noting());
    on(libc::SIGCONT, noting());
    TAKEN.store(true, SeqCst);
    enter().inspect_err(|_| give_back())
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// Gives the terminal back, unless that was done, and prints what was said meanwhile.
pub(super) fn give_back() {
    let _drawing = drawing();
    put_back();
}

fn put_back() {
    if TAKEN.swap(false, SeqCst) {
        leave();
        on(libc::SIGTSTP, libc::SIG_DFL);
        console::release();
    }
}

/// Nothing more can be done if it fails: the terminal is gone.
fn leave() {
    let _ = execute!(stdout(), Show, LeaveAlternateScreen);
    let _ = stdout().flush();
    let _ = disable_raw_mode();
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
///
/// # Errors
///
/// As [`take`].
pub(super) fn suspend() -> io::Result<()> {
    let _drawing = drawing();
    leave();
    CONTINUED.store(false, SeqCst);
    on(libc::SIGTSTP, libc::SIG_DFL);
    let _ = kill_current_process_group(Signal::TSTP);
    // Another thread may take the signal, a moment later. Where nobody could continue it,
    // the kernel does not stop it at all.
    for _ in 0..20 {
        if was_continued() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    on(libc::SIGTSTP, noting());
    STOP.store(false, SeqCst);
    enter()
}

/// Takes the terminal anew: somebody else may have set it meanwhile.
///
/// # Errors
///
/// As [`take`].
pub(super) fn retake() -> io::Result<()> {
    let _drawing = drawing();
    let _ = disable_raw_mode();
    enter()
}
