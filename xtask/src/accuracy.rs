//! `cargo xtask accuracy`: enacts every shape, and writes what was said of each
//! into docs/accuracy.md.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::test::{self, PACKAGE, SHAPES};
use crate::workspace::{self, Workspace};
use crate::{exec, frame};

/// The frame that the test prints, and that the document has.
const FRAME: &str = "accuracy";

/// Runs the test of the shapes; the document is written even if one was told
/// wrong, which is an error all the same.
pub fn run(workspace: &Workspace) -> Result<()> {
    test::prepare_shapes(workspace, "accuracy")?;
    let mut test = workspace.cargo();
    test.args(["test", "--package", PACKAGE, "--test", SHAPES]);
    test.args(["--", "--nocapture"]);
    let output = test
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", exec::name(&test)))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let found = frame::find(&printed, FRAME)
        .with_context(|| format!("{} ended without a table", exec::name(&test)))?;

    let path = workspace.root.join("docs/accuracy.md");
    let document = workspace::read(&path)?;
    let document = frame::replace(&document, FRAME, found)
        .with_context(|| format!("{} lacks the lines that frame the table", path.display()))?;
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("accuracy: {}", found.lines().next().unwrap_or_default());
    eprintln!("accuracy: wrote {}", path.display());
    if !output.status.success() {
        bail!("not every shape was told right");
    }
    Ok(())
}
