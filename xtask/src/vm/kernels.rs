//! The kernels of the guests: Debian's, for machines in a cloud, which lack no
//! feature and boot fast.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::arch::{self, Arch};
use super::debian::{Debian, Package};
use crate::workspace;

/// The one after which no other is available.
pub const NEWEST: &str = "newest";
/// What runs where nothing else is asked for: everything that is maintained for
/// long, and a sample of the rest.
pub const ALL: &[&str] = &[
    "5.10",
    "6.1",
    "6.12",
    "6.18",
    "7.0",
    NEWEST,
    "arm64-6.1",
    "arm64-6.12",
    "arm64-newest",
];
/// What every change must pass.
pub const CI: &[&str] = &["5.10", "6.1", "6.12", NEWEST];

/// What a kernel is asked for as: `6.12` or [`NEWEST`]; of another architecture
/// than this machine's, `arm64-6.12`.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Whose it is.
    pub arch: &'static Arch,
    /// Which.
    pub series: &'a str,
}

impl<'a> Name<'a> {
    /// Reads it.
    pub fn parse(text: &'a str) -> Self {
        let of = |arch: &&'static Arch| {
            let series = text.strip_prefix(arch.debian)?.strip_prefix('-')?;
            Some(Self { arch, series })
        };
        let native = Self {
            arch: &arch::NATIVE,
            series: text,
        };
        arch::ALL.iter().find_map(of).unwrap_or(native)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arch, series } = self;
        if arch.debian != arch::NATIVE.debian {
            write!(f, "{}-", arch.debian)?;
        }
        f.write_str(series)
    }
}

/// A kernel that has been fetched.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What it was asked for as.
    pub name: String,
    /// Where it comes from.
    pub package: Package,
    /// The file that boots.
    pub image: PathBuf,
}

impl Kernel {
    /// The newest of the series that there is.
    pub fn fetch(folder: &Path, wanted: Name, debian: &Debian) -> Result<Self> {
        let Name { arch, series } = wanted;
        let candidates = debian.find(|name| is_of(name, series, arch))?;
        // Newer releases have packages of the old names that are empty, and
        // lists have packages that are gone.
        for package in &candidates {
            match fetch(package, &folder.join(series), debian) {
                Ok(()) => {
                    eprintln!("vm: fetched {} {}", package.name, package.version);
                    return Self::fetched(folder, wanted)?
                        .with_context(|| format!("{} vanished", folder.display()));
                }
                Err(error) => eprintln!("vm: cannot use {}: {error:#}", package.name),
            }
        }
        bail!(
            "no package has a kernel {series} for {}\nhint: `cargo xtask vm --list` tells which are known",
            arch.debian
        )
    }

    /// Its version, and what it was asked for as where that says more.
    pub fn title(&self) -> String {
        let version = self.package.version.split('-').next().unwrap_or_default();
        let Name { arch, series } = Name::parse(&self.name);
        let mut title = if arch.debian == arch::NATIVE.debian {
            version.to_owned()
        } else {
            format!("{} {version}", arch.debian)
        };
        if series == NEWEST {
            title += &format!(" ({NEWEST})");
        }
        title
    }

    /// The one fetched before.
    pub fn fetched(folder: &Path, wanted: Name) -> Result<Option<Self>> {
        let folder = folder.join(wanted.series);
        let record = folder.join("package.json");
        if !record.is_file() {
            return Ok(None);
        }
        let record: Value = serde_json::from_str(&workspace::read(&record)?)
            .with_context(|| format!("{} is not valid; remove it", record.display()))?;
        let field = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        Ok(Some(Self {
            name: wanted.to_string(),
            package: Package {
                name: field("name"),
                version: field("version"),
                sha256: field("sha256"),
            },
            image: folder.join("vmlinuz"),
        }))
    }
}

