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
        match report {
            Report::Stopped(_) => self.finish(),
            Report::Started(_) | Report::Finding(_) | Report::Lost(_) => self.settle(),
        }
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
    fn finish(&mut self) -> Result<(), Problem> {
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

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::fd::AsRawFd as _, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::{
        finding::{Lost, Started},
        ids::Ktime,
        names::{Names, Noted},
        stack::Sights,
    };

    /// A run that is started and loses something at once.
    fn tell(page: &mut PageFile) {
        let started = Report::Started(Started {
            time: Ktime(0),
            version: String::new(),
            kernel: String::new(),
            arch: String::new(),
            backend: "kprobe".to_owned(),
            watching: None,
            threshold: 0,
            hides: false,
            limits: Vec::new(),
        });
        let lost = Report::Lost(Lost {
            time: Ktime(1),
            events: 77,
            rescanned: true,
        });
        let nothing = Noted {
            names: &Names::default(),
            sights: &Sights::default(),
            wall: |time: Ktime| time.0,
        };
        for report in [started, lost] {
            page.take(&report, &nothing).expect("room");
        }
    }

    #[test]
    fn a_page_is_complete_at_any_time_and_the_last_word_is_in_it() {
        let path = format!("pipewatch-page-{}.html", std::process::id());
        let path = std::env::temp_dir().join(path);
        let mut page = PageFile::create(&path).expect("a file");
        // As if it had been longer before.
        fs::write(&path, "x".repeat(1 << 20)).expect("room");
        tell(&mut page);
        let text = || fs::read_to_string(&path).expect("a page");
        assert!(text().ends_with("</html>") && text().contains("kprobe"));
        assert!(!text().contains("77 events"), "put off");
        drop(page);
        assert!(text().ends_with("</html>") && text().contains("77 events"));
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(&path).expect("a file");
    }

    #[test]
    fn a_pipe_gets_the_page_once() {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let mut page = PageFile::create(path.as_ref()).expect("the pipe");
        drop(writer);
        tell(&mut page);
        drop(page);
        let mut text = String::new();
        let read = File::from(reader).read_to_string(&mut text);
        read.expect("a page");
        assert_eq!(text.matches("<!DOCTYPE html>").count(), 1);
        assert!(text.contains("77 events"));
    }
}
