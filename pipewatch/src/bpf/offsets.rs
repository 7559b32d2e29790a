//! Where the running kernel keeps the members that the programs read.

use std::{fs, io};

use btfparse::{Offset, Readable, TypeInformation};
use pipewatch_ebpf::offsets::{ABSENT, COUNT, FIELDS};

use crate::problem::Problem;

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// A BTF file in memory, as its parser wants to read it.
struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self
            .0
            .get(start..)
            .and_then(|rest| rest.get(..buffer.len()));
        let bytes = bytes.ok_or_else(|| {
            btfparse::Error::new(btfparse::ErrorKind::EOF, "the file ends before that")
        })?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Offsets of all `FIELDS` in the running kernel.
pub(super) fn of_running_kernel() -> Result<[u32; COUNT], Problem> {
    let bytes = fs::read(BTF).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::NotFound {
            "pipewatch needs a kernel built with CONFIG_DEBUG_INFO_BTF=y (the kernels of the large \
             distributions are)"
        } else {
            "the file must be readable; is /sys mounted in this container?"
        };
        Problem::new(
            format!("cannot read the kernel's type information (BTF) {BTF}: {error}"),
            hint,
        )
    })?;
    resolve(bytes)
}

fn resolve(bytes: Vec<u8>) -> Result<[u32; COUNT], Problem> {
    let types = TypeInformation::new(&Bytes(bytes)).map_err(|error| {
        Problem::new(
            format!("cannot understand the kernel's type information {BTF}: {error:?}"),
            "report this with the output of `uname -a`",
        )
    })?;
    let mut offsets = [ABSENT; COUNT];
    for (field, offset) in FIELDS.iter().zip(&mut offsets) {
        let found = types
            .id_of(field.structure)
            .and_then(|id| types.offset_of(id, field.path).ok())
            .and_then(|(_, offset)| match offset {
                Offset::ByteOffset(bytes) => Some(bytes),
                Offset::BitOffsetAndSize(..) => None,
            });
        match found {
            Some(bytes) => *offset = bytes,
            None if field.optional => {}
            None => {
                return Err(Problem::new(
                    format!(
                        "this kernel has no member {}.{}",
                        field.structure, field.path
                    ),
                    "this pipewatch does not know this kernel yet; look for a newer pipewatch",
                ));
            }
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for bytes in [
            vec![],
            vec![0xff; 3],
            vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0],
            vec![0; 4096],
        ] {
            let problem = resolve(bytes).expect_err("garbage is no BTF");
            assert!(problem.message.contains("cannot understand"), "{problem}");
        }
    }
}
