//! `cargo xtask test`: all tests that can run here, and a word on the others.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{ebpf, exec};

/// The package of the tests that use BPF.
pub const PACKAGE: &str = "pipewatch-tests";
/// The one of its targets that enacts all shapes.
pub const SHAPES: &str = "shapes";
/// All of its targets that use BPF.
const LIVE: &[&str] = &[
    "live",
    "conditions",
    "privileges",
    "fleet",
    "stacks",
    "guide",
    SHAPES,
];

/// How the live tests can be run.
enum Privilege {
    /// As we are.
    Own,
    /// By sudo, which asks no password.
    Sudo,
    /// Not at all, for this reason.
    None(&'static str),
}

/// Runs the tests; `args` go to `cargo test`.
pub fn run(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    ebpf::ensure(workspace)?;
    // The tests start programs of other packages, which `cargo test` alone
    // does not build.
    exec::run(workspace.cargo().args(["build", "--workspace"]))?;

    let result = match privilege() {
        Privilege::Own => exec::run(workspace.cargo().args(["test", "--workspace"]).args(args)),
        Privilege::Sudo => {
            run_all_but_live(workspace, args)?;
            let runner = r#"target."cfg(all())".runner = ["sudo", "-n", "-E"]"#;
            let mut live = workspace.cargo();
            live.args(["test", "--config", runner, "--package", PACKAGE]);
            for target in LIVE {
                live.args(["--test", target]);
            }
            exec::run(live.args(args))
        }
        Privilege::None(reason) => {
            let rest = run_all_but_live(workspace, args);
            for target in LIVE {
                eprintln!(
                    "test: NOT RUN: all tests of `--package {PACKAGE} --test {target}`: {reason}"
                );
            }
            eprintln!("test: hint: run `cargo xtask test` as root");
            rest
        }
    };
    count_shapes(workspace)?;
    result
}

/// Says how much is enacted.
fn count_shapes(workspace: &Workspace) -> Result<()> {
    let mut list = Command::new(workspace.target.join("debug/scenario"));
    let shapes: Vec<Value> = exec::output(list.arg("list"))?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} did not print JSON", exec::name(&list)))?;
    let rows: BTreeSet<&str> = shapes
        .iter()
        .filter_map(|shape| shape["row"].as_str())
        .collect();
    eprintln!(
        "test: {} shapes enact {} rows of docs/accuracy.md",
        shapes.len(),
        rows.len()
    );
    Ok(())
}

/// Builds what enacts the shapes and watches them; `chore` is the command that
/// wants that.
pub fn prepare_shapes(workspace: &Workspace, chore: &str) -> Result<()> {
    if !geteuid().is_root() {
        bail!(
            "the shapes are watched by BPF, which needs root\nhint: run `cargo xtask {chore}` as root"
        );
    }
    ebpf::ensure(workspace)?;
    exec::run(workspace.cargo().args(["build", "--workspace"]))
}

fn privilege() -> Privilege {
    let root = geteuid().is_root();
    // Where everything must be shown, a root that lacks a capability fails.
    let required = env::var_os("CI").is_some_and(|ci| ci == "true");
    if root && (required || may_use_bpf()) {
        Privilege::Own
    } else if root {
        Privilege::None("this root has neither CAP_SYS_ADMIN nor CAP_BPF with CAP_PERFMON")
    } else if exec::answer(Command::new("sudo").args(["-n", "true"])).is_some() {
        Privilege::Sudo
    } else {
        Privilege::None("they use BPF, and this user is not root and has no sudo without password")
    }
}

fn may_use_bpf() -> bool {
    capabilities(None).is_ok_and(|sets| {
        sets.effective.contains(CapabilitySet::SYS_ADMIN)
            || sets
                .effective
                .contains(CapabilitySet::BPF | CapabilitySet::PERFMON)
    })
}

fn run_all_but_live(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    let mut rest = workspace.cargo();
    rest.args(["test", "--workspace", "--exclude", PACKAGE]);
    exec::run(rest.args(args))?;

    let mut package = workspace.cargo();
    package.args(["test", "--package", PACKAGE, "--lib", "--bins"]);
    for target in test_targets(workspace)?
        .iter()
        .filter(|target| !LIVE.contains(&target.as_str()))
    {
        package.args(["--test", target]);
    }
    exec::run(package.args(args))
}

/// The names of the test targets of the tests package.
fn test_targets(workspace: &Workspace) -> Result<Vec<String>> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--no-deps", "--format-version=1"]);
    let metadata: Value = serde_json::from_str(&exec::output(&mut cargo)?)
        .with_context(|| format!("{} did not print JSON", exec::name(&cargo)))?;
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    Ok(list(&metadata, "packages")
        .iter()
        .filter(|package| package["name"] == PACKAGE)
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").iter().any(|kind| kind == "test"))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect())
}
