//! What is installed beside the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::{Release, gzip, notices};
use crate::exec;
use crate::vm::Arch;

/// Files of the repository that tell about it.
const DOCUMENTS: &[&str] = &["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// A folder as /usr/share is.
pub struct Share {
    /// It.
    pub folder: PathBuf,
}

impl Share {
    /// Makes it anew: manual pages, completions, licences.
    pub fn make(release: &Release, arch: &Arch, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let seconds = release.epoch.parse().context("the time of the commit")?;
        let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
        let date = date.to_string();
        let (date, _) = date.split_once('T').unwrap_or((&date, ""));
        let pages = tempfile::tempdir().context("cannot make a folder")?;
        let mut write = release.workspace.cargo();
        write
            .args(["run", "--quiet", "--locked", "--package", "pipewatch"])
            .args(["--example", "pages", "--"])
            .arg(pages.path())
            .arg(date);
        exec::run(&mut write)?;

        let names = fs::read_dir(pages.path()).context("cannot list what was written")?;
        for entry in names {
            let path = entry.context("cannot list what was written")?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let place = match name.rsplit_once('.') {
                Some((_, "bash")) => "bash-completion/completions/pipewatch".into(),
                Some((_, "fish")) => format!("fish/vendor_completions.d/{name}"),
                Some((_, section)) => format!("man/man{section}/{name}"),
                None => format!("zsh/site-functions/{name}"),
            };
            let place = folder.join(place);
            put(&fs::read(&path).context("a page cannot be read")?, &place)?;
            if place.extension().is_some_and(|section| section == "1") {
                gzip(&place)?;
            }
        }
        let doc = folder.join("doc/pipewatch");
        for name in DOCUMENTS {
            let path = release.workspace.root.join(name);
            let text =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            put(&text, &doc.join(name))?;
        }
        let notices = notices::of(release.workspace, arch)?;
        put(notices.as_bytes(), &doc.join("THIRD-PARTY"))?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }
}

fn put(bytes: &[u8], path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
