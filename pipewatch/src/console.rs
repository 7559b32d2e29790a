//! Standard error, where lines for people go, one after the other: beside a status line
//! that stays the last one, or after the screen has been given back.

use std::{
    fmt::Display,
    io::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many lines are kept for after the screen.
const HELD: usize = 100;
/// To the beginning of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[K";

struct Console {
    /// The status line, if one is there.
    status: Option<String>,
    /// What was said since the screen was taken.
    held: Option<Vec<String>>,
}

static CONSOLE: Mutex<Console> = Mutex::new(Console {
    status: None,
    held: None,
});

fn console() -> MutexGuard<'static, Console> {
    CONSOLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line for people, beside the reports. It is no error, and certainly
/// no panic, if nobody reads standard error any more.
pub fn say(line: impl Display) {
    let mut console = console();
    match &mut console.held {
        Some(held) if held.len() < HELD => held.push(line.to_string()),
        Some(_) => {}
        None => console.without_status(|| {
            let _ = writeln!(io::stderr(), "{line}");
        }),
    }
}

/// Does something that writes to the terminal, with the status line out of its way.
pub fn beside_status<T>(write: impl FnOnce() -> T) -> T {
    console().without_status(write)
}

/// Shows a status line instead of the last one, or none.
pub fn show_status(status: Option<String>) {
    let mut console = console();
    if console.status != status {
        console.put(CLEAR);
        console.status = status;
        console.draw();
    }
}

/// From now on lines are kept.
pub fn hold() {
    console().held.get_or_insert_default();
}

/// Prints what was kept.
pub fn release() {
    let held = console().held.take();
    for line in held.unwrap_or_default() {
        say(line);
    }
}

impl Console {
    fn without_status<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.status.is_none() {
            return write();
        }
        self.put(CLEAR);
        let result = write();
        self.draw();
        result
    }

    fn draw(&self) {
        if let Some(status) = &self.status {
            self.put(status);
        }
    }

    fn put(&self, text: &str) {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
