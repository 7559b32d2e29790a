//! The command line: parsed and checked, nothing done yet.

mod explain;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::{finding::Confidence, metrics, problem::Problem, render, source};

/// What the user wants.
#[derive(Debug, Parser)]
#[command(
    name = "pipewatch",
    version,
    about = "Tells why a read on a pipe does not return: who still holds the write end, and how they came by it",
    override_usage = "pipewatch [OPTIONS] (-p PID)... | --all | -- COMMAND [ARG]...\n       pipewatch snapshot [-p PID]... [--all] [--format text|json] [--html FILE]\n       pipewatch top [-p PID]... [--all]\n       pipewatch release PID FD [--yes] [--force]\n       pipewatch replay FILE [--format text|json] [--html FILE]\n       pipewatch demo [--format text|json] [--html FILE]\n       pipewatch doctor [--format text|json]",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// A subcommand, or none for the main job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of the main job.
    #[command(flatten)]
    pub watch: Watch,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Re-enact a hang in a child, watch it and explain it (about 4 s)
    Demo {
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        format: FormatArg,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        html: HtmlArg,
    },
    /// Look once at what hangs now; exit status 1 if anything does
    Snapshot {
        /// Look at this process and its descendants; repeatable; without it, at every process
        #[arg(short, long = "pid", value_name = "PID", value_parser = pid)]
        #[arg(allow_negative_numbers = true)]
        pids: Vec<u32>,
        /// Look at every process of the host
        #[arg(short, long, conflicts_with = "pids")]
        all: bool,
        /// Also report healthy waits
        #[arg(short, long)]
        verbose: bool,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        backend: BackendArg,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        format: FormatArg,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        html: HtmlArg,
    },
    /// Make a holder close its leaked write end, without ending it; exit status 1 if the read goes
    /// on waiting
    Release {
        /// The holder
        #[arg(value_parser = pid, allow_negative_numbers = true)]
        pid: u32,
        /// Its descriptor
        #[arg(value_parser = fd, allow_negative_numbers = true)]
        fd: u32,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Close it even if its holder may mean to write, or a filter of system calls may kill it
        /// for that
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        backend: BackendArg,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        format: FormatArg,
    },
    /// Show what hangs and what waits, live, on a terminal
    Top {
        /// Watch this process and its descendants; repeatable; without it, every process
        #[arg(short, long = "pid", value_name = "PID", value_parser = pid)]
        #[arg(allow_negative_numbers = true)]
        pids: Vec<u32>,
        /// Watch every process of the host
        #[arg(short, long, conflicts_with = "pids")]
        all: bool,
        /// A wait this long is shown; with end of file withheld, as a hang (250ms, 2s)
        #[arg(short, long, value_name = "DUR", default_value = "1s", value_parser = duration)]
        threshold: Duration,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        backend: BackendArg,
    },
    /// Judge a recorded trace again; needs neither root nor a kernel
    Replay {
        /// What `--record` wrote
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        format: FormatArg,
        #[command(flatten)]
        #[allow(missing_docs, reason = "documented where it is defined")]
        html: HtmlArg,
    },
    /// Tell what works here, what is missing, and what that costs
    Doctor(FormatArg),
    /// The child that the demo watches
    #[command(hide = true)]
    Enact,
}

/// `--format`, which every command has.
#[derive(Clone, Copy, Debug, Args)]
pub struct FormatArg {
    /// Text for a person, or one JSON object per line
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `--html`, for what tells of hangs.
#[derive(Clone, Debug, Args)]
pub struct HtmlArg {
    /// Also write a page with a picture of each hang, for a ticket; needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `--backend`, for what looks at the host.
#[derive(Clone, Copy, Debug, Args)]
pub struct BackendArg {
    /// How descriptors are followed: by one of three kinds of probes in the kernel, or by looking
    /// into /proc; auto is the first that works
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: Backend,
}

/// Options of the main job.
#[derive(Debug, Args)]
pub struct Watch {
    /// Watch this process, its descendants of now and all later ones; repeatable; a thread id
    /// stands for its process
    #[arg(short, long = "pid", value_name = "PID", value_parser = pid)]
    #[arg(allow_negative_numbers = true)]
    pub pids: Vec<u32>,
    /// Watch every process of the host
    #[arg(short, long, conflicts_with = "pids")]
    pub all: bool,
    /// A wait this long with end of file withheld is a hang (250ms, 2s)
    #[arg(short, long, value_name = "DUR", default_value = "1s", value_parser = duration)]
    pub threshold: Duration,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented where it is defined")]
    pub format: FormatArg,
    /// Write reports there, not to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented where it is defined")]
    pub html: HtmlArg,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented where it is defined")]
    pub backend: BackendArg,
    /// Record where in the programs it happened
    #[arg(long, value_enum, default_value = "auto")]
    pub stacks: Stacks,
    /// A report waits this long for its stacks; a busy host may need more
    #[arg(long, value_name = "DUR", default_value = "300ms", value_parser = duration)]
    pub stack_wait: Duration,
    /// Memory for events between the kernel and pipewatch (64KiB, 16MiB)
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = buffer_size)]
    pub buffer: u32,
    /// Report hangs from this confidence on
    #[arg(long, value_enum, value_name = "CONFIDENCE", default_value = "likely")]
    pub min_confidence: MinConfidence,
    /// Also report healthy waits (twice: also what the probes log)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Stop after this long; a COMMAND goes on
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Also write a trace, which `pipewatch replay` reads
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Serve metrics for Prometheus there, at /metrics; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "ADDR:PORT", value_parser = metrics::address)]
    pub metrics: Option<SocketAddr>,
    /// Stop at the first hang, with exit status 1; a COMMAND is sent SIGTERM
    #[arg(long)]
    pub exit_on_hang: bool,
    /// No status line on a terminal
    #[arg(long)]
    pub no_status: bool,
    /// Start COMMAND and watch it from its first instruction until it ends; its output and the
    /// reports share standard output unless --output parts them
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["pids", "all"])]
    pub run: Vec<OsString>,
}

