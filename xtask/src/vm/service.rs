//! The unit of the Debian package, in a guest whose first process is systemd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::arch::NATIVE;
use super::debian::Debian;
use super::guest::{self, Accel};
use super::image::{self, Image};
use super::kernels::{Kernel, Name};
use super::{archive, cache_folder, userland};
use crate::workspace::Workspace;
use crate::{exec, packages};

/// The kernel, which Debian maintains.
const KERNEL: &str = "6.12";

/// systemd, and what it takes besides the programs of all guests.
const PACKAGES: &[&str] = &[
    "libapparmor1",
    "libaudit1",
    "libcap2",
    "libgcrypt20",
    "libgpg-error0",
    "libip4tc2",
    "libkmod2",
    "liblz4-1",
    "liblzma5",
    "libpam0g",
    "libseccomp2",
    "libssl3",
    "libsystemd-shared",
    "libzstd1",
    "mount",
    "systemd",
];

/// What the guest does when it has booted.
const TARGET: &str = "[Unit]
Requires=basic.target trial.service
After=basic.target
";
const TRIAL: &str = "[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/trial.sh
StandardOutput=file:/dev/ttyS0
StandardError=file:/dev/ttyS0
";

/// Starts the unit, plays a hang, stops the unit, and tells what became of it.
const SCRIPT: &str = r#"#!/bin/bash
trap 'systemctl poweroff --force --force' EXIT
await() {
    read -r -t 60 _ < <(journalctl --follow --lines all --unit pipewatch PIPEWATCH_TYPE=$1)
}
systemctl start pipewatch && await started && pipewatch enact && await resolved
systemctl stop pipewatch
journalctl --sync
journalctl --unit pipewatch --output json --all
systemctl show --property Result,ExecMainStatus pipewatch
"#;

/// What the unit is to have said, in this order, and of what.
const EXPECTED: &[(&str, &[(&str, &str)])] = &[
    ("started", &[("PRIORITY", "6")]),
    (
        "hang",
        &[
            ("PRIORITY", "3"),
            ("PIPEWATCH_VERDICT", "leaked"),
            ("PIPEWATCH_CAUSE", "fork-race"),
            ("PIPEWATCH_CONFIDENCE", "certain"),
            ("PIPEWATCH_READER_COMM", "starter"),
            ("PIPEWATCH_HOLDER_COMM", "updater"),
        ],
    ),
    ("resolved", &[("PIPEWATCH_OUTCOME", "eof")]),
    ("stopped", &[("PRIORITY", "6")]),
];

/// How it is to have ended.
const ENDED: [&str; 2] = ["Result=success", "ExecMainStatus=0"];

/// That the unit runs there, sees a hang and tells the journal.
pub fn check(workspace: &Workspace, deb: &Path) -> Result<()> {
    packages::provide("dist", archive::PROGRAMS.iter().chain(NATIVE.needs))?;
    let cache = cache_folder()?.join(NATIVE.debian);
    let debian = Debian::new(cache.join("apt"), &NATIVE)?;
    let (kernels, wanted) = (cache.join("kernels"), Name::parse(KERNEL));
    let kernel = match Kernel::fetched(&kernels, wanted)? {
        Some(kernel) => kernel,
        None => Kernel::fetch(&kernels, wanted, &debian)?,
    };
    let programs = userland::provide(&cache, false, &debian, &NATIVE, &debian)?;
    let systemd = userland::kept(&cache, "systemd", PACKAGES, false, |root| {
        userland::unpack(&debian, PACKAGES, root)
    })?;

    let tree = tempfile::tempdir().context("cannot make a folder")?;
    let root = tree.path();
    let mut unpack = Command::new("dpkg");
    exec::run(unpack.arg("-x").args([deb, root]))?;
    let units = root.join("etc/systemd/system");
    image::write(&units.join("default.target"), TARGET)?;
    image::write(&units.join("trial.service"), TRIAL)?;
    image::write(&root.join("trial.sh"), SCRIPT)?;
    // Without this file it would ask for settings, as at a first boot.
    image::write(&root.join("etc/machine-id"), "")?;
    symlink("lib/systemd/systemd", root.join("init")).context("cannot make a link")?;
    let file = tempfile::NamedTempFile::new().context("cannot make a file")?;
    Image::of(vec![programs, systemd]).write_with(file.path(), root)?;

    let folder = workspace.target.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let log = folder.join("service.log");
    let accel = Accel::find(&NATIVE, &kernel.image)?;
    guest::run(&NATIVE, accel, &kernel.image, file.path(), &log)?;
    let printed = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let printed = String::from_utf8_lossy(&printed);
    if let Some(fault) = fault(&printed) {
        bail!(
            "the unit under systemd: {fault}\nhint: what the guest printed is in {}",
            log.display()
        );
    }
    Ok(())
}

/// What is not as expected in what the guest printed.
fn fault(printed: &str) -> Option<String> {
    let lines = printed.lines().map(str::trim_end);
    let entries: Vec<Value> = lines
        .clone()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|entry: &Value| entry["PIPEWATCH_TYPE"].is_string())
        .collect();
    let types: Vec<&Value> = entries
        .iter()
        .map(|entry| &entry["PIPEWATCH_TYPE"])
        .collect();
    let expected: Vec<&str> = EXPECTED.iter().map(|(name, _)| *name).collect();
    if types != expected {
        return Some(format!("it told {types:?} and not {expected:?}"));
    }
    for (entry, (name, fields)) in entries.iter().zip(EXPECTED) {
        let of_unit = [("_SYSTEMD_UNIT", "pipewatch.service")];
        for (field, value) in fields.iter().chain(&of_unit) {
            if entry[field] != *value {
                return Some(format!(
                    "{field} of {name} is {} and not {value}",
                    entry[field]
                ));
            }
        }
    }
    // What the unit withholds from it would stand there.
    let record = entries[0]["PIPEWATCH_JSON"].as_str().unwrap_or_default();
    let started: Value = serde_json::from_str(record).unwrap_or_default();
    if started["limits"] != Value::Array(Vec::new()) {
        return Some(format!("it is limited by {}", started["limits"]));
    }
    let has_ended = |wanted: &&str| lines.clone().any(|line| line == *wanted);
    ENDED
        .iter()
        .find(|wanted| !has_ended(wanted))
        .map(|wanted| format!("it did not end with {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a guest prints, with this of the hang.
    fn printed(cause: &str) -> String {
        let entries = EXPECTED.iter().map(|(name, fields)| {
            let mut entry = json!({
                "_SYSTEMD_UNIT": "pipewatch.service",
                "PIPEWATCH_TYPE": name,
                "PIPEWATCH_JSON": r#"{"limits":[]}"#,
            });
            fields
                .iter()
                .for_each(|(field, value)| entry[field] = json!(value));
            if *name == "hang" {
                entry["PIPEWATCH_CAUSE"] = json!(cause);
            }
            format!("{entry}\r\n")
        });
        entries.collect::<String>() + &ENDED.join("\r\n")
    }

    #[test]
    fn what_is_missing_is_told() {
        let good = printed("fork-race");
        let fault = |text: &str| fault(text).unwrap_or_default();
        assert_eq!(fault(&good), "");
        assert_eq!(
            fault(&printed("fork")),
            "PIPEWATCH_CAUSE of hang is \"fork\" and not fork-race"
        );
        assert!(fault("").contains("it told []"));
        assert!(fault(&good.replace("[]", r#"[\"no stacks\"]"#)).contains("no stacks"));
        assert!(fault(&good.replace("success", "timeout")).contains("did not end"));
    }
}