/// Puts the kernel of a package into a folder, and tells there where it is from.
fn fetch(package: &Package, folder: &Path, debian: &Debian) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let unpacked = tempfile::tempdir_in(folder).context("cannot make a folder")?;
    debian.unpack(package, unpacked.path())?;
    let image = find_image(unpacked.path())?.context("it has no kernel")?;
    fs::copy(&image, folder.join("vmlinuz"))
        .with_context(|| format!("cannot copy {}", image.display()))?;
    let Package {
        name,
        version,
        sha256,
    } = package;
    let record = json!({"name": name, "version": version, "sha256": sha256});
    let path = folder.join("package.json");
    fs::write(&path, format!("{record:#}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `vmlinuz-VERSION`, `vmlinuz` or `vmlinuz.unsigned`, wherever it is.
fn find_image(folder: &Path) -> Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let kind = entry
            .file_type()
            .context("cannot tell files from folders")?;
        let path = entry.path();
        if kind.is_dir() {
            if let Some(image) = find_image(&path)? {
                return Ok(Some(image));
            }
        } else if kind.is_file() && entry.file_name().to_string_lossy().starts_with("vmlinuz") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether a package is a kernel of the series: `linux-image-6.1.0-56-cloud-amd64`,
/// from 6.19 on `linux-binary-7.3.4+deb13-cloud-amd64`; without a signature
/// `linux-image-VERSION-cloud-amd64-unsigned` and `linux-binary-unsigned-VERSION-…`.
fn is_of(name: &str, series: &str, arch: &Arch) -> bool {
    let name = name.replacen("-unsigned", "", 1);
    let version = ["linux-image-", "linux-binary-"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .and_then(|rest| rest.strip_suffix(arch.debian)?.strip_suffix("-cloud-"));
    // Two numbers and no third are a package that only names another.
    let is_kernel = |version: &str| version.split('.').count() > 2;
    version.is_some_and(|version| {
        let rest = version.strip_prefix(series);
        is_kernel(version) && (series == NEWEST || rest.is_some_and(|rest| rest.starts_with('.')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_told_by_the_name_of_the_package() {
        let is = |name: &str, series: &str| is_of(name, series, &arch::NATIVE);
        assert!(is("linux-image-6.1.0-56-cloud-amd64", "6.1"));
        assert!(is("linux-image-6.12.117+deb12-cloud-amd64", "6.12"));
        assert!(is("linux-binary-unsigned-7.2.13+deb14-cloud-amd64", "7.2"));
        assert!(is("linux-image-6.12.9+deb13-cloud-amd64-unsigned", "6.12"));
        assert!(is("linux-binary-7.3.4+deb13-cloud-amd64", NEWEST));
        for (name, series) in [
            ("linux-image-6.12.117+deb12-cloud-amd64", "6.1"),
            ("linux-image-6.1-cloud-amd64", "6.1"),
            ("linux-image-6.1-cloud-amd64", NEWEST),
            ("linux-image-6.1.0-56-amd64", "6.1"),
            ("linux-image-6.1.0-56-cloud-amd64-dbg", "6.1"),
            ("linux-headers-6.1.0-56-cloud-amd64", "6.1"),
            ("linux-image-6.1.0-56-cloud-arm64", "6.1"),
        ] {
            assert!(!is(name, series), "{name} is no kernel {series}");
        }
    }

    #[test]
    fn an_architecture_is_told_by_the_name_of_the_kernel() {
        for (text, arch, series, again) in [
            ("6.1", "amd64", "6.1", "6.1"),
            ("amd64-6.1", "amd64", "6.1", "6.1"),
            ("arm64-newest", "arm64", NEWEST, "arm64-newest"),
        ] {
            let name = Name::parse(text);
            assert_eq!((name.arch.debian, name.series), (arch, series));
            assert_eq!(name.to_string(), again);
        }
        assert!(is_of(
            "linux-image-6.1.0-56-cloud-arm64",
            "6.1",
            &arch::ARM64
        ));
    }
}
