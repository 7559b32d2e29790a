//! Nothing is packed that does not run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::exec;
use crate::vm::{Arch, NATIVE};
use crate::workspace::Workspace;

/// A recorded hang, and what is said of it.
const TRACE: (&str, &str) = ("tests/traces/fork-race.trace.gz", "leaked, cause fork-race");

/// Runs a program where there is nothing but itself.
pub fn run(workspace: &Workspace, arch: &Arch, program: &Path) -> Result<()> {
    if !geteuid().is_root() {
        eprintln!("dist: NOT TRIED: {}: chroot takes root", program.display());
        return Ok(());
    }
    let root = tempfile::tempdir().context("cannot make a folder")?;
    let put = |from: &Path, name: &str| {
        fs::copy(from, root.path().join(name))
            .with_context(|| format!("cannot copy {}", from.display()))
    };
    let (trace, expected) = TRACE;
    put(program, "pipewatch")?;
    let mut unpack = Command::new("gzip");
    let trace = exec::output(unpack.args(["-dc"]).arg(workspace.root.join(trace)))?;
    fs::write(root.path().join("trace"), trace).context("cannot write a trace")?;
    let mut command = Command::new("chroot");
    command.arg(root.path());
    if arch.debian != NATIVE.debian {
        put(Path::new("/usr/bin/qemu-aarch64-static"), "qemu")?;
        command.arg("/qemu");
    }
    command.args(["/pipewatch", "replay", "/trace"]);
    let said = exec::output(&mut command)?;
    if !said.contains(expected) {
        bail!("{} did not say `{expected}`:\n{said}", exec::name(&command));
    }
    Ok(())
}

/// Installs a Debian package here, tries what is in it, and purges it.
pub fn install(workspace: &Workspace, deb: &Path) -> Result<()> {
    let mut test = workspace.cargo();
    test.args([
        "test",
        "--package",
        crate::test::PACKAGE,
        "--test",
        "package",
    ])
    .env("PIPEWATCH_DEB", deb);
    exec::run(&mut test)
}
