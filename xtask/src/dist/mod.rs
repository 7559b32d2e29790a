//! `cargo xtask dist`: what others install, in target/dist.

mod notices;
mod share;
mod trial;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use self::share::Share;
use crate::vm::{self, ARM64, Arch, NATIVE};
use crate::workspace::Workspace;
use crate::{ebpf, exec, packages, release, toolchain};

/// What makes Debian packages.
const CARGO_DEB: (&str, &str) = ("cargo-deb", "3.8.0");

/// Who answers for them.
const MAINTAINER: &str = "The pipewatch authors <pipewatch@localhost>";

/// What packing and trying takes, and the packages of Debian that have it.
const NEEDS: &[packages::Need] = &[("tar", "tar"), ("gzip", "gzip"), ("xz", "xz-utils")];

const FOREIGN_NEEDS: &[packages::Need] = &[("qemu-aarch64-static", "qemu-user-static")];

const CHECK_NEEDS: &[packages::Need] = &[
    ("man", "man-db"),
    ("mandoc", "mandoc"),
    ("systemd-analyze", "systemd"),
    ("bash", "bash"),
    ("zsh", "zsh"),
    ("fish", "fish"),
];

/// What is made.
#[derive(clap::Args)]
pub struct Options {
    /// Only the Debian package for this machine
    #[arg(long)]
    deb_only: bool,
    /// Also install the Debian package here, try it, and purge it, as root; and run its unit
    /// under the systemd of a virtual machine
    #[arg(long)]
    check: bool,
}

/// What all that is made has in common.
struct Release<'a> {
    workspace: &'a Workspace,
    /// The version of the workspace.
    version: String,
    /// When the commit was made, in seconds since 1970: the time of all files.
    epoch: String,
    /// Where all is put.
    dist: PathBuf,
}

/// Builds, packs and tries.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    packages::provide("dist", NEEDS.iter())?;
    ebpf::ensure(workspace)?;
    let release = Release::begin(workspace)?;
    let deb = release.pack(&NATIVE, !options.deb_only)?;
    if !options.deb_only {
        release.require_clean()?;
        packages::provide("dist", FOREIGN_NEEDS.iter())?;
        release.pack(&ARM64, true)?;
        release.pack_source()?;
    }
    release.sum()?;
    if options.check {
        packages::provide("dist", CHECK_NEEDS.iter())?;
        trial::install(workspace, &deb)?;
        vm::service::check(workspace, &deb)?;
    }
    Ok(())
}

