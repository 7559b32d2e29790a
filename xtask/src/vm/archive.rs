//! Archives that the kernel unpacks into its first file system; it takes
//! several, one after the other.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::exec;

/// How hard to compress what is kept.
pub const SMALL: u32 = 15;
/// How hard to compress what is made for one run.
pub const FAST: u32 = 1;

/// The programs that pack, and their Debian packages.
pub const PROGRAMS: &[(&str, &str)] = &[("cpio", "cpio"), ("zstd", "zstd")];

/// Sorted, owned by root: the same files make the same archive.
const PACK: &str = r#"set -e -o pipefail
cd "$0"
find . -print0 | LC_ALL=C sort -z |
    cpio --null --create --format=newc --owner=0:0 --reproducible --quiet |
    zstd -q -T0 "-$2" --force -o "$1.part"
mv "$1.part" "$1""#;

/// Packs all that is below a folder into a file, which is there only when it is
/// whole.
pub fn pack(folder: &Path, into: &Path, level: u32) -> Result<()> {
    let mut bash = Command::new("bash");
    bash.args(["-c", PACK])
        .arg(folder)
        .arg(into)
        .arg(level.to_string());
    exec::run(&mut bash)
}
