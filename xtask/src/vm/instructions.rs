//! `cargo xtask bench instructions`: what is measured in a guest whose clocks count
//! instructions.

use std::fs;

use anyhow::{Context, Result};

use super::arch::NATIVE;
use super::guest::{self, Accel};
use super::image::FOLDER;
use super::kernels::Name;
use super::site::{Ground, Site};
use super::{archive, cache_folder};
use crate::frame;
use crate::packages;
use crate::workspace::Workspace;

/// The kernels.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// The name of the measurement, and of the frame in what it prints.
const FRAME: &str = "bench instructions";

/// Counts on each kernel. The tables, one for each.
pub fn count(workspace: &Workspace) -> Result<String> {
    packages::provide("bench", archive::PROGRAMS.iter().chain(NATIVE.needs))?;
    let cache = cache_folder()?;
    let folder = workspace.target.join("vm");
    let ground = Ground {
        workspace,
        cache: &cache,
        folder: &folder,
        update: false,
    };
    let site = Site::prepare(&ground, &NATIVE, &KERNELS.map(Name::parse))?;
    let script = format!(
        "#!/bin/sh\n\
         echo 0 > /proc/sys/kernel/randomize_va_space\n\
         cd /{FOLDER}\n\
         ./bench instructions 2>&1\n"
    );
    let file = tempfile::NamedTempFile::new().context("cannot make a file")?;
    site.image.write(file.path(), &script)?;
    let mut tables = Vec::new();
    for kernel in &site.kernels {
        let log = folder.join(format!("instructions-{}.log", kernel.name));
        eprintln!("bench: what the guest prints is in {}", log.display());
        let image = &kernel.image;
        guest::run(site.arch, Accel::Counting, image, file.path(), &log)?;
        let printed = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let printed = String::from_utf8_lossy(&printed).replace('\r', "");
        let table = frame::find(&printed, FRAME)
            .with_context(|| format!("the guest has not measured to its end: {}", log.display()))?;
        tables.push(table.to_owned());
    }
    Ok(tables.join("\n"))
}
