//! `cargo xtask fuzz`: whatever reads bytes that somebody may have made up is given
//! bytes that libFuzzer makes up.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::exec;
use crate::workspace::Workspace;

/// The package of the targets, whose folder has a corpus for each.
const PACKAGE: &str = "pipewatch-fuzz";

/// What is told where to go is compiled to be quick, all else as for the tests.
const QUICK: [&str; 2] = [
    "profile.dev.package.pipewatch.opt-level=2",
    "profile.dev.package.pipewatch-fuzz.opt-level=2",
];

/// An input that takes longer hangs, in seconds.
const PATIENCE: u32 = 60;
/// One that takes more memory is not handled in bounds, in MiB.
const MEMORY: u32 = 1024;
/// The longest input, in bytes.
const LONGEST: u32 = 1 << 16;

/// What is fuzzed, and for how long.
#[derive(Args)]
pub struct Options {
    /// What is fuzzed, by the names of folders in tests/fuzz/corpus; all of it if none is named
    targets: Vec<String>,
    /// How long each is fuzzed, its corpus included, in seconds
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Add to the corpus what has been found to reach other code, and drop from it what does not
    #[arg(long)]
    keep: bool,
}

/// Fuzzes target by target, up to the first that fails.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let folder = workspace.root.join("tests/fuzz");
    let corpora = folder.join("corpus");
    let targets = names(&corpora, &options.targets)?;
    let fuzzer = build(workspace)?;
    for name in &targets {
        let target = Target {
            name,
            fuzzer: &fuzzer,
            corpus: corpora.join(name),
            dictionary: folder.join(format!("{name}.dict")),
            found: workspace.target.join("fuzz").join(name),
        };
        target.fuzz(options.seconds)?;
        if options.keep {
            target.keep()?;
        }
    }
    Ok(())
}

/// The targets that are wanted.
fn names(corpora: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(corpora).with_context(|| format!("cannot list {}", corpora.display()))?;
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", corpora.display()))?;
        all.push(entry.file_name().to_string_lossy().into_owned());
    }
    all.sort();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no target {unknown}\nhint: there are {}",
            all.join(", ")
        );
    }
    Ok(if wanted.is_empty() {
        all
    } else {
        wanted.to_vec()
    })
}

/// Builds the fuzzer, which is one program for all targets.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    if !["c++", "g++", "clang++"]
        .into_iter()
        .any(exec::is_installed)
    {
        bail!("libFuzzer takes a C++ compiler, and there is no c++\nhint: Debian's package is g++");
    }
    let mut cargo = workspace.cargo();
    cargo
        .args(["build", "--package", PACKAGE, "--bin", "fuzz"])
        .args(["--features", "libfuzzer"])
        .args(QUICK.iter().flat_map(|setting| ["--config", setting]))
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            workspace.root.join("tests/fuzz/coverage.sh"),
        );
    exec::run(&mut cargo)?;
    Ok(workspace.target.join("debug/fuzz"))
}

struct Target<'a> {
    name: &'a str,
    fuzzer: &'a Path,
    /// What is committed.
    corpus: PathBuf,
    /// Words that inputs are made of, if they are made of words.
    dictionary: PathBuf,
    /// Where inputs are kept that reach other code, and those that fail.
    found: PathBuf,
}

impl Target<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(self.fuzzer);
        command
            .env("FUZZ_TARGET", self.name)
            .arg(format!("-timeout={PATIENCE}"))
            // A machine that stands still for a moment is no fault of an input.
            .arg(format!("-report_slow_units={PATIENCE}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-artifact_prefix={}/", self.found.display()));
        command
    }

    /// Runs it on its corpus and on what the fuzzer makes of that.
    fn fuzz(&self, seconds: u32) -> Result<()> {
        let kept = self.found.join("corpus");
        fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1")
            .args([&kept, &self.corpus])
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if self.dictionary.is_file() {
            command.arg(format!("-dict={}", self.dictionary.display()));
        }
        let told = Told::of(&mut command)?;
        if let Some(input) = told.failed_on {
            bail!(
                "{} fails on {input}\n{}\nhint: to see it again, run FUZZ_TARGET={} {} {input}",
                self.name,
                told.failure,
                self.name,
                self.fuzzer.display(),
            );
        }
        if !told.ended_well {
            bail!("{} failed:\n{}", exec::name(&command), told.failure);
        }
        eprintln!(
            "fuzz: {}: {} inputs, {} places in the code reached, none failed",
            self.name, told.runs, told.places
        );
        Ok(())
    }

    /// Renews the corpus: the fewest inputs that reach all that any has reached.
    fn keep(&self) -> Result<()> {
        let merged = self.found.join("merged");
        let _ = fs::remove_dir_all(&merged);
        fs::create_dir_all(&merged)
            .with_context(|| format!("cannot create {}", merged.display()))?;
        let mut command = self.command();
        // How often a place is reached tells little that a place does not.
        command
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .args([&merged, &self.corpus, &self.found.join("corpus")])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        exec::run(&mut command)?;
        fs::remove_dir_all(&self.corpus)
            .with_context(|| format!("cannot replace {}", self.corpus.display()))?;
        exec::run(Command::new("cp").arg("-r").args([&merged, &self.corpus]))
    }
}

/// What the fuzzer told on its way.
#[derive(Default)]
struct Told {
    runs: String,
    places: String,
    failed_on: Option<String>,
    /// What it said when it failed.
    failure: String,
    ended_well: bool,
}

impl Told {
    fn of(command: &mut Command) -> Result<Self> {
        let name = exec::name(command);
        let mut fuzzer = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut told = Self::default();
        for line in fuzzer
            .stderr
            .take()
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines)
        {
            told.read(&line.with_context(|| format!("cannot read what {name} says"))?);
        }
        let status = fuzzer
            .wait()
            .with_context(|| format!("cannot wait for {name}"))?;
        told.ended_well = status.success();
        Ok(told)
    }

    fn read(&mut self, line: &str) {
        let word_after = |label: &str| {
            let (_, rest) = line.split_once(label)?;
            rest.split_whitespace().next().map(str::to_owned)
        };
        if let Some(runs) = word_after("stat::number_of_executed_units:") {
            self.runs = runs;
        } else if let Some(places) = word_after(" cov: ") {
            self.places = places;
        } else if let Some(input) = word_after("Test unit written to ") {
            self.failed_on = Some(input);
        } else if !line.starts_with(['#', '\t']) && !line.starts_with("INFO:") {
            self.failure.push_str(line);
            self.failure.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_says_is_understood() {
        let mut told = Told::default();
        for line in [
            "INFO: Seed: 1",
            "#2\tINITED cov: 41 ft: 42 corp: 1/1b exec/s: 0 rss: 29Mb",
            "#8\tNEW    cov: 43 ft: 44 corp: 2/3b lim: 4 exec/s: 0 rss: 29Mb",
            "thread 'main' panicked at src/lib.rs:1:1",
            "stat::number_of_executed_units: 77",
            "artifact_prefix='x/'; Test unit written to x/crash-1",
        ] {
            told.read(line);
        }
        assert_eq!((told.runs.as_str(), told.places.as_str()), ("77", "43"));
        assert_eq!(told.failed_on.as_deref(), Some("x/crash-1"));
        assert!(told.failure.starts_with("thread 'main' panicked"));
    }
}
