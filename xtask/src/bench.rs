//! `cargo xtask bench`: measures what pipewatch costs, and writes the tables into
//! docs/performance.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::packages::{self, Need};
use crate::workspace::{self, Workspace};
use crate::{ebpf, exec, frame};

/// What else one would take, which is measured beside it.
const TOOLS: [Need; 4] = [
    ("strace", "strace"),
    ("bpftrace", "bpftrace"),
    ("lsof", "lsof"),
    ("lsfd", "util-linux"),
];

/// Measures all of it, or what is named.
pub fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    packages::provide("bench", TOOLS.iter())?;
    ebpf::ensure(workspace)?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--package", "pipewatch"]);
    exec::run(build.args(["--package", "pipewatch-tests"]))?;

    let release = workspace.target.join("release");
    let mut bench = exec::as_root(release.join("bench"))?;
    bench.env("PIPEWATCH_BIN", release.join("pipewatch"));
    let output = bench
        .args(names)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", exec::name(&bench)))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let path = workspace.root.join("docs/performance.md");
    let document = frame::renew(&workspace::read(&path)?, &printed)
        .with_context(|| format!("cannot renew {}", path.display()))?;
    print!("{printed}");
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("bench: wrote {}", path.display());
    if !output.status.success() {
        bail!("{} failed: {}", exec::name(&bench), output.status);
    }
    Ok(())
}
