//! `cargo xtask run`: build pipewatch, then become it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{ebpf, exec};

/// Replaces this process, so that signals and exit status are pipewatch's own.
pub fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<()> {
    ebpf::ensure(workspace)?;
    let mut build = workspace.cargo();
    exec::run(build.args(["build", "--release", "--package", "pipewatch"]))?;

    let mut pipewatch = exec::as_root(workspace.target.join("release/pipewatch"))?;
    if args.is_empty() {
        pipewatch.arg("demo");
    } else {
        pipewatch.args(args);
    }
    Err(pipewatch.exec()).with_context(|| format!("cannot start {}", exec::name(&pipewatch)))
}
