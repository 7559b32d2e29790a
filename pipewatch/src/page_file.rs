//! The page of a run, as a file (`--html`).

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    finding::{Details, Report},
    private_file,
    problem::Problem,
    render::Document,
};

/// How often the file is written at most: a page of many hangs has megabytes.
const PERIOD: Duration = Duration::from_secs(1);

/// A page that is written again as its run goes on. It is written in place, into the
/// file that was opened at the start: to put a new one there may not be permitted any
/// more once privileges are given up.
pub struct PageFile {
    path: PathBuf,
    file: File,
    /// What is no plain file takes the page once, at the end.
    again: bool,
    document: Document,
    /// What the file has is not the latest.
    stale: bool,
    written: Option<Instant>,
}

impl PageFile {
    /// Creates or empties the file.
    ///
    /// # Errors
    ///
    /// It cannot be created.
    pub fn create(path: &Path) -> Result<Self, Problem> {
        let path = path.to_owned();
        let file = private_file::create(&path).map_err(|error| cannot_write(&path, &error))?;
        Ok(Self {
            again: file.metadata().is_ok_and(|about| about.is_file()),
            path,
            file,
            document: Document::default(),
            stale: true,
            written: None,
        })
    }

    /// Takes in the next report.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn take(&mut self, report: &Report, details: &dyn Details) -> Result<(), Problem> {
        self.stale |= self.document.take(report, details);
        self.settle()
    }

    /// Writes what has not been written, if it is time for that.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn settle(&mut self) -> Result<(), Problem> {
        let is_due = self
            .written
            .is_none_or(|written| written.elapsed() >= PERIOD);
        if self.stale && self.again && is_due {
            self.write()?;
        }
        Ok(())
    }

    /// Writes all that there is.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn finish(&mut self) -> Result<(), Problem> {
        if self.stale { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Problem> {
        self.stale = false;
        let page = self.document.page().into_bytes();
        let written = if self.again {
            let length = page.len() as u64;
            let whole = self.file.write_all_at(&page, 0);
            whole.and_then(|()| self.file.set_len(length))
        } else {
            self.file.write_all(&page)
        };
        self.written = Some(Instant::now());
        written.map_err(|error| cannot_write(&self.path, &error))
    }
}

/// However a run ends, its page is complete.
impl Drop for PageFile {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Problem {
    Problem::new(
        format!("cannot write the page {}: {error}", path.display()),
        "name a new file, in a folder that exists and is writable, with space left",
    )
}
