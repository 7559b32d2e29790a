//! `cargo xtask ci`: everything a change must pass, in the order of cost.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::fs::statvfs;

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
    &["xtask", "fuzz", "--seconds", "6"],
    &["xtask", "dist", "--deb-only", "--check"],
    &["xtask", "vm", "--ci"],
];

/// Nothing is built twice here, so what makes that faster is not worth its room.
const ENVIRONMENT: [(&str, &str); 2] = [("CI", "true"), ("CARGO_INCREMENTAL", "0")];

/// What all of them write in a fresh clone, with what is fetched, in bytes, and
/// some more.
const ROOM: u64 = 8 << 30;

/// Runs the steps up to the first that fails.
pub fn run(workspace: &Workspace) -> Result<()> {
    require_room(workspace)?;
    let begin = Instant::now();
    for (number, step) in STEPS.iter().enumerate() {
        let title = format!("{}/{}: cargo {}", number + 1, STEPS.len(), step.join(" "));
        eprintln!("ci {title}");
        let begin = Instant::now();
        exec::run(workspace.cargo().args(*step).envs(ENVIRONMENT))
            .with_context(|| format!("ci stopped at {title}"))?;
        eprintln!(
            "ci {title}: passed in {:.1} s",
            begin.elapsed().as_secs_f32()
        );
    }
    eprintln!("ci: all passed in {:.1} s", begin.elapsed().as_secs_f32());
    Ok(())
}

/// Programs that find the device full fail in odd ways, or not at all.
fn require_room(workspace: &Workspace) -> Result<()> {
    let root = &workspace.root;
    let room = statvfs(root).with_context(|| format!("cannot look at {}", root.display()))?;
    let free = room.f_bavail * room.f_frsize;
    if free < ROOM {
        bail!(
            "{} MiB are free on the device of {}, and all steps need {}\n\
             hint: remove what other clones have built (cargo clean)",
            free >> 20,
            root.display(),
            ROOM >> 20
        );
    }
    Ok(())
}
