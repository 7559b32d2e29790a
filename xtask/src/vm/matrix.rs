//! What came out: one row for each kernel, one cell for each backend.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::kernels::Kernel;
use super::log::Log;
use crate::frame;
use crate::workspace;

/// The name of the frame in docs/kernels.md.
const FRAME: &str = "vm";

/// One kernel with one backend.
#[derive(Debug)]
pub struct Cell {
    /// What the kernel was asked for as.
    pub kernel: String,
    /// The backend.
    pub backend: &'static str,
    /// Whether the kernel is known to lack the backend.
    pub may_be_absent: bool,
    /// What the guest said.
    pub log: Log,
    /// How that differs from what is recorded.
    pub differences: Vec<String>,
    /// How long it took, with the retry if there was one.
    pub took: Duration,
}

impl Cell {
    /// Whether all that was to be shown is shown.
    pub fn passed(&self) -> bool {
        let Log {
            fault,
            failed,
            absent,
            ..
        } = &self.log;
        let had = absent.is_none() || self.may_be_absent;
        fault.is_none() && failed.is_empty() && had && self.differences.is_empty()
    }

    /// The same in words.
    pub fn say(&self) -> String {
        let Log {
            ended,
            skipped,
            failed,
            fault,
            absent,
            ..
        } = &self.log;
        let tests = ended + skipped;
        match (fault, absent) {
            (Some(fault), _) => format!("infrastructure: {fault}"),
            (None, Some(reason)) if self.may_be_absent => format!("absent: {reason}"),
            (None, Some(reason)) => format!("absent, and should not be: {reason}"),
            (None, None) if !self.differences.is_empty() => self.differences.join("; "),
            (None, None) if !self.log.doctor.is_empty() => "as recorded".to_owned(),
            (None, None) if failed.is_empty() => format!("{ended} passed"),
            (None, None) => format!(
                "{} of {tests} passed; failed: {}{}",
                ended - failed.len(),
                failed.join(", "),
                if *skipped == 0 {
                    ""
                } else {
                    "; the rest was not run"
                }
            ),
        }
    }
}

/// The matrix as text of a document, below a line that says what it was made with.
pub fn table(with: &str, kernels: &[&Kernel], backends: &[&str], cells: &[Cell]) -> String {
    let columns = format!(
        "| kernel | {} |\n|{}\n",
        backends.join(" | "),
        "---|".repeat(backends.len() + 1)
    );
    let mut matrix = columns;
    let mut origins =
        String::from("| kernel | package | SHA-256 | would use |\n|---|---|---|---|\n");
    for kernel in kernels {
        let of_kernel = || cells.iter().filter(|cell| cell.kernel == kernel.name);
        let say = |backend: &&str| {
            let cell = of_kernel().find(|cell| cell.backend == *backend);
            cell.map_or_else(String::new, |cell| match cell.passed() {
                true => cell.say(),
                false => format!("**{}**", cell.say()),
            })
        };
        let name = of_kernel()
            .map(|cell| cell.log.kernel.as_str())
            .max()
            .unwrap_or_default();
        let said: Vec<String> = backends.iter().map(say).collect();
        matrix += &format!("| {} | {} |\n", kernel.title(), said.join(" | "));
        let diagnosis = of_kernel()
            .find_map(|cell| cell.log.diagnosis())
            .unwrap_or_else(|| "the doctor did not answer".to_owned());
        let package = &kernel.package;
        origins += &format!(
            "| {name} | {} {} | `{}` | {diagnosis} |\n",
            package.name, package.version, package.sha256
        );
    }
    format!("{with}\n\n{matrix}\n{origins}")
}

/// Puts the matrix into docs/kernels.md.
pub fn write(root: &Path, table: &str) -> Result<()> {
    let path = root.join("docs/kernels.md");
    let document = workspace::read(&path)?;
    let document = frame::replace(&document, FRAME, table)
        .with_context(|| format!("{} lacks the lines that frame the matrix", path.display()))?;
    fs::write(&path, document).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("vm: wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::debian::Package;
    use super::*;

    fn kernel(name: &str, version: &str) -> Kernel {
        Kernel {
            name: name.into(),
            package: Package {
                name: format!("linux-image-{name}"),
                version: version.into(),
                sha256: "12ab".into(),
            },
            image: PathBuf::new(),
        }
    }

    fn cell(kernel: &str, backend: &'static str, failed: &[&str], fault: Option<&str>) -> Cell {
        let log = Log {
            kernel: format!("{kernel}-cloud"),
            ended: 7,
            failed: failed.iter().map(|name| name.to_string()).collect(),
            fault: fault.map(str::to_owned),
            ..Log::default()
        };
        Cell {
            kernel: kernel.into(),
            backend,
            may_be_absent: false,
            log,
            differences: Vec::new(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn only_a_whole_pass_looks_like_one() {
        let kernels = [
            kernel("6.1", "6.1.192-2"),
            kernel("newest", "7.3.4-1~bpo13+1"),
        ];
        let cells = [
            cell("6.1", "kprobe", &[], None),
            cell("6.1", "procfs", &["hang::a", "hang::b"], None),
            cell("newest", "kprobe", &[], Some("Kernel panic")),
        ];
        let table = table(
            "With this.",
            &kernels.each_ref(),
            &["kprobe", "procfs"],
            &cells,
        );
        let expected = "\
With this.

| kernel | kprobe | procfs |
|---|---|---|
| 6.1.192 | 7 passed | **5 of 7 passed; failed: hang::a, hang::b** |
| 7.3.4 (newest) | **infrastructure: Kernel panic** |  |

| kernel | package | SHA-256 | would use |
|---|---|---|---|
| 6.1-cloud | linux-image-6.1 6.1.192-2 | `12ab` | the doctor did not answer |
| newest-cloud | linux-image-newest 7.3.4-1~bpo13+1 | `12ab` | the doctor did not answer |
";
        assert_eq!(table, expected);
    }

    #[test]
    fn only_what_is_known_to_be_absent_may_be() {
        let mut cell = cell("arm64-6.1", "fentry", &[], None);
        cell.log.absent = Some("not to be had".into());
        assert_eq!(cell.say(), "absent, and should not be: not to be had");
        assert!(!cell.passed());
        cell.may_be_absent = true;
        assert_eq!(cell.say(), "absent: not to be had");
        assert!(cell.passed());
        cell.log.fault = Some("Kernel panic".into());
        assert!(!cell.passed());
    }
}
