//! What is tested and what tests it, as programs that need no library.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::arch::Arch;
use super::cross::Cross;
use crate::test::PACKAGE;
use crate::workspace::Workspace;
use crate::{exec, release};

/// The test binary.
const TESTS: &str = "live";

/// The programs, as files.
pub struct Programs {
    /// The tool, the scenarios, the measurements, and the tests.
    pub files: Vec<(&'static str, PathBuf)>,
}

/// Builds them.
pub fn build(workspace: &Workspace, arch: &Arch, cross: Option<&Cross>) -> Result<Programs> {
    let cargo = |args: &[&str]| release::cargo(workspace, arch, cross, args);
    exec::run(&mut cargo(&["build", "--package", "pipewatch"])?)?;
    let mut tests = cargo(&["test", "--package", PACKAGE, "--test", TESTS])?;
    tests.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let built = exec::output(&mut tests)?;
    let live = built
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == TESTS)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("{} did not tell what it built", exec::name(&tests)))?;
    let bin = release::programs(workspace, arch);
    Ok(Programs {
        files: vec![
            ("pipewatch", bin.join("pipewatch")),
            ("scenario", bin.join("scenario")),
            ("bench", bin.join("bench")),
            (TESTS, live),
        ],
    })
}

/// The names of all tests, which must be built for this machine.
pub fn tests(programs: &Programs) -> Result<Vec<String>> {
    let mut files = programs.files.iter();
    let (_, live) = files
        .find(|(name, _)| *name == TESTS)
        .context("the tests were not built")?;
    let mut list = Command::new(live);
    let listed = exec::output(
        list.args(["--list", "--format", "terse"])
            .stdin(Stdio::null()),
    )?;
    let tests: Vec<String> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test").map(str::to_owned))
        .collect();
    if tests.is_empty() {
        bail!("{} named no test", exec::name(&list));
    }
    Ok(tests)
}
