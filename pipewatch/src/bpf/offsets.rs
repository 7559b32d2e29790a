//! Where the running kernel keeps the members that the programs read.

use std::{collections::BTreeMap, fs, io};

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};
use pipewatch_ebpf::offsets::{ABSENT, COUNT, FIELDS, Field};

use super::NotLoaded;
use crate::{arch, problem::Problem};

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

/// All members and registers, in the order of their indexes.
fn fields() -> impl Iterator<Item = Field> {
    let registers = arch::REGISTERS.map(|path| Field {
        structure: "pt_regs",
        path,
        optional: false,
    });
    FIELDS.iter().copied().chain(registers)
}

/// Offsets of all `fields` in the running kernel.
pub(super) fn of_running_kernel() -> Result<[u32; COUNT], NotLoaded> {
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

/// What the programs call that came last: 5.17, `kernel/bpf/bpf_iter.c`.
const NEWEST_HELPER: &str = "bpf_loop";

fn resolve(bytes: Vec<u8>) -> Result<[u32; COUNT], NotLoaded> {
    let types = TypeInformation::new(&Bytes(bytes)).map_err(|error| {
        Problem::new(
            format!("cannot understand the kernel's type information {BTF}: {error:?}"),
            "report this with the output of `uname -a`",
        )
    })?;
    if types.id_of(NEWEST_HELPER).is_none() {
        return Err(NotLoaded {
            problem: Problem::new(
                format!("this kernel is too old for the probes (it has no {NEWEST_HELPER})"),
                "they need Linux 5.17 or later; --backend procfs does without",
            ),
            unfit: true,
        });
    }
    let mut structures: BTreeMap<&str, u32> = BTreeMap::new();
    for id in types.get().iter().filter_map(|(id, variant)| {
        // There are declarations of the same name without any member.
        matches!(variant, TypeVariant::Struct(_)).then_some(*id)
    }) {
        let name = types.name_of(id).unwrap_or_default();
        if let Some(field) = fields().find(|field| field.structure == name) {
            structures.entry(field.structure).or_insert(id);
        }
    }
    let mut offsets = [ABSENT; COUNT];
    for (field, offset) in fields().zip(&mut offsets) {
        let found = structures
            .get(field.structure)
            .copied()
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
                )
                .into());
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
            let NotLoaded { problem, .. } = resolve(bytes).expect_err("garbage is no BTF");
            assert!(problem.message.contains("cannot understand"), "{problem}");
        }
    }
}
