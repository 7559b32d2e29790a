//! The tool chain of the eBPF object: a Rust with the source of its core
//! library, the LLVM of that Rust, and bpf-linker.
//!
//! Only `cargo xtask ebpf` needs it. What is missing is installed: bpf-linker
//! into cargo's target folder, Rust from Debian or else by rustup. Debian comes
//! first because the committed object is built with its packages, and only the
//! same compiler gives the same bytes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exec;
use crate::workspace::Workspace;

/// The Rust release that compiles the object: a stable one, told to accept
/// what building the core library takes (`RUSTC_BOOTSTRAP`).
pub const RUST: &str = "1.96.0";

/// The release of bpf-linker, one that loads the LLVM of [`RUST`] by itself.
pub const BPF_LINKER: &str = "0.10.4";

/// The library that holds the LLVM of [`RUST`] in Debian.
const DEBIAN_LLVM: &str = "libLLVM.so.22.1";

/// Debian's compiler.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Compiler, cargo and library source of [`RUST`] in Debian.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Everything it takes to build the object.
pub struct Toolchain {
    rust: Rust,
    /// The folder of bpf-linker.
    linker: PathBuf,
}

impl Toolchain {
    /// Finds the tool chain, and installs what is missing.
    pub fn set_up(workspace: &Workspace) -> Result<Self> {
        let rust = match Rust::find() {
            Some(rust) => rust,
            None => Rust::install()?,
        };
        let linker = install_tool(workspace, "bpf-linker", BPF_LINKER, &[])?;
        Ok(Self { rust, linker })
    }

    /// Compiler and linker in one line.
    pub fn version(&self) -> String {
        format!("{}, bpf-linker {BPF_LINKER}", self.rust.version)
    }

    /// This tool chain's cargo in the repository, with `flags` for the
    /// compiler, which keeps the paths of this machine out of what it builds.
    pub fn cargo(&self, workspace: &Workspace, flags: &[&str]) -> Result<Command> {
        let mut flags: Vec<OsString> = flags.iter().map(OsString::from).collect();
        flags.extend(remap_sources(workspace)?);
        for source in &self.rust.sources {
            flags.push(remap(source, "/rust"));
        }

        let mut cargo = outside_rustup(&self.rust.rustc.with_file_name("cargo"));
        cargo
            .current_dir(&workspace.root)
            .env("RUSTC", &self.rust.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", encode(&flags))
            .env("PATH", path_from(&self.linker)?)
            // bpf-linker takes the first LLVM it can load from here.
            .env("LD_LIBRARY_PATH", self.rust.llvm_folder(workspace)?);
        Ok(cargo)
    }
}

/// A Rust of the release [`RUST`] with the source of its libraries.
struct Rust {
    rustc: PathBuf,
    sysroot: PathBuf,
    /// The folder of the library source, by every name the compiler calls it.
    sources: Vec<PathBuf>,
    /// The name the compiler gives itself, and its LLVM's version.
    version: String,
}

impl Rust {
    /// Debian's, or else rustup's.
    fn find() -> Option<Self> {
        Self::at(DEBIAN_RUSTC.into()).or_else(|| {
            let mut which = Command::new("rustup");
            which
                .args(["which", "--toolchain", RUST, "rustc"])
                .env("RUSTUP_AUTO_INSTALL", "0");
            Self::at(exec::answer(&mut which)?.into())
        })
    }

    /// The one whose compiler this is, if it has the right release and sources.
    fn at(rustc: PathBuf) -> Option<Self> {
        let about = exec::answer(outside_rustup(&rustc).arg("-vV"))?;
        let field = |name| about.lines().find_map(|line| line.strip_prefix(name));
        if field("release: ")? != RUST {
            return None;
        }
        let version = format!(
            "{}, LLVM {}",
            about.lines().next()?,
            field("LLVM version: ")?
        );

        let sysroot = PathBuf::from(exec::answer(outside_rustup(&rustc).arg("--print=sysroot"))?);
        let source = sysroot.join("lib/rustlib/src/rust");
        if !source.join("library/core").is_dir() {
            return None;
        }
        let sources = vec![source.canonicalize().ok()?, source];
        Some(Self {
            rustc,
            sysroot,
            sources,
            version,
        })
    }

    fn install() -> Result<Self> {
        let mut refusals = String::new();
        for install in [install_from_debian, install_by_rustup] {
            match install().map(|()| Self::find()) {
                Ok(Some(rust)) => return Ok(rust),
                Ok(None) => refusals.push_str("\n- what it installed is incomplete"),
                Err(error) => refusals.push_str(&format!("\n- {error:#}")),
            }
        }
        bail!(
            "the eBPF object takes Rust {RUST} with its library source, and nothing here provides it:\
             {refusals}\n\
             hint: `rustup toolchain install {RUST} --component rust-src` where rustup can download"
        )
    }

