//! A terminal with a shell in it, which can be looked at.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::pace::paced;

/// What is waited for is seen within this.
const SOON: Duration = Duration::from_secs(20);

/// A pane of a tmux of its own, which ends when this is dropped.
pub struct Pane {
    socket: String,
}

impl Pane {
    /// A terminal of this size, with a bash in this folder, which leaves the terminal's
    /// modes alone.
    pub fn new((columns, rows): (u16, u16), folder: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pane = Self {
            socket: format!("pipewatch-tests-{}-{number}", std::process::id()),
        };
        let [columns, rows] = [columns, rows].map(|size| size.to_string());
        let folder = folder.to_str().expect("a path in UTF-8");
        let size = ["new-session", "-d", "-x", &columns, "-y", &rows];
        pane.tmux(
            &[
                &size[..],
                &["-c", folder, "env PS1='$ ' bash --norc --noediting"],
            ]
            .concat(),
        );
        pane.wait_for("$");
        pane
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        // Where it is said which colours there are, nobody asks the environment.
        tmux.env_remove("NO_COLOR")
            .args(["-L", &self.socket, "-f", "/dev/null"])
            .args(args)
            .stdin(Stdio::null());
        let output = tmux.output().expect("tmux");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, each by tmux's name for it.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Types a line.
    pub fn line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with sequences for colours.
    pub fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen shows this. Returns the screen.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// Waits until the screen is as wanted. Returns the screen.
    pub fn wait_until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(
                begin.elapsed() < paced(SOON),
                "no {what} on the screen:\n{screen}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Changes the size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let [columns, rows] = [columns, rows].map(|size| size.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// Closes the terminal.
    pub fn close(&self) {
        self.tmux(&["kill-server"]);
    }

    /// The process that the shell has started.
    pub fn child(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let children = children.expect("a shell that lives");
        let last = children.split_whitespace().next_back().expect("a child");
        Pid::from_raw(last.parse().expect("a number"))
    }

    /// Sends a signal to what the shell has started.
    pub fn signal(&self, signal: Signal) {
        kill(self.child(), signal).expect("a process that lives");
    }

    /// What a program may have set and not reset: the modes of the terminal, whether it
    /// shows its second screen, and whether it hides its cursor.
    pub fn modes(&self) -> String {
        let tty = self.tmux(&["display-message", "-p", "#{pane_tty}"]);
        let stty = Command::new("stty").args(["-g", "-F", tty.trim()]).output();
        let stty = String::from_utf8_lossy(&stty.expect("stty").stdout).into_owned();
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        stty + &flags
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        self.close();
    }
}
