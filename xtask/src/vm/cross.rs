//! Compiling for an architecture that is not this machine's: Debian's Rust, with
//! the standard library that Debian has for the other architecture.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::arch::Arch;
use super::debian::Debian;
use crate::toolchain;
use crate::workspace::Workspace;

/// The package with the standard library; it must be of the compiler's version.
const LIBRARY: &str = "libstd-rust-web-dev";

/// What it takes.
pub struct Cross {
    /// A folder with the library as the compiler looks for it.
    sysroot: PathBuf,
    linker: &'static str,
}

impl Cross {
    /// What an architecture takes that has a linker of its own; the library is kept
    /// below `folder`.
    pub fn provide(folder: &Path, debian: &Debian, arch: &Arch) -> Result<Option<Self>> {
        let Some(linker) = arch.linker else {
            return Ok(None);
        };
        let version = toolchain::debian_version()?;
        let home = folder.join(format!("rust-{version}"));
        if !home.is_dir() {
            let packages = debian.show(&[LIBRARY])?;
            let package = packages
                .first()
                .with_context(|| format!("Debian has no package {LIBRARY} for {}", arch.debian))?;
            if package.version != version {
                bail!(
                    "Debian's Rust is {version} here, and {LIBRARY} for {} is {}\n\
                     hint: apt-get install rustc-web cargo-web",
                    arch.debian,
                    package.version
                );
            }
            eprintln!("vm: fetching {LIBRARY} for {}", arch.debian);
            let unpacked = tempfile::tempdir_in(folder).context("cannot make a folder")?;
            debian.unpack(package, unpacked.path())?;
            fs::rename(unpacked.keep(), &home)
                .with_context(|| format!("cannot make {}", home.display()))?;
        }
        Ok(Some(Self {
            sysroot: home.join("usr"),
            linker,
        }))
    }

    /// Debian's cargo in the repository.
    pub fn cargo(&self, workspace: &Workspace) -> Command {
        toolchain::debian_cargo(workspace)
    }

    /// What the compiler is told.
    pub fn flags(&self) -> [OsString; 2] {
        let mut sysroot = OsString::from("--sysroot=");
        sysroot.push(&self.sysroot);
        [sysroot, format!("-Clinker={}", self.linker).into()]
    }
}
