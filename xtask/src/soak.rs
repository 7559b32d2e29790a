//! `cargo xtask soak`: what takes minutes to show, written into docs/reliability.md.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Need};
use crate::workspace::{self, Workspace};
use crate::{ebpf, exec, frame};

/// What enacts the shapes.
const TOOLS: [Need; 9] = [
    ("bash", "bash"),
    ("git", "git"),
    ("java", "default-jdk-headless"),
    ("make", "make"),
    ("node", "nodejs"),
    ("perl", "perl"),
    ("python3", "python3"),
    ("tmux", "tmux"),
    ("unshare", "util-linux"),
];

/// Runs it; the document is written even if something went wrong.
pub fn run(workspace: &Workspace, minutes: u32) -> Result<()> {
    packages::provide("soak", TOOLS.iter())?;
    ebpf::ensure(workspace)?;
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--package", "pipewatch"]);
    exec::run(build.args(["--package", "pipewatch-tests"]))?;
    let release = workspace.target.join("release");
    let soak = |args: &[&str]| -> Result<Command> {
        let mut soak = exec::as_root(release.join("soak"))?;
        soak.env("PIPEWATCH_BIN", release.join("pipewatch"));
        soak.args(args).stderr(Stdio::inherit());
        Ok(soak)
    };
    let path = workspace.root.join("docs/reliability.md");
    let mut failed = Vec::new();
    for mut part in [soak(&["losses"])?, soak(&["load", &minutes.to_string()])?] {
        eprintln!("soak: {}", exec::name(&part));
        let output = part
            .output()
            .with_context(|| format!("cannot start {}", exec::name(&part)))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let document = frame::renew(&workspace::read(&path)?, &printed)
            .with_context(|| format!("cannot renew {}", path.display()))?;
        fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
        print!("{printed}");
        if !output.status.success() {
            failed.push(exec::name(&part));
        }
    }
    eprintln!("soak: wrote {}", path.display());
    if !failed.is_empty() {
        bail!("{} failed", failed.join(" and "));
    }
    Ok(())
}
