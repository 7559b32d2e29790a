//! `cargo xtask accuracy`: enacts every shape, and writes what was said of each
//! into docs/accuracy.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::test::{PACKAGE, SHAPES};
use crate::workspace::{self, Workspace};
use crate::{ebpf, exec};

/// What the test prints between these lines goes between them.
const BEGIN: &str = "<!-- accuracy: begin -->\n";
const END: &str = "<!-- accuracy: end -->\n";

/// Runs the test of the shapes; the document is written even if one was told
/// wrong, which is an error all the same.
pub fn run(workspace: &Workspace) -> Result<()> {
    if !geteuid().is_root() {
        bail!(
            "the shapes are watched by BPF, which needs root\nhint: run `cargo xtask accuracy` as root"
        );
    }
    ebpf::ensure(workspace)?;
    exec::run(workspace.cargo().args(["build", "--workspace"]))?;
    let mut test = workspace.cargo();
    test.args(["test", "--package", PACKAGE, "--test", SHAPES]);
    test.args(["--", "--nocapture"]);
    let output = test
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", exec::name(&test)))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let found = between(&printed)
        .with_context(|| format!("{} ended without a table", exec::name(&test)))?;

    let path = workspace.root.join("docs/accuracy.md");
    let document = workspace::read(&path)?;
    let old = between(&document)
        .with_context(|| format!("{} lacks the lines that frame the table", path.display()))?;
    let framed = |table| format!("{BEGIN}{table}{END}");
    fs::write(&path, document.replacen(&framed(old), &framed(found), 1))
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("accuracy: {}", found.lines().next().unwrap_or_default());
    eprintln!("accuracy: wrote {}", path.display());
    if !output.status.success() {
        bail!("not every shape was told right");
    }
    Ok(())
}

/// What stands between the two lines.
fn between(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (inside, _) = rest.split_once(END)?;
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_found_and_its_absence_noticed() {
        let framed = format!("before\n{BEGIN}| a |\n| b |\n{END}after\n");
        assert_eq!(between(&framed), Some("| a |\n| b |\n"));
        assert_eq!(between(&format!("{END}{BEGIN}")), None);
        assert_eq!(between("| a |\n"), None);
    }
}
