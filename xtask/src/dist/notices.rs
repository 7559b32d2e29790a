//! The licences of what is linked into the program, which have to go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::exec;
use crate::vm::Arch;
use crate::workspace::Workspace;

/// How files begin that hold a licence.
const NAMES: &[&str] = &[
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];

/// Each package with its licence, then each text with the packages that have it.
pub fn of(workspace: &Workspace, arch: &Arch) -> Result<String> {
    let mut ask = workspace.cargo();
    ask.args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", arch.target]);
    let metadata: Value = serde_json::from_str(&exec::output(&mut ask)?)
        .context("`cargo metadata` did not print JSON")?;
    let linked = linked(&metadata);
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in array(&metadata["packages"]) {
        // What has no source is of this repository.
        if !linked.contains(text(&package["id"])) || package["source"].is_null() {
            continue;
        }
        let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
        let (licence, home) = (text(&package["license"]), text(&package["repository"]));
        list += &format!("{name}: {licence}; {home}\n");
        let manifest = Path::new(text(&package["manifest_path"]));
        for text in texts_in(manifest.parent().unwrap_or(manifest))? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let texts = texts
        .iter()
        .map(|(text, names)| format!("{}\n{}:\n\n{text}\n", "-".repeat(72), names.join(", ")));
    Ok(format!(
        "pipewatch contains these packages of crates.io, and parts of Rust's standard\n\
         library (MIT OR Apache-2.0) and of the GNU C library (LGPL-2.1-or-later).\n\n\
         {list}\n{}",
        texts.collect::<String>()
    ))
}

/// The packages that pipewatch is made of, by their ids.
fn linked(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> = array(&metadata["resolve"]["nodes"])
        .map(|node| (text(&node["id"]), node))
        .collect();
    let own = array(&metadata["packages"]).find(|package| package["name"] == "pipewatch");
    let mut left: Vec<&str> = own.iter().map(|package| text(&package["id"])).collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = left.pop() {
        if linked.insert(id)
            && let Some(node) = nodes.get(id)
        {
            // The kind of an ordinary dependency is null.
            let ordinary = array(&node["deps"]).filter(|dependency| {
                array(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null())
            });
            left.extend(ordinary.map(|dependency| text(&dependency["pkg"])));
        }
    }
    linked
}

/// The licences that lie in the folder of a package.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let failed = || format!("cannot read the licence in {}", folder.display());
    let mut paths = fs::read_dir(folder)
        .with_context(failed)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(failed)?;
    paths.sort();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
    });
    let read = |path| fs::read(path).map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    paths
        .iter()
        .map(|path| read(path).with_context(failed))
        .collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
