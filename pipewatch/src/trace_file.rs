//! Traces: all that the engine was told in a run, so that it can be told again.
//! One JSON object per line, the first of which describes the run.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
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
            .map_err(std::io::Error::from)
            .and_then(|()| self.to.write_all(b"\n"));
        written.map_err(|error| cannot_write(&self.path, &error))
    }
}

/// A trace that cannot be created or written.
pub fn cannot_write(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(
        format!("cannot write the trace {}: {error}", path.display()),
        "name a new file, in a folder that exists, is writable and has space left",
    )
}

/// A trace that was read.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What the run was like.
    pub header: Header,
    /// What came then.
    pub entries: Vec<Entry>,
    /// It breaks off: pipewatch was killed before it had written the end.
    pub cut: bool,
}

/// Reads a trace.
///
/// # Errors
///
/// There is no such file, or it is no trace.
pub fn read(path: &Path) -> Result<Trace, Problem> {
    let failed = |what: String| {
        Problem::new(
            format!("cannot read the trace {}: {what}", path.display()),
            "a trace is what `pipewatch --record FILE` wrote, by this version of pipewatch",
        )
    };
    let unreadable = |error: std::io::Error| Problem {
        hint: "is the name right, and may you read it?".to_owned(),
        ..failed(error.to_string())
    };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut first = String::new();
    // What is no trace may have no line end for long, or ever.
    let read = file.by_ref().take(HEADER).read_line(&mut first);
    read.map_err(|error| failed(error.to_string()))?;
    if first.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    let header: Header =
        serde_json::from_str(&first).map_err(|error| failed(format!("line 1: {error}")))?;
    let lines = file.lines();
    if header.trace != FORMAT {
        return Err(failed(format!(
            "its format is {}, not {FORMAT}",
            header.trace
        )));
    }
    let mut trace = Trace {
        header,
        entries: Vec::new(),
        cut: false,
    };
    let mut bad = None;
    for (number, line) in (2..).zip(lines) {
        let line = line.map_err(|error| failed(format!("line {number}: {error}")))?;
        if let Some(problem) = bad {
            return Err(problem);
        }
        match serde_json::from_str(&line) {
            Ok(entry) => trace.entries.push(entry),
            Err(error) => bad = Some(failed(format!("line {number}: {error}"))),
        }
    }
    trace.cut = !matches!(trace.entries.last(), Some(Entry::Stopped(_)));
    Ok(trace)
}