/// `PID_MAX_LIMIT` of `include/linux/threads.h` on 64 bit.
const PID_MAX: u32 = 1 << 22;

fn pid(text: &str) -> Result<u32, Problem> {
    let pid = text.parse().ok().filter(|pid| (1..=PID_MAX).contains(pid));
    pid.ok_or_else(|| {
        let message = format!("a process id is a number from 1 to {PID_MAX}");
        Problem::new(message, "`pgrep -af NAME` lists processes by name")
    })
}

fn fd(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| {
        let hint = "`pipewatch snapshot` names those that keep a read from ending";
        Problem::new("a descriptor is a number from 0 on", hint)
    })
}

/// Values of `--format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Format {
    Text,
    Json,
}

impl From<Format> for render::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

/// Values of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Backend {
    Auto,
    Fentry,
    Kprobe,
    Tracepoint,
    Procfs,
}

impl From<Backend> for source::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Fentry => Self::Fentry,
            Backend::Kprobe => Self::Kprobe,
            Backend::Tracepoint => Self::Tracepoint,
            Backend::Procfs => Self::Procfs,
        }
    }
}

/// Values of `--stacks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stacks {
    Auto,
    Off,
}

/// Values of `--min-confidence`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum MinConfidence {
    Likely,
    Certain,
}

impl From<MinConfidence> for Confidence {
    fn from(confidence: MinConfidence) -> Self {
        match confidence {
            MinConfidence::Likely => Self::Likely,
            MinConfidence::Certain => Self::Certain,
        }
    }
}

fn duration(text: &str) -> Result<Duration, Problem> {
    use humantime::DurationError;
    let problem = |message: &str| Problem::new(message, "write it like 250ms, 2s or 1m");
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        DurationError::Empty => problem("it is empty"),
        DurationError::UnknownUnit { unit, .. } if unit.is_empty() => Problem::new(
            "it lacks a unit",
            format!("for seconds write {}s", text.trim()),
        ),
        DurationError::UnknownUnit { unit, .. } => problem(&format!("{unit} is no unit of time")),
        DurationError::NumberOverflow => problem("it is too long"),
        DurationError::InvalidCharacter(_) | DurationError::NumberExpected(_) => {
            problem("it is no duration")
        }
    })?;
    if duration < Duration::from_millis(1) {
        return Err(problem("it must be at least 1ms"));
    }
    Ok(duration)
}

/// A power of two from a page on, as the kernel wants a ring buffer to be.
fn buffer_size(text: &str) -> Result<u32, Problem> {
    const SIZES: std::ops::RangeInclusive<u64> = 1 << 12..=1 << 30;
    let problem = || {
        let message = "it must be a power of two from 4KiB to 1024MiB";
        Problem::new(message, "write it like 64KiB or 16MiB")
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(problem()),
    };
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    let size = size.filter(|size| SIZES.contains(size) && size.is_power_of_two());
    size.and_then(|size| u32::try_from(size).ok())
        .ok_or_else(problem)
}

/// What parsing came to.
#[derive(Debug)]
pub enum Parsed {
    /// Something to do.
    Do(Box<Cli>),
    /// Help or version, to be printed.
    Print(clap::Error),
    /// No arguments at all: the usage, to be printed as an error.
    Usage(String),
}

