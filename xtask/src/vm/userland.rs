//! The programs that the tests start: a small Debian, unpacked from packages,
//! as an archive that the kernel takes for its first file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::arch::{self, Arch};
use super::archive;
use super::debian::Debian;
use crate::exec;

/// What has the programs, and what they need.
const PACKAGES: &[&str] = &[
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "grep",
    "libacl1",
    "libattr1",
    "libblkid1",
    "libc6",
    "libcap-ng0",
    "libcrypt1",
    "libexpat1",
    "libgcc-s1",
    "libgmp10",
    "libmount1",
    "libpcre2-8-0",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libselinux1",
    "libsmartcols1",
    "libtinfo6",
    "perl-base",
    "python3.11-minimal",
    "util-linux",
    "zlib1g",
];

/// Those of them that run Python.
const PYTHON: &[&str] = &[
    "libc6",
    "libexpat1",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "python3.11-minimal",
    "zlib1g",
];

/// What nothing needs, a third of it all.
const UNNEEDED: &[&str] = &[
    "etc",
    "lib/systemd",
    "usr/share",
    "usr/lib/python3.11/pydoc_data",
];

/// The archive below `folder`. `native` has programs that run here.
pub fn provide(
    folder: &Path,
    update: bool,
    debian: &Debian,
    arch: &Arch,
    native: &Debian,
) -> Result<PathBuf> {
    let list = [PACKAGES, UNNEEDED].concat();
    kept(folder, "userland", &list, update, |root| {
        unpack(debian, PACKAGES, root)?;
        reduce(root, arch)?;
        compile_python(root, native)
    })
}

/// The archive of this name below `folder`; a new one of what `fill` puts into a folder,
/// where it does not hold what is listed, or `update` asks for newer packages.
pub fn kept(
    folder: &Path,
    name: &str,
    list: &[&str],
    update: bool,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let sum = Sha256::digest(list.join("\n"));
    let archive = folder.join(format!(
        "{name}-{:02x}{:02x}{:02x}.zst",
        sum[0], sum[1], sum[2]
    ));
    if update || !archive.is_file() {
        let tree = tempfile::tempdir().context("cannot make a folder")?;
        fill(tree.path())?;
        archive::pack(tree.path(), &archive, archive::SMALL)?;
    }
    Ok(archive)
}

/// Fetches packages and puts their files below `root`.
pub fn unpack(debian: &Debian, packages: &[&str], root: &Path) -> Result<()> {
    eprintln!("vm: fetching {} packages of programs", packages.len());
    let mut packages = debian.show(packages)?.into_iter();
    packages.try_for_each(|package| debian.unpack(&package, root))
}

/// Removes what no test needs, and gives Python its usual name.
fn reduce(root: &Path, arch: &Arch) -> Result<()> {
    for unneeded in UNNEEDED {
        let path = root.join(unneeded);
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let gconv = root.join("usr/lib").join(arch.libraries).join("gconv");
    fs::remove_dir_all(&gconv).with_context(|| format!("cannot remove {}", gconv.display()))?;
    let python = root.join("usr/bin/python3");
    symlink("python3.11", &python).with_context(|| format!("cannot make {}", python.display()))
}

/// Compiles Python's modules, which an emulated machine would take long for. What
/// comes of it is the same on all architectures.
fn compile_python(root: &Path, native: &Debian) -> Result<()> {
    let tree = tempfile::tempdir().context("cannot make a folder")?;
    let own = tree.path();
    for package in native.show(PYTHON)? {
        native.unpack(&package, own)?;
    }
    let arch = &arch::NATIVE;
    let libraries: Vec<PathBuf> = ["lib", "usr/lib"]
        .iter()
        .map(|folder| own.join(folder).join(arch.libraries))
        .collect();
    let mut python = Command::new(own.join("lib").join(arch.libraries).join(arch.loader));
    python
        .arg("--library-path")
        .arg(std::env::join_paths(libraries).context("a folder with a colon in its name")?)
        .arg(own.join("usr/bin/python3.11"))
        .args(["-m", "compileall", "-qq"])
        .args(["--invalidation-mode", "unchecked-hash", "-s"])
        .arg(root)
        .arg(root.join("usr/lib/python3.11"))
        .env("PYTHONHOME", own.join("usr"));
    exec::run(&mut python)
}
