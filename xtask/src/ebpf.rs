//! `cargo xtask ebpf`: the compiled eBPF object that lies beside its source.
//!
//! Who builds pipewatch needs no compiler for BPF, because the object is
//! committed. `pipewatch.bpf.hash` says which sources it was built from and by
//! what, so that a stale object is found before it is used.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::exec;
use crate::strip::strip;
use crate::toolchain::{BPF_LINKER, RUST, Toolchain};
use crate::workspace::{self, Workspace};

/// What the compiler is told for every crate of the object.
const FLAGS: [&str; 3] = ["-Clinker=bpf-linker", "-Clink-arg=--btf", "-Cdebuginfo=2"];

/// The target, and the profile in the root `Cargo.toml`.
const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "bpf";

/// How the names of the object's crates begin that come from a registry.
const CRATES: [&str; 3] = ["aya-ebpf", "aya-log-", "zerocopy"];

/// Builds the object from source and writes it, and its hash, to their place.
pub fn rebuild(workspace: &Workspace) -> Result<()> {
    let files = Files::of(workspace);
    let toolchain = Toolchain::set_up(workspace)?;
    let object = build(workspace, &toolchain)?;
    let record = Record {
        sources: hash_sources(workspace)?,
        object: hash(&object),
        built_by: toolchain.version(),
    };
    write(&files.object, &object)?;
    write(&files.record, record.to_string().as_bytes())?;
    eprintln!("ebpf: {}, {} bytes", files.object.display(), object.len());
    Ok(())
}

/// Builds the object from source and compares it with the committed one.
pub fn verify(workspace: &Workspace) -> Result<()> {
    check(workspace)?;
    let files = Files::of(workspace);
    let toolchain = Toolchain::set_up(workspace)?;
    if hash(&build(workspace, &toolchain)?) != files.read_record()?.object {
        bail!(
            "{} is not what its sources give here\n\
             committed: built by {}\n\
             here: built by {}\n\
             hint: run `cargo xtask ebpf` with the tools of the committed one, \
             or commit what the tools here give",
            files.object.display(),
            files.read_record()?.built_by,
            toolchain.version(),
        );
    }
    eprintln!("ebpf: {} is what its sources give", files.object.display());
    Ok(())
}

/// Checks, without building, that sources, object and hash belong together.
pub fn check(workspace: &Workspace) -> Result<()> {
    match stale(workspace)? {
        Some(reason) => bail!("{reason}\nhint: run `cargo xtask ebpf` and commit what it writes"),
        None => Ok(()),
    }
}

/// Rebuilds the object if it does not belong to its sources.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    if let Some(reason) = stale(workspace)? {
        eprintln!("ebpf: rebuilding the eBPF object: {reason}");
        rebuild(workspace)?;
    }
    Ok(())
}

