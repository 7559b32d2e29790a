//! Where things are: the repository, cargo's target folder, source files.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The two folders every chore works in.
pub struct Workspace {
    /// The repository.
    pub root: PathBuf,
    /// What cargo builds into.
    pub target: PathBuf,
}

impl Workspace {
    /// Both as seen by the `cargo run` that started this program.
    pub fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set; start this program as `cargo xtask`")?;
        let root = ancestor(Path::new(&package), 1)?;
        // The program is TARGET/debug/xtask, wherever cargo was told TARGET is.
        let program = env::current_exe().context("cannot tell where this program lies")?;
        let target = ancestor(&program, 2)?;
        Ok(Self { root, target })
    }

    /// The cargo that started this program, in the repository.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }
}

fn ancestor(path: &Path, generations: usize) -> Result<PathBuf> {
    path.ancestors()
        .nth(generations)
        .map(Path::to_path_buf)
        .with_context(|| format!("{} lies in no folder", path.display()))
}

/// All Rust files below `folder`, sorted.
pub fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot list {}", folder.display()))?
                .path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