impl<'a> Release<'a> {
    /// An empty folder for it.
    fn begin(workspace: &'a Workspace) -> Result<Self> {
        let dist = workspace.target.join("dist");
        if dist.exists() {
            fs::remove_dir_all(&dist)
                .with_context(|| format!("cannot empty {}", dist.display()))?;
        }
        fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => git(workspace, &["log", "-1", "--format=%ct"])?,
        };
        Ok(Self {
            workspace,
            version: env!("CARGO_PKG_VERSION").into(),
            epoch,
            dist,
        })
    }

    /// Builds for an architecture, and packs a Debian package, which it returns, and
    /// if wanted an archive for every other Linux.
    fn pack(&self, arch: &Arch, archive: bool) -> Result<PathBuf> {
        let cross = vm::provide_cross("dist", arch)?;
        let build = ["build", "--locked", "--package", "pipewatch"];
        exec::run(&mut release::cargo(
            self.workspace,
            arch,
            cross.as_ref(),
            &build,
        )?)?;
        let programs = release::programs(self.workspace, arch);
        let program = programs.join("pipewatch");
        self.require_no_paths(&program)?;
        trial::run(self.workspace, arch, &program)?;

        let share = Share::make(self, arch, &programs.join("share"))?;
        if archive {
            self.pack_archive(arch, &program, &share)?;
        }
        self.pack_deb(arch)
    }

    /// That the program holds no path of this machine.
    fn require_no_paths(&self, program: &Path) -> Result<()> {
        let bytes =
            fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let cargo = toolchain::cargo_home()?;
        for path in [&cargo, &self.workspace.root, &self.workspace.target] {
            let path = path.as_os_str().as_encoded_bytes();
            if bytes.windows(path.len()).any(|window| window == path) {
                bail!(
                    "{} holds the path {}",
                    program.display(),
                    String::from_utf8_lossy(path)
                );
            }
        }
        Ok(())
    }

    /// `NAME.tar.gz` with a folder NAME, which can be unpacked into /usr/local.
    fn pack_archive(&self, arch: &Arch, program: &Path, share: &Share) -> Result<()> {
        let (architecture, _) = arch.target.split_once('-').unwrap_or((arch.target, ""));
        let name = format!("pipewatch-{}-linux-{architecture}", self.version);
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let bin = folder.path().join(&name).join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
        fs::copy(program, bin.join("pipewatch")).context("cannot copy the program")?;
        let mut copy = Command::new("cp");
        copy.arg("-r")
            .arg(&share.folder)
            .arg(folder.path().join(&name));
        exec::run(&mut copy)?;

        let tar = self.dist.join(format!("{name}.tar"));
        let mut pack = Command::new("tar");
        pack.args(["--create", "--sort=name", "--format=gnu", "--numeric-owner"])
            .args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"])
            .arg(format!("--mtime=@{}", self.epoch))
            .arg("--directory")
            .arg(folder.path())
            .arg("--file")
            .args([tar.as_os_str(), OsStr::new(&name)]);
        exec::run(&mut pack)?;
        gzip(&tar)
    }

    fn pack_deb(&self, arch: &Arch) -> Result<PathBuf> {
        let (tool, version) = CARGO_DEB;
        let tool =
            toolchain::install_tool(self.workspace, tool, version, &["--no-default-features"])?;
        let deb = self
            .dist
            .join(format!("pipewatch_{}-1_{}.deb", self.version, arch.debian));
        self.write_changelog(&release::programs(self.workspace, arch).join("debian"))?;
        let mut pack = self.workspace.cargo();
        pack.args(["deb", "--quiet", "--no-build", "--no-strip", "--locked"])
            .args(["--package", "pipewatch", "--maintainer", MAINTAINER])
            .args(["--target", arch.target, "--output"])
            .arg(&deb)
            .env("PATH", toolchain::path_from(&tool)?)
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .env("CARGO_TARGET_DIR", release::folder(self.workspace));
        exec::run(&mut pack)?;
        Ok(deb)
    }

    /// What Debian's tools read: the version, and when it was made.
    fn write_changelog(&self, folder: &Path) -> Result<()> {
        let mut date = Command::new("date");
        date.args(["--rfc-email", "--utc", &format!("--date=@{}", self.epoch)]);
        let date = exec::output(date.env("LC_ALL", "C"))?;
        let text = format!(
            "pipewatch ({}-1) unstable; urgency=medium\n\n  \
             * CHANGELOG.md in this folder tells what is new.\n\n \
             -- {MAINTAINER}  {date}",
            self.version
        );
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("changelog.Debian");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        gzip(&file)
    }

    /// All of what is committed, which `cargo install` builds.
    fn pack_source(&self) -> Result<()> {
        let name = format!("pipewatch-{}", self.version);
        let file = self.dist.join(format!("{name}.tar.gz"));
        let mut archive = Command::new("git");
        archive
            .current_dir(&self.workspace.root)
            .arg("archive")
            .arg(format!("--prefix={name}/"))
            .arg("--output")
            .args([file.as_os_str(), OsStr::new("HEAD")]);
        exec::run(&mut archive)
    }

    /// The source would not be that of the programs.
    fn require_clean(&self) -> Result<()> {
        if git(self.workspace, &["status", "--porcelain"])?.is_empty() {
            return Ok(());
        }
        bail!("there are changes that are not committed\nhint: commit them, or `git stash`")
    }

    /// Writes the check sums of all that is there.
    fn sum(&self) -> Result<()> {
        let entries = fs::read_dir(&self.dist)
            .with_context(|| format!("cannot list {}", self.dist.display()))?;
        let mut files = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .with_context(|| format!("cannot list {}", self.dist.display()))?;
        files.sort();
        let mut sums = String::new();
        for file in files {
            let bytes =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let sum = Sha256::digest(&bytes);
            let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            sums += &format!("{digits}  {name}\n");
            eprintln!(
                "dist: {} ({:.1} MB)",
                file.display(),
                bytes.len() as f64 / 1e6
            );
        }
        let file = self.dist.join("SHA256SUMS");
        fs::write(&file, sums).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Compresses a file in its place; the same file gives the same bytes.
fn gzip(file: &Path) -> Result<()> {
    let mut gzip = Command::new("gzip");
    exec::run(gzip.args(["--force", "--no-name", "--best"]).arg(file))
}

fn git(workspace: &Workspace, args: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    let answer = exec::output(git.args(args).current_dir(&workspace.root))?;
    Ok(answer.trim_end().to_owned())
}
