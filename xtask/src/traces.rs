//! `cargo xtask traces`: enacts every shape under a pipewatch that records what
//! its engine is told, for the test that judges these traces again.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{exec, test};

/// How many are enacted at once.
const AT_ONCE: usize = 4;

/// Records those named, or all.
pub fn run(workspace: &Workspace, names: &[String]) -> Result<()> {
    test::prepare_shapes(workspace, "traces")?;
    let bin = |name| workspace.target.join("debug").join(name);
    let folder = workspace.root.join("tests/traces");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let listed = exec::output(Command::new(bin("scenario")).arg("list"))?;
    let all = listed.lines().filter_map(|line| {
        let shape: Value = serde_json::from_str(line).ok()?;
        Some(shape["name"].as_str()?.to_owned())
    });
    let wanted = all.filter(|name| names.is_empty() || names.contains(name));
    let left = Mutex::new(wanted.collect::<Vec<_>>());
    let next = || left.lock().ok().and_then(|mut left| left.pop());

    // A shim in front of the interpreter would fill the traces with its own
    // processes.
    let python = "import os, sys; print(os.path.dirname(sys.executable))";
    let python = exec::output(Command::new("python3").args(["-c", python]))?;
    let path = env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", python.trim_end());

    let record = || -> Result<()> {
        while let Some(name) = next() {
            let trace = folder.join(format!("{name}.trace"));
            let mut pipewatch = Command::new(bin("pipewatch"));
            pipewatch
                .args(["--format", "json", "--output", "/dev/null", "--record"])
                .arg(&trace)
                .arg("--")
                .arg(bin("scenario"))
                .args(["enact", &name])
                .env("PATH", &path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Its exit status is that of the shape, which may be killed.
            pipewatch
                .status()
                .with_context(|| format!("cannot start {}", exec::name(&pipewatch)))?;
            exec::run(Command::new("gzip").args(["-9nf"]).arg(&trace))?;
            eprintln!("traces: {name}");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(record)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(done) => done,
                Err(_) => bail!("recording failed"),
            })
    })
}