/// Why the object cannot be used, if so.
fn stale(workspace: &Workspace) -> Result<Option<String>> {
    let files = Files::of(workspace);
    let object = files.object.display();
    let record = match files.read_record() {
        Ok(record) => record,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    if record.sources != hash_sources(workspace)? {
        return Ok(Some(format!(
            "the sources of {object} have changed since it was built"
        )));
    }
    let content = match fs::read(&files.object) {
        Ok(content) => content,
        Err(error) => return Ok(Some(format!("cannot read {object}: {error}"))),
    };
    if record.object != hash(&content) {
        let record = files.record.display();
        return Ok(Some(format!(
            "{object} is not the object that {record} describes"
        )));
    }
    Ok(None)
}

/// Compiles the object and strips it.
fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<u8>> {
    eprintln!("ebpf: compiling the eBPF object");
    let folder = workspace.target.join("bpf");
    let mut cargo = toolchain.cargo(workspace, &FLAGS)?;
    cargo
        .args(["build", "--locked", "--package=pipewatch-ebpf"])
        .args([
            "--bin=pipewatch-bpf",
            "--features=programs",
            "-Zbuild-std=core",
        ])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(&folder)
        // The register layout that aya-ebpf is compiled for: not the host's.
        .env("AYA_BPF_TARGET_ARCH", "x86_64");
    exec::run(&mut cargo)?;

    let built = folder.join(TARGET).join(PROFILE).join("pipewatch-bpf");
    let object = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    strip(&object)
}

/// Where the object and its hash lie.
struct Files {
    object: PathBuf,
    record: PathBuf,
}

impl Files {
    fn of(workspace: &Workspace) -> Self {
        let folder = workspace.root.join("pipewatch-ebpf");
        Self {
            object: folder.join("pipewatch.bpf.o"),
            record: folder.join("pipewatch.bpf.hash"),
        }
    }

    fn read_record(&self) -> Result<Record> {
        let text = workspace::read(&self.record)?;
        Record::parse(&text).with_context(|| format!("{} is damaged", self.record.display()))
    }
}

/// The content of `pipewatch.bpf.hash`.
#[derive(Debug, PartialEq)]
struct Record {
    /// The hash of everything the object is built from.
    sources: String,
    /// The hash of the object.
    object: String,
    /// Compiler and linker: the same ones give the same bytes.
    built_by: String,
}

impl Record {
    fn parse(text: &str) -> Result<Self> {
        let field = |label: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(label)?.strip_prefix(": "))
                .map(str::to_owned)
                .with_context(|| format!("it has no line `{label}: ...`"))
        };
        Ok(Self {
            sources: field("sources")?,
            object: field("object")?,
            built_by: field("built by")?,
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sources: {}", self.sources)?;
        writeln!(f, "object: {}", self.object)?;
        writeln!(f, "built by: {}", self.built_by)
    }
}

/// The hash of what decides how the object comes out: its package, its
/// profile, the versions of its crates, and the tools.
fn hash_sources(workspace: &Workspace) -> Result<String> {
    let root = &workspace.root;
    let package = root.join("pipewatch-ebpf");
    let manifest = workspace::read(&root.join("Cargo.toml"))?;
    let lock = workspace::read(&root.join("Cargo.lock"))?;

    let mut inputs = vec![
        ("tools".to_owned(), format!("{RUST} {BPF_LINKER} {FLAGS:?}")),
        ("profile".to_owned(), profile(&manifest)),
        ("crates".to_owned(), locked_crates(&lock)),
    ];
    let files = workspace::rust_files(&package.join("src"))?;
    for path in [package.join("Cargo.toml")].into_iter().chain(files) {
        let name = path.strip_prefix(root).unwrap_or(&path).display();
        inputs.push((name.to_string(), workspace::read(&path)?));
    }
    Ok(hash_all(&inputs))
}

/// The lines of the object's profile.
fn profile(manifest: &str) -> String {
    let header = format!("[profile.{PROFILE}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The lock file's entries of the object's crates.
fn locked_crates(lock: &str) -> String {
    lock.split("[[package]]\n")
        .filter(|entry| {
            CRATES
                .iter()
                .any(|name| entry.starts_with(&format!("name = \"{name}")))
        })
        .collect()
}

/// One hash of named texts, in which no text can pass for another's end.
fn hash_all(inputs: &[(String, String)]) -> String {
    let mut sum = Sha256::new();
    for text in inputs.iter().flat_map(|(name, text)| [name, text]) {
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(text);
    }
    hex(&sum.finalize())
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_what_it_writes() {
        let record = Record {
            sources: "01".into(),
            object: "02".into(),
            built_by: "rustc 1.2.3 (abc), LLVM 4".into(),
        };
        assert_eq!(Record::parse(&record.to_string()).ok(), Some(record));
    }

    #[test]
    fn a_record_without_a_line_names_it() {
        let error = Record::parse("sources: 01\nbuilt by: x\n").expect_err("no object");
        assert_eq!(error.to_string(), "it has no line `object: ...`");
    }

    #[test]
    fn the_hash_tells_a_moved_boundary() {
        let inputs = |parts: [&str; 2]| vec![(parts[0].to_owned(), parts[1].to_owned())];
        assert_ne!(
            hash_all(&inputs(["ab", "c"])),
            hash_all(&inputs(["a", "bc"]))
        );
    }

    #[test]
    fn only_the_profile_of_the_object_counts() {
        let manifest = "[profile.dev]\na = 1\n[profile.bpf]\nb = 2\nc = 3\n[x]\nd = 4\n";
        assert_eq!(profile(manifest), "b = 2\nc = 3");
    }

    #[test]
    fn only_the_crates_of_the_object_count() {
        let lock = "version = 4\n\n\
            [[package]]\nname = \"anyhow\"\nversion = \"1\"\n\n\
            [[package]]\nname = \"aya-ebpf\"\nversion = \"2\"\n\n\
            [[package]]\nname = \"aya-obj\"\nversion = \"3\"\n";
        assert_eq!(
            locked_crates(lock),
            "name = \"aya-ebpf\"\nversion = \"2\"\n\n"
        );
    }
}