/// Parses the arguments, the program's name first.
///
/// # Errors
///
/// They make no sense; the problem says which and why.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, Problem> {
    let arguments: Vec<OsString> = arguments.collect();
    let mut command = Cli::command();
    if arguments.len() <= 1 {
        let usage = command.render_usage();
        return Ok(Parsed::Usage(format!(
            "{usage}\n\nTry `pipewatch demo`, or `pipewatch --help`."
        )));
    }
    let parsed = command
        .try_get_matches_from_mut(&arguments)
        .and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => return Ok(Parsed::Print(error)),
        Err(error) => return Err(explain::explain(&error, &arguments, &command)),
    };
    let watch = &cli.watch;
    if cli.command.is_none() && watch.pids.is_empty() && !watch.all && watch.run.is_empty() {
        return Err(Problem::new(
            "nothing to watch was given",
            "name a process (-p PID), all of them (--all), or a command to start (-- COMMAND)",
        ));
    }
    Ok(Parsed::Do(Box::new(cli)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Parsed, Problem> {
        parse(
            std::iter::once("pipewatch")
                .chain(words.split_whitespace())
                .map(OsString::from),
        )
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn good_ones() {
        for words in [
            "-p 1",
            "-p 1 --pid 2",
            "--all -t 250ms",
            "-a --format json -v",
            "-- sleep 1",
            "-a --buffer 16MiB",
            "--exit-on-hang -- make -j4 test",
            "demo",
            "doctor --format json",
            "-p 1 --duration 1m",
            "-p 1 --metrics 9750",
            "-a --metrics [::]:9750",
            "snapshot --backend procfs",
            "release 1 4 --yes --force",
            "-a --html page.html",
            "snapshot --html page.html",
            "replay trace --html page.html",
            "top",
            "top -p 1 -p 2 -t 250ms --backend procfs",
            "-p 1 --no-status",
        ] {
            assert!(matches!(parse_words(words), Ok(Parsed::Do(_))), "{words}");
        }
        assert!(matches!(parse_words("--help"), Ok(Parsed::Print(_))));
        assert!(matches!(parse_words("--version"), Ok(Parsed::Print(_))));
        assert!(matches!(parse_words(""), Ok(Parsed::Usage(_))));
    }

    #[test]
    fn a_hint_tells_what_was_perhaps_meant() {
        for (words, hint) in [
            ("1234", "`pipewatch --pid 1234`"),
            ("snapshot 1234", "`pipewatch snapshot --pid 1234`"),
            ("snapshto", "did you mean `pipewatch snapshot`?"),
            ("tpo", "did you mean `pipewatch top`?"),
            ("-p 1 snapshot", "`pipewatch snapshot` has options"),
            ("frobnicate", "`pipewatch -- frobnicate`"),
            ("help", "`pipewatch --help`"),
            ("snapshot --al", "'--all'"),
            (
                "snapshot -t 1s",
                "are --pid, --all, --verbose, --backend, --format, --html",
            ),
            ("demo -p 1", "are --format, --html"),
            ("release 1", "`pipewatch release --help`"),
            ("-p 1 --duration 5", "write 5s"),
            ("-p 1 --duration 5x", "250ms, 2s or 1m"),
            ("-p 1 -t 0", "250ms, 2s or 1m"),
            ("-p x", "pgrep"),
            ("-p -1", "pgrep"),
            ("snapshot -p -1", "pgrep"),
            ("release 1 x", "`pipewatch snapshot`"),
            ("-p 1 --buffer 5", "64KiB"),
            ("-p 1 --metrics localhost", "127.0.0.1:9750"),
        ] {
            let problem = parse_words(words).expect_err(words);
            assert!(problem.hint.contains(hint), "{words}: {problem:?}");
        }
    }

    #[test]
    fn bad_ones_are_one_line_and_a_hint() {
        for words in [
            "-p 0",
            "-p abc",
            "-p 99999999999",
            "-p",
            "-v",
            "-p 1 --all",
            "-p 1 -- true",
            "--all -- true",
            "-p 1 -t 0",
            "-p 1 -t 0s",
            "-p 1 -t soon",
            "-p 1 -t 5",
            "-p 1 --buffer 5KiB",
            "-p 1 --buffer 1KiB",
            "-p 1 --buffer big",
            "-p 1 --buffer 99999999999999999999MiB",
            "-p 1 --metrics localhost",
            "-p 1 --metrics 65536",
            "demo --metrics 9750",
            "--al",
            "frobnicate",
            "demo -p 1",
            "release 1",
            "release 0 4",
            "release 1 -4",
            "top -p 1 --all",
            "top --format json",
        ] {
            let problem = parse_words(words).expect_err(words);
            assert!(
                !problem.message.is_empty() && !problem.message.contains('\n'),
                "{words}: {problem:?}"
            );
            assert!(
                !problem.hint.is_empty() && !problem.hint.contains('\n'),
                "{words}: {problem:?}"
            );
        }
    }
}
