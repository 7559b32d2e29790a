//! `pipewatch top`: a terminal that shows what hangs and waits, drawn by a thread of its
//! own, so that a slow one holds nobody up.

mod keys;
mod terminal;

use std::{
    io::{self, IsTerminal as _, stdin, stdout},
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ratatui::{Terminal, backend::CrosstermBackend, layout::Size};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    time::Timespec,
};

use self::{keys::keys, terminal::DRAWER};
use crate::{
    clock,
    finding::{Details, Report},
    problem::Problem,
    render::top::{self, Board, Gauges, View, Wish},
};

/// What is new is drawn this often at most; how long waits last, half as often.
const PERIOD: Duration = Duration::from_millis(250);
const AGING: Duration = Duration::from_millis(500);

/// The view, for as long as this lives.
pub struct Screen {
    shared: Arc<Shared>,
    drawer: Option<JoinHandle<()>>,
}

struct Shared {
    board: Mutex<Board>,
    /// Readable when the thread is to end.
    end: OwnedFd,
    /// The thread has ended.
    over: AtomicBool,
    failure: Mutex<Option<Problem>>,
}

/// Tells what went wrong, when all is over.
pub struct Outcome(Arc<Shared>);

impl Screen {
    /// Nothing is shown before the first report.
    ///
    /// # Errors
    ///
    /// There is no terminal.
    pub fn new() -> Result<Self, Problem> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if !stdin().is_terminal() || !stdout().is_terminal() || dumb {
            return Err(Problem::new(
                "`pipewatch top` needs a terminal, for input and output",
                "for a file or a pipe use `pipewatch -p PID` or `pipewatch --all`; over ssh, `ssh -t`",
            ));
        }
        let end = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| cannot_show(&error.into()))?;
        let shared = Shared {
            board: Mutex::default(),
            end,
            over: AtomicBool::new(false),
            failure: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            drawer: None,
        })
    }

    /// To ask afterwards what went wrong.
    pub fn outcome(&self) -> Outcome {
        Outcome(Arc::clone(&self.shared))
    }

    /// Shows a report; the first takes the terminal.
    ///
    /// # Errors
    ///
    /// The terminal cannot be used.
    pub fn take(&mut self, report: &Report, details: &dyn Details) -> Result<(), Problem> {
        lock(&self.shared.board).take(report, details);
        if self.drawer.is_some() {
            return Ok(());
        }
        terminal::take().map_err(|error| cannot_show(&error))?;
        let shared = Arc::clone(&self.shared);
        let drawer = thread::Builder::new().name(DRAWER.to_owned());
        let drawer = drawer.spawn(move || shared.show());
        self.drawer = Some(drawer.map_err(|error| {
            terminal::give_back();
            cannot_show(&error)
        })?);
        Ok(())
    }

    /// Shows how the run goes.
    pub fn gauge(&self, gauges: Gauges) {
        lock(&self.shared.board).gauge(gauges, clock::now());
    }

    /// Whoever looked at it has left.
    pub fn is_closed(&self) -> bool {
        self.shared.over.load(SeqCst)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.shared.end, &1_u64.to_ne_bytes());
        if let Some(drawer) = self.drawer.take() {
            let _ = drawer.join();
        }
    }
}

impl Outcome {
    /// What went wrong, if anything did.
    ///
    /// # Errors
    ///
    /// The terminal could not be used any more.
    pub fn check(&self) -> Result<(), Problem> {
        lock(&self.0.failure).take().map_or(Ok(()), Err)
    }
}

impl Shared {
    /// The life of the thread.
    fn show(&self) {
        let shown = catch_unwind(AssertUnwindSafe(|| self.draw_until_the_end()));
        terminal::give_back();
        *lock(&self.failure) = match shown {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(cannot_show(&error)),
            Err(_) => Some(Problem::new(
                "the view has failed, as told above",
                "report this as a bug",
            )),
        };
        self.over.store(true, SeqCst);
    }

    fn draw_until_the_end(&self) -> io::Result<()> {
        let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        let colour = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
        let mut view = View::new(colour);
        let mut drawn: Option<(u64, Size, Instant)> = None;
        loop {
            let board = lock(&self.board).clone();
            let size = terminal.size()?;
            let old = drawn.is_none_or(|(changes, of, time)| {
                let aged = board.open() != (0, 0) && time.elapsed() >= AGING;
                changes != board.changes() || of != size || aged
            });
            if old {
                let now = clock::now();
                terminal::draw(|| {
                    let frame = terminal.draw(|frame| top::draw(frame, &mut view, &board, now));
                    frame.map(drop)
                })?;
                drawn = Some((board.changes(), size, Instant::now()));
            }
            let Some(input) = self.input()? else {
                return Ok(());
            };
            let mut suspend = terminal::is_to_stop();
            for key in keys(&input) {
                drawn = None;
                match view.press(key, &board) {
                    Wish::Stay => {}
                    Wish::Quit => return Ok(()),
                    Wish::Suspend => suspend = true,
                }
            }
            if suspend {
                terminal::suspend();
            } else if !terminal::was_continued() {
                continue;
            }
            while !terminal::retake()? {
                if self.is_to_end()? {
                    return Ok(());
                }
            }
            terminal.clear()?;
            drawn = None;
        }
    }

    /// Whether the end has come, within a period.
    fn is_to_end(&self) -> io::Result<bool> {
        let mut end = [PollFd::new(&self.end, PollFlags::IN)];
        match poll(&mut end, Some(&period())) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What was typed within a period; `None` at the end.
    fn input(&self) -> io::Result<Option<Vec<u8>>> {
        let stdin = stdin();
        let mut fds = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&self.end, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&period())) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Some(Vec::new())),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let [typed, end] = fds.map(|fd| fd.revents());
        if !end.is_empty() || typed.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(None);
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(bytes[..length].to_vec())),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(Some(Vec::new())),
            Err(error) => Err(error.into()),
        }
    }
}

fn period() -> Timespec {
    Timespec {
        tv_sec: 0,
        tv_nsec: PERIOD.as_nanos() as _,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cannot_show(error: &io::Error) -> Problem {
    Problem::new(
        format!("cannot use the terminal: {error}"),
        "without it: `pipewatch -p PID` or `pipewatch --all`",
    )
}
