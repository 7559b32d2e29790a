//! `cargo xtask ci`: everything a change must pass, in the order of cost.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::exec;
use crate::workspace::Workspace;

/// What is run, each a cargo command that a person can type as well.
const STEPS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    &["xtask", "tidy"],
    &["xtask", "ebpf", "--verify"],
    &["xtask", "test"],
    &["xtask", "vm", "--ci"],
];

/// Runs the steps up to the first that fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    let begin = Instant::now();
    for (number, step) in STEPS.iter().enumerate() {
        let title = format!("{}/{}: cargo {}", number + 1, STEPS.len(), step.join(" "));
        eprintln!("ci {title}");
        let begin = Instant::now();
        exec::run(workspace.cargo().args(*step).env("CI", "true"))
            .with_context(|| format!("ci stopped at {title}"))?;
        eprintln!(
            "ci {title}: passed in {:.1} s",
            begin.elapsed().as_secs_f32()
        );
    }
    eprintln!("ci: all passed in {:.1} s", begin.elapsed().as_secs_f32());
    Ok(())
}
