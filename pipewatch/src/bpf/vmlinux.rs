//! The file that the running kernel shows its type information in.

use std::{fs::File, io, ops::Deref, os::unix::fs::FileExt as _, panic::resume_unwind, thread};

use memmap2::Mmap;

use super::{Cause, NotLoaded};
use crate::problem::Problem;

/// Its path.
pub(super) const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The bytes of a file.
pub(super) enum Bytes {
    /// As the kernel has them, which costs next to nothing.
    Mapped(Mmap),
    /// A copy.
    Read(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

/// Linux maps its type information since 6.16 (`btf_sysfs_vmlinux_mmap`).
fn map_or_read() -> io::Result<Bytes> {
    let file = File::open(PATH)?;
    // SAFETY: the kernel never changes what it was built with.
    let mapped = unsafe { Mmap::map(&file) };
    mapped.map_or_else(|_| read(&file).map(Bytes::Read), |it| Ok(Bytes::Mapped(it)))
}

/// A read has no more than a page, so it takes a thousand of them: half of them at the same
/// time as the others.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let (first, second) = bytes.split_at_mut(length / 2);
    let middle = first.len() as u64;
    thread::scope(|scope| {
        let other = scope.spawn(move || file.read_exact_at(second, middle));
        file.read_exact_at(first, 0)?;
        other.join().unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    Ok(bytes)
}

/// The type information of the running kernel, as it is in its file.
///
/// # Errors
///
/// The kernel has none, or the file is not to be read.
pub(super) fn bytes_of_types() -> Result<Bytes, NotLoaded> {
    map_or_read().map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::NotFound {
            "pipewatch needs a kernel built with CONFIG_DEBUG_INFO_BTF=y (the kernels of the large \
             distributions are)"
        } else {
            "the file must be readable; is /sys mounted in this container?"
        };
        NotLoaded {
            problem: Problem::new(
                format!("cannot read the kernel's type information (BTF) {PATH}: {error}"),
                format!("{hint}; --backend procfs does without"),
            ),
            cause: Cause::NoTypes,
        }
    })
}
