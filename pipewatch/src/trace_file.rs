//! Traces: all that the engine was told in a run, so that it can be told again.
//! One JSON object per line, the first of which describes the run.

use std::{
    collections::BTreeMap,
    fmt::Display,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    finding::{Lost, Started, Stopped},
    ids::{Fd, ProcKey, Tid},
    input::Input,
    language::Language,
    problem::Problem,
    rules::Rules,
    stack::Sight,
};

/// How long the first line may be, in bytes.
const HEADER: u64 = 1 << 16;
/// How long any other line may be, in bytes: a look at a million descriptors.
const LONGEST_LINE: u64 = 1 << 28;
/// How long a trace may be that does not come from a file, in bytes.
const LONGEST_PIPED: u64 = 1 << 30;
/// Name and version of the format.
const FORMAT: &str = "pipewatch-trace/1";

/// What a run was like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    trace: String,
    /// Wall clock at the kernel clock's zero, nanoseconds since 1970 UTC.
    pub boot: u64,
    /// What was to be reported.
    pub rules: Rules,
}

impl Header {
    /// Of a run that begins.
    pub fn new(boot: u64, rules: Rules) -> Self {
        Self {
            trace: FORMAT.to_owned(),
            boot,
            rules,
        }
    }
}

/// A line after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The run's first report.
    Started(Started),
    /// What the engine was told.
    Input(Input),
    /// Events were lost.
    Lost(Lost),
    /// The command line of a process that a report names.
    Cmdline {
        /// Which.
        process: ProcKey,
        /// Its words.
        words: Vec<String>,
    },
    /// The control group of a process that a report names.
    Cgroup {
        /// Which.
        process: ProcKey,
        /// Its path.
        path: String,
    },
    /// The path of a FIFO that a report names.
    Path {
        /// Of which process.
        process: ProcKey,
        /// Which descriptor.
        fd: Fd,
        /// Where.
        path: String,
    },
    /// What a program is written in that a report has advice for.
    Language {
        /// Of which process.
        process: ProcKey,
        /// What.
        language: Language,
    },
    /// What was found out for a report of a hang.
    Sight(Sight),
    /// The run's last report.
    Stopped(Stopped),
}

/// A trace that is being written.
pub struct Writer {
    path: PathBuf,
    to: BufWriter<File>,
    /// The sleep that was last written of each thread, since the last look. After
    /// that it may have to be told again: its thread may have been thought to
    /// wait elsewhere.
    sleeps: BTreeMap<Tid, u64>,
}

impl Writer {
    /// Begins a trace in a new file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn new(path: &Path, file: File, header: &Header) -> Result<Self, Problem> {
        let mut writer = Self {
            path: path.to_owned(),
            to: BufWriter::new(file),
            sleeps: BTreeMap::new(),
        };
        writer.line(header)?;
        Ok(writer)
    }

    /// Adds a line. A sleep that was written already is left out.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&mut self, entry: &Entry) -> Result<(), Problem> {
        if let Entry::Input(Input::Sleeping { actor, sleep, .. }) = entry
            && self.sleeps.insert(actor.tid, sleep.nvcsw) == Some(sleep.nvcsw)
        {
            return Ok(());
        }
        if matches!(entry, Entry::Input(Input::Look { .. })) {
            self.sleeps.clear();
        }
        self.line(entry)
    }

    /// Writes out what is still in memory.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn flush(&mut self) -> Result<(), Problem> {
        self.to
            .flush()
            .map_err(|error| cannot_write(&self.path, &error))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), Problem> {
        let written = serde_json::to_writer(&mut self.to, line)
            .map_err(io::Error::from)
            .and_then(|()| self.to.write_all(b"\n"));
        written.map_err(|error| cannot_write(&self.path, &error))
    }
}

/// A trace that cannot be created or written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Problem {
    Problem::new(
        format!("cannot write the trace {}: {error}", path.display()),
        "name a new file, in a folder that exists, is writable and has space left",
    )
}

