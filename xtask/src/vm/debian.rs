//! Packages of any Debian release, by an apt configuration of our own that
//! leaves the system's alone.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::arch::Arch;
use crate::exec;

/// Releases of the main archive that packages are taken from.
const SUITES: &[&str] = &["bookworm", "trixie-backports"];
/// Releases of the archive of security updates.
const SECURITY_SUITES: &[&str] = &["bullseye-security", "bookworm-security"];

/// Where no Debian mirror is configured.
const MIRRORS: [&str; 2] = [
    "http://deb.debian.org/debian",
    "http://deb.debian.org/debian-security",
];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How long apt may take for one thing, as `timeout` is told.
const PATIENCE: &str = "10m";

/// Packages of one architecture.
pub struct Debian {
    arch: &'static str,
    folder: PathBuf,
    /// Whether the lists of packages are of today.
    updated: OnceCell<()>,
}

/// A package that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of its file, as the signed list of packages has it.
    pub sha256: String,
}

impl Debian {
    /// Packages of this architecture; all files are kept below `folder`.
    pub fn new(folder: PathBuf, arch: &Arch) -> Result<Self> {
        let arch = arch.debian;
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        let [main, security] = mirrors();
        let line = |mirror: &str, suite: &str| {
            format!("deb [arch={arch} signed-by={KEYRING}] {mirror} {suite} main\n")
        };
        let lines: String = SUITES
            .iter()
            .map(|suite| line(&main, suite))
            .chain(SECURITY_SUITES.iter().map(|suite| line(&security, suite)))
            .collect();
        let list = folder.join("sources.list");
        fs::write(&list, lines).with_context(|| format!("cannot write {}", list.display()))?;
        Ok(Self {
            arch,
            folder,
            updated: OnceCell::new(),
        })
    }

    /// The packages whose name `is_wanted`, the newest first; of one version,
    /// those with the kernel itself and a signature first.
    pub fn find(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Package>> {
        self.update()?;
        let all = exec::output(self.apt("apt-cache").args(["pkgnames", "linux-"]))?;
        let names: Vec<&str> = all.lines().filter(|name| is_wanted(name)).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut packages = self.show(&names)?;
        packages.sort_by_cached_key(|package| {
            (
                Reverse(numbers(&package.version)),
                package.name.contains("-image-"),
                package.name.contains("-unsigned"),
            )
        });
        Ok(packages)
    }

    /// The packages of these names.
    pub fn show(&self, names: &[&str]) -> Result<Vec<Package>> {
        self.update()?;
        let mut show = self.apt("apt-cache");
        show.args(["show", "--no-all-versions"]).args(names);
        Ok(paragraphs(&exec::output(&mut show)?))
    }

    /// Fetches a package and puts its files below `root`.
    pub fn unpack(&self, package: &Package, root: &Path) -> Result<()> {
        let Package { name, version, .. } = package;
        let folder = tempfile::tempdir_in(&self.folder).context("cannot make a folder")?;
        let mut download = self.apt("apt-get");
        download
            .args(["--quiet=2", "download", &format!("{name}={version}")])
            .current_dir(&folder);
        exec::run(&mut download)?;
        let file = fs::read_dir(&folder)
            .ok()
            .and_then(|mut files| files.next()?.ok())
            .with_context(|| format!("{} left no file", exec::name(&download)))?;
        exec::run(Command::new("dpkg").arg("-x").arg(file.path()).arg(root))
    }

    /// Fetches the lists of packages, once.
    fn update(&self) -> Result<()> {
        if self.updated.get().is_none() {
            eprintln!("vm: fetching Debian's lists of packages for {}", self.arch);
            if !Path::new(KEYRING).is_file() {
                bail!(
                    "{KEYRING} is missing, without which no Debian package can be trusted\n\
                     hint: apt-get install debian-archive-keyring"
                );
            }
            exec::run(self.apt("apt-get").args(["--quiet=2", "update"]))?;
            self.updated.get_or_init(|| ());
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let at = |key: &str, part: &str| format!("{key}={}", self.folder.join(part).display());
        // With no room left on the device it has been seen to wait for ever.
        let mut apt = Command::new("timeout");
        apt.args(["--kill-after=10s", PATIENCE, program]);
        for setting in [
            at("Dir::Etc::SourceList", "sources.list"),
            at("Dir::State::Lists", "lists"),
            at("Dir::Cache", "cache"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            // What is installed here does not matter, and is of another architecture.
            "Dir::State::status=/dev/null".into(),
            format!("APT::Architecture={}", self.arch),
            format!("APT::Architectures={}", self.arch),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            // The folder may be closed to the user that apt downloads as.
            "APT::Sandbox::User=root".into(),
        ] {
            apt.args(["-o", &setting]);
        }
        apt.stdin(Stdio::null());
        apt
    }
}

/// The mirrors that the machine uses, so that no other needs to be reachable.
fn mirrors() -> [String; 2] {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]);
    let configured = exec::answer(&mut targets).unwrap_or_default();
    let mirror = |security: bool| {
        let mut lines = configured.lines();
        lines.find(|line| line.contains("security") == security)
    };
    [false, true].map(|security| {
        mirror(security)
            .unwrap_or(MIRRORS[usize::from(security)])
            .to_owned()
    })
}

/// The packages that `apt-cache show` tells of.
fn paragraphs(text: &str) -> Vec<Package> {
    let package = |paragraph: &str| {
        let field = |name| {
            let mut lines = paragraph.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        Some(Package {
            name: field("Package: ")?,
            version: field("Version: ")?,
            sha256: field("SHA256: ")?,
        })
    };
    text.split("\n\n").filter_map(package).collect()
}

/// The numbers in a version, by which later ones are greater.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|sign: char| !sign.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_what_apt_shows() {
        let text = "Package: a\nVersion: 6.1.192-2\nSHA256: 12\n\nPackage: b\nVersion: 1\n";
        let a = Package {
            name: "a".into(),
            version: "6.1.192-2".into(),
            sha256: "12".into(),
        };
        assert_eq!(paragraphs(text), [a]);
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let ordered = [
            "6.1.176-1~deb11u1",
            "6.1.192-2",
            "6.12.9-1",
            "6.12.117-1",
            "7.0.13-1",
        ];
        assert!(ordered.is_sorted_by_key(|version| numbers(version)));
    }
}
