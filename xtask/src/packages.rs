//! Programs that a chore calls, from Debian's packages.

use std::process::Command;

use anyhow::{Result, bail};
use rustix::process::geteuid;

use crate::exec;

/// A program, and the package that has it.
pub type Need = (&'static str, &'static str);

/// Installs the packages of those that are missing, where that is permitted.
pub fn provide<'a>(chore: &str, needs: impl Iterator<Item = &'a Need>) -> Result<()> {
    let missing: Vec<&str> = needs
        .filter(|(program, _)| !exec::is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let words = missing.join(" ");
    if !exec::is_installed("apt-get") {
        bail!("not installed: {words}\nhint: these are names of Debian's packages");
    }
    if !geteuid().is_root() {
        bail!("not installed: {words}\nhint: sudo apt-get install {words}");
    }
    eprintln!("{chore}: installing {words}");
    exec::run(Command::new("apt-get").args(["--quiet=2", "update"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]);
    exec::run(install.args(missing))
}
