//! How the run goes, on one line of a terminal.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use rustix::{
    process::getpgrp,
    termios::{tcgetpgrp, tcgetwinsize},
};

use crate::{
    clock, console,
    finding::{Details, Report},
    render::top::{Board, Gauges},
};

/// The line changes no more often.
const PERIOD: Duration = Duration::from_millis(500);

/// The line, for as long as this lives.
pub struct Status {
    board: Board,
    shown: Option<Instant>,
}

impl Status {
    /// On standard error, if that is a terminal that can take a line back.
    pub fn new() -> Option<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        (io::stderr().is_terminal() && !dumb).then(|| Self {
            board: Board::default(),
            shown: None,
        })
    }

    /// Takes in a report.
    pub fn take(&mut self, report: &Report, details: &dyn Details) {
        self.board.take(report, details);
        if matches!(report, Report::Stopped(_)) {
            console::show_status(None);
        }
    }

    /// Takes in how the run goes, and shows it.
    pub fn gauge(&mut self, gauges: Gauges) {
        self.board.gauge(gauges, clock::now());
        if self.shown.is_some_and(|shown| shown.elapsed() < PERIOD) {
            return;
        }
        self.shown = Some(Instant::now());
        let terminal = io::stderr();
        // In the background it is somebody else's terminal.
        let ours = tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp());
        let columns = tcgetwinsize(&terminal).map_or(0, |size| size.ws_col);
        // Nor in the last column, after which a terminal may begin another line.
        let room = usize::from(columns).saturating_sub(1);
        let line = (ours && room > 0).then(|| self.board.summary(room));
        console::show_status(line.filter(|line| line.len() <= room));
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        console::show_status(None);
    }
}