    /// A folder that has this Rust's LLVM and no other.
    fn llvm_folder(&self, workspace: &Workspace) -> Result<PathBuf> {
        let own = self.sysroot.join("lib");
        if self.sysroot != Path::new("/usr") {
            return Ok(own);
        }
        // Debian's library folder has several, so it cannot be named itself.
        let library = own
            .join(format!("{}-linux-gnu", env::consts::ARCH))
            .join(DEBIAN_LLVM);
        if !library.is_file() {
            bail!(
                "{} needs {}, which is missing",
                self.rustc.display(),
                library.display()
            );
        }
        let folder = workspace.target.join("llvm");
        let link = folder.join(DEBIAN_LLVM);
        if !link.is_file() {
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            symlink(&library, &link).with_context(|| format!("cannot link {}", link.display()))?;
        }
        Ok(folder)
    }
}

/// The version of Debian's package with the compiler of [`RUST`], which is
/// installed if it is missing.
pub fn debian_version() -> Result<String> {
    if Rust::at(DEBIAN_RUSTC.into()).is_none() {
        install_from_debian()?;
    }
    let [compiler, ..] = DEBIAN_PACKAGES;
    let mut query = Command::new("dpkg-query");
    exec::output(query.args(["--show", "--showformat=${Version}", compiler]))
}

/// Debian's cargo in the repository, with Debian's compiler.
pub fn debian_cargo(workspace: &Workspace) -> Command {
    let mut cargo = outside_rustup(&Path::new(DEBIAN_RUSTC).with_file_name("cargo"));
    cargo
        .current_dir(&workspace.root)
        .env("RUSTC", DEBIAN_RUSTC);
    cargo
}

fn install_from_debian() -> Result<()> {
    if !exec::is_installed("apt-get") {
        bail!("this is no Debian: there is no apt-get");
    }
    eprintln!(
        "ebpf: installing {} with apt-get",
        DEBIAN_PACKAGES.join(", ")
    );
    exec::run(exec::as_root("apt-get")?.args(["update", "--quiet"]))?;
    let [compiler, ..] = DEBIAN_PACKAGES;
    let policy = exec::output(Command::new("apt-cache").args(["policy", compiler]))?;
    if !policy.contains(&format!("Candidate: {RUST}")) {
        bail!("apt-get has no {compiler} {RUST}");
    }
    exec::run(
        exec::as_root("apt-get")?
            .args([
                "install",
                "--yes",
                "--quiet",
                "--no-install-recommends",
                "--no-remove",
            ])
            .args(DEBIAN_PACKAGES),
    )
}

fn install_by_rustup() -> Result<()> {
    if !exec::is_installed("rustup") {
        bail!("there is no rustup");
    }
    eprintln!("ebpf: installing Rust {RUST} with rustup");
    exec::run(Command::new("rustup").args([
        "toolchain",
        "install",
        RUST,
        "--profile=minimal",
        "--component=rust-src",
        "--no-self-update",
    ]))
}

/// Installs a program into the target folder, once, and returns its folder.
pub fn install_tool(
    workspace: &Workspace,
    name: &str,
    version: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let folder = format!("{name}-{version}");
    let root = workspace.target.join("tools").join(folder);
    let folder = root.join("bin");
    if !folder.join(name).is_file() {
        eprintln!("xtask: building {name} {version}, once (about a minute)");
        let mut install = workspace.cargo();
        install
            .args(["install", "--quiet", "--locked", "--version", version])
            .args(options)
            .arg("--root")
            .args([root.as_os_str(), OsStr::new(name)]);
        exec::run(&mut install)?;
    }
    Ok(folder)
}

/// A program of a Rust, free of what the cargo that started us has set for its
/// own compiler.
fn outside_rustup(program: &Path) -> Command {
    let mut command = Command::new(program);
    for variable in [
        "RUSTUP_TOOLCHAIN",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "LD_LIBRARY_PATH",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Keeps the places of this repository and of cargo's registry out of what is built.
pub fn remap_sources(workspace: &Workspace) -> Result<[OsString; 2]> {
    Ok([
        remap(&workspace.root, "/pipewatch"),
        remap(&cargo_home()?, "/cargo"),
    ])
}

/// Flags for the compiler, as cargo takes them from the environment.
pub fn encode(flags: &[OsString]) -> OsString {
    flags.join(OsStr::new("\x1f"))
}

fn remap(path: &Path, alias: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(path);
    flag.push("=");
    flag.push(alias);
    flag
}

/// Where cargo keeps its registry.
pub fn cargo_home() -> Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("cannot tell where cargo keeps its registry: neither CARGO_HOME nor HOME is set")
}

/// The PATH, with this folder first.
pub fn path_from(folder: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [folder.to_path_buf()]
        .into_iter()
        .chain(env::split_paths(&path));
    env::join_paths(folders).with_context(|| format!("{} cannot be in PATH", folder.display()))
}
