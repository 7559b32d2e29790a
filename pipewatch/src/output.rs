//! Where reports go.

use std::{
    io::{self, IsTerminal as _, Write},
    os::{fd::AsFd as _, fd::OwnedFd},
    path::Path,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, fstat},
    termios::tcgetwinsize,
    time::Timespec,
};

use crate::{
    console,
    exporter::Exporter,
    finding::{Details, Report},
    journal::Journal,
    page_file::PageFile,
    private_file,
    problem::Problem,
    render::{self, Format, Style, top::Gauges},
    screen::Screen,
    status::Status,
};

pub use crate::console::say;

/// Width of text that does not go to a terminal.
const PLAIN_WIDTH: usize = 80;

/// A place for reports.
pub struct Output {
    to: Box<dyn Write>,
    /// The reading end of it can go away.
    pipe: Option<OwnedFd>,
    to_stdout: bool,
    format: Format,
    style: Style,
    closed: bool,
    exporter: Option<Exporter>,
    /// Takes reports before `to` does.
    journal: Option<Journal>,
    page: Option<PageFile>,
    /// Takes reports instead of `to`.
    screen: Option<Screen>,
    status: Option<Status>,
}

impl Output {
    /// Writes to a new file, or to standard output; if that is the journal of systemd,
    /// text for people becomes entries of it.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn new(file: Option<&Path>, format: Format) -> Result<Self, Problem> {
        let mut style = Style {
            width: columns().unwrap_or(PLAIN_WIDTH),
            colour: false,
        };
        let Some(path) = file else {
            let stdout = io::stdout();
            style.colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
            style.width = width();
            let fd = stdout.as_fd();
            if let Some(journal) = Journal::behind(fd).filter(|_| format == Format::Text) {
                return Ok(Self {
                    journal: Some(journal),
                    ..Self::to(Box::new(stdout), format, style)
                });
            }
            let is_pipe = fstat(fd).is_ok_and(|stat| {
                matches!(
                    FileType::from_raw_mode(stat.st_mode),
                    FileType::Fifo | FileType::Socket
                )
            });
            let pipe = if is_pipe {
                fd.try_clone_to_owned().ok()
            } else {
                None
            };
            return Ok(Self {
                pipe,
                to_stdout: true,
                ..Self::to(Box::new(stdout), format, style)
            });
        };
        let file = private_file::create(path);
        let file = file.map_err(|error| {
            Problem::new(
                format!("cannot write reports to {}: {error}", path.display()),
                "name a new file, in a folder that exists and is writable",
            )
        })?;
        Ok(Self::to(Box::new(file), format, style))
    }

    /// Writes to what is given.
    pub fn to(to: Box<dyn Write>, format: Format, style: Style) -> Self {
        Self {
            to,
            pipe: None,
            to_stdout: false,
            format,
            style,
            closed: false,
            exporter: None,
            journal: None,
            page: None,
            screen: None,
            status: None,
        }
    }

    /// Shows reports on a screen.
    pub fn on(screen: Screen) -> Self {
        let style = Style {
            width: 0,
            colour: false,
        };
        Self {
            screen: Some(screen),
            ..Self::to(Box::new(io::sink()), Format::Text, style)
        }
    }

    /// Also has a status line, where that is in nobody's way.
    pub fn with_status(self) -> Self {
        let to_terminal = self.to_stdout && io::stdout().is_terminal();
        let status = match self.format {
            Format::Json if to_terminal => None,
            Format::Json | Format::Text => Status::new(),
        };
        Self { status, ..self }
    }

    /// Tells how the run goes, where there is somebody to see it.
    pub fn gauge(&mut self, gauges: Gauges) {
        if let Some(screen) = &self.screen {
            screen.gauge(gauges);
        }
        if let Some(status) = &mut self.status {
            status.gauge(gauges);
        }
        if let Some(exporter) = &self.exporter {
            exporter.measure(gauges.watched, gauges.events, gauges.lost_events);
        }
    }

    /// Reports are counted, too.
    pub fn with_exporter(self, exporter: Option<Exporter>) -> Self {
        Self { exporter, ..self }
    }

    /// Also keeps a page of all reports in a file.
    ///
    /// # Errors
    ///
    /// The file cannot be created.
    pub fn with_page(mut self, file: Option<&Path>) -> Result<Self, Problem> {
        self.page = file.map(PageFile::create).transpose()?;
        Ok(self)
    }

    /// Writes a report at once.
    ///
    /// # Errors
    ///
    /// The file cannot be written (the disk is full). A reader that went away
    /// is no error: see [`Output::is_closed`].
    pub fn write(&mut self, report: &Report, details: &dyn Details) -> Result<(), Problem> {
        if let Some(exporter) = &mut self.exporter {
            exporter.note(report);
        }
        self.tell(report, details)?;
        match &mut self.page {
            Some(page) => page.take(report, details),
            None => Ok(()),
        }
    }

    fn tell(&mut self, report: &Report, details: &dyn Details) -> Result<(), Problem> {
        if let Some(screen) = &mut self.screen {
            return screen.take(report, details);
        }
        if let Some(status) = &mut self.status {
            status.take(report, details);
        }
        // What it does not take comes to it as text, as all did without.
        if let Some(journal) = &self.journal
            && let Ok(entry) = render::entry(report, details)
            && journal.send(&entry).is_ok()
        {
            return Ok(());
        }
        if self.closed {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let written = render::write(report, details, self.format, &self.style, &mut bytes);
        let written = written.and_then(|()| {
            console::beside_status(|| self.to.write_all(&bytes).and_then(|()| self.to.flush()))
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Problem::new(
                format!("cannot write a report: {error}"),
                "is there space left where reports go?",
            )),
            Ok(()) => Ok(()),
        }
    }

    /// Writes what was put off, of the page, if it is time for that.
    ///
    /// # Errors
    ///
    /// The page cannot be written.
    pub fn settle(&mut self) -> Result<(), Problem> {
        self.page.as_mut().map_or(Ok(()), PageFile::settle)
    }

    /// Nobody reads reports any more.
    pub fn is_closed(&mut self) -> bool {
        if let Some(pipe) = &self.pipe {
            let mut fds = [PollFd::new(pipe, PollFlags::empty())];
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let polled = poll(&mut fds, Some(&now));
            self.closed |= polled.is_ok() && fds[0].revents().contains(PollFlags::ERR);
        }
        self.closed |= self.screen.as_ref().is_some_and(Screen::is_closed);
        self.closed
    }
}

/// Columns of standard output.
pub fn width() -> usize {
    let stdout = io::stdout();
    let size = stdout.is_terminal().then(|| tcgetwinsize(&stdout).ok());
    let columns = size.flatten().map(|size| usize::from(size.ws_col));
    let shown = columns.filter(|&columns| columns > 0);
    shown.or_else(self::columns).unwrap_or(PLAIN_WIDTH)
}

fn columns() -> Option<usize> {
    std::env::var("COLUMNS")
        .ok()?
        .parse()
        .ok()
        .filter(|&columns| columns > 0)
}