/// What a trace is read from, which is done twice.
pub trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// A trace that is read, entry by entry: it may be longer than there is memory.
pub struct Trace {
    /// What the run was like.
    pub header: Header,
    path: PathBuf,
    from: BufReader<Box<dyn Source>>,
    /// Where the entries begin.
    begin: u64,
    /// The number of the last line that was read.
    number: u64,
}

impl Trace {
    /// Opens a trace.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is no trace.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let unreadable = |error: io::Error| Problem {
            hint: "is the name right, and may you read it?".to_owned(),
            ..cannot_read(path, &error)
        };
        let mut file = File::open(path).map_err(unreadable)?;
        if file.stream_position().is_ok() {
            return Self::new(path, Box::new(file));
        }
        // A pipe can be read only once.
        let mut bytes = Vec::new();
        let read = file.take(LONGEST_PIPED + 1).read_to_end(&mut bytes);
        read.map_err(unreadable)?;
        if bytes.len() as u64 > LONGEST_PIPED {
            return Err(Problem {
                hint: "write it into a file first".to_owned(),
                ..cannot_read(path, &"it is too long to be read from a pipe")
            });
        }
        Self::new(path, Box::new(Cursor::new(bytes)))
    }

    /// The trace in these bytes; `path` is for errors.
    ///
    /// # Errors
    ///
    /// It is no trace.
    pub fn new(path: &Path, from: Box<dyn Source>) -> Result<Self, Problem> {
        let mut from = BufReader::new(from);
        let mut first = Vec::new();
        // What is no trace may have no line end for long, or ever.
        let read = from.by_ref().take(HEADER).read_until(b'\n', &mut first);
        read.map_err(|error| cannot_read(path, &error))?;
        if first.is_empty() {
            return Err(cannot_read(path, &"it is empty"));
        }
        let header: Header = serde_json::from_slice(&first)
            .map_err(|error| cannot_read(path, &format_args!("line 1: {error}")))?;
        if header.trace != FORMAT {
            let other = format!("its format is {}, not {FORMAT}", header.trace);
            return Err(cannot_read(path, &other));
        }
        Ok(Self {
            header,
            path: path.to_owned(),
            from,
            begin: first.len() as u64,
            number: 1,
        })
    }

    /// The entries, from the first one on.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn entries(&mut self) -> Result<impl Iterator<Item = Result<Entry, Problem>>, Problem> {
        let sought = self.from.seek(SeekFrom::Start(self.begin));
        sought.map_err(|error| cannot_read(&self.path, &error))?;
        self.number = 1;
        Ok(std::iter::from_fn(|| self.next().transpose()))
    }

    /// The next entry; none at the end, which may be in the midst of a line, since
    /// pipewatch may have been killed.
    fn next(&mut self) -> Result<Option<Entry>, Problem> {
        self.number += 1;
        let number = self.number;
        let failed =
            |what: &dyn Display| cannot_read(&self.path, &format_args!("line {number}: {what}"));
        let mut line = Vec::new();
        let from = self.from.by_ref().take(LONGEST_LINE + 1);
        let read = { from }.read_until(b'\n', &mut line);
        read.map_err(|error| failed(&error))?;
        if line.len() as u64 > LONGEST_LINE {
            return Err(failed(&"it is too long"));
        }
        if line.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => {
                let rest = self.from.fill_buf();
                let is_last = rest.map_err(|error| failed(&error))?.is_empty();
                if is_last {
                    Ok(None)
                } else {
                    Err(failed(&error))
                }
            }
        }
    }
}

fn cannot_read(path: &Path, what: &dyn Display) -> Problem {
    Problem::new(
        format!("cannot read the trace {}: {what}", path.display()),
        "a trace is what `pipewatch --record FILE` wrote, by this version of pipewatch",
    )
}
