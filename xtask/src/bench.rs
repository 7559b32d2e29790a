//! `cargo xtask bench`: measures what pipewatch costs, and writes the tables into
//! docs/performance.md.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::packages::{self, Need};
use crate::vm::instructions;
use crate::workspace::{self, Workspace};
use crate::{ebpf, exec, frame};

/// What else one would take, which is measured beside it.
const TOOLS: [Need; 4] = [
    ("strace", "strace"),
    ("bpftrace", "bpftrace"),
    ("lsof", "lsof"),
    ("lsfd", "util-linux"),
];

/// What the test programs measure, on this machine, as root.
const LIVE: [&str; 6] = [
    "operations",
    "probes",
    "host",
    "latency",
    "resources",
    "storm",
];
const ENGINE: &str = "engine";
const INSTRUCTIONS: &str = "instructions";

/// All that can be named.
pub const NAMES: [&str; 8] = {
    let [a, b, c, d, e, f] = LIVE;
    [a, b, c, d, e, f, ENGINE, INSTRUCTIONS]
};

/// Measures all of it, or what is named.
pub fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    ebpf::ensure(workspace)?;
    let is_wanted = |name: &&str| names.is_empty() || names.iter().any(|named| named == name);
    if is_wanted(&ENGINE) {
        write(workspace, &framed(ENGINE, &engine(workspace)?))?;
    }
    if is_wanted(&INSTRUCTIONS) {
        let tables = instructions::count(workspace)?;
        write(workspace, &framed(INSTRUCTIONS, &tables))?;
    }
    let live: Vec<&str> = LIVE.into_iter().filter(|name| is_wanted(name)).collect();
    if live.is_empty() {
        return Ok(());
    }
    packages::provide("bench", TOOLS.iter())?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--package", "pipewatch"]);
    exec::run(build.args(["--package", "pipewatch-tests"]))?;

    let release = workspace.target.join("release");
    let mut bench = exec::as_root(release.join("bench"))?;
    bench.env("PIPEWATCH_BIN", release.join("pipewatch"));
    let output = bench
        .args(live)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", exec::name(&bench)))?;
    write(workspace, &String::from_utf8_lossy(&output.stdout))?;
    if !output.status.success() {
        bail!("{} failed: {}", exec::name(&bench), output.status);
    }
    Ok(())
}

/// Writes what is framed in `printed` into the document.
fn write(workspace: &Workspace, printed: &str) -> Result<()> {
    let path = workspace.root.join("docs/performance.md");
    let document = frame::renew(&workspace::read(&path)?, printed)
        .with_context(|| format!("cannot renew {}", path.display()))?;
    print!("{printed}");
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("bench: wrote {}", path.display());
    Ok(())
}

fn framed(name: &str, table: &str) -> String {
    format!("<!-- bench {name}: begin -->\n{table}<!-- bench {name}: end -->\n")
}

/// Runs the benchmarks of the engine, and tells the medians that they have written down.
fn engine(workspace: &Workspace) -> Result<String> {
    let mut bench = workspace.cargo();
    bench.args(["bench", "--package", "pipewatch", "--bench", ENGINE]);
    let results = workspace.target.join("criterion");
    exec::run(bench.env("CRITERION_HOME", &results))?;
    let mut table = "| events before | for each event more |\n|---|---|\n".to_owned();
    for (history, median) in medians(&results.join(ENGINE))? {
        table += &format!("| {history} | {median:.0} ns |\n");
    }
    for (group, head) in [
        (
            "judgement",
            "| holders of the pipe | to judge one read, for each holder |",
        ),
        (
            "pool",
            "| workers that all read a pipe and hold it | to judge all reads, for each |",
        ),
    ] {
        table += &format!("\n{head}\n|---|---|\n");
        for (processes, median) in medians(&results.join(group))? {
            table += &format!("| {processes} | {:.0} ns |\n", median / processes as f64);
        }
    }
    Ok(table)
}

/// The medians of a group of benchmarks that are named by numbers, in the order of these.
fn medians(folder: &Path) -> Result<Vec<(u64, f64)>> {
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {folder:?}"))? {
        let entry = entry.context("cannot list the results")?;
        let path = entry.path().join("new/estimates.json");
        if let Ok(number) = entry.file_name().to_string_lossy().parse::<u64>() {
            let estimates: Value = serde_json::from_str(&workspace::read(&path)?)
                .with_context(|| format!("{} is not valid", path.display()))?;
            let median = estimates["median"]["point_estimate"].as_f64();
            let median = median.with_context(|| format!("{} has no median", path.display()))?;
            rows.push((number, median));
        }
    }
    rows.sort_by_key(|(number, _)| *number);
    Ok(rows)
}
