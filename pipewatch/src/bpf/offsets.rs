//! Where the running kernel keeps the members that the programs read.

use std::{collections::BTreeMap, fs, io};

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};
use pipewatch_ebpf::offsets::{ABSENT, COUNT, FIELDS, Field};

use super::{Cause, NotLoaded};
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

/// What the programs must know of the running kernel.
#[derive(Debug)]
pub(super) struct Layout {
    /// Offsets of all `fields`.
    pub offsets: [u32; COUNT],
    /// Whether programs can have the current task, and the registers of any, by
    /// type (5.15).
    pub typed_tasks: bool,
    /// Otherwise: where these registers lie in a task's stack.
    pub stack_regs: u32,
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

/// Looks everything up in the running kernel's type information.
pub(super) fn of_running_kernel() -> Result<Layout, NotLoaded> {
    resolve(&types_of_running_kernel()?)
}

/// What the running kernel tells of its types.
pub(super) fn types_of_running_kernel() -> Result<TypeInformation, NotLoaded> {
    let bytes = fs::read(BTF).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::NotFound {
            "pipewatch needs a kernel built with CONFIG_DEBUG_INFO_BTF=y (the kernels of the large \
             distributions are)"
        } else {
            "the file must be readable; is /sys mounted in this container?"
        };
        NotLoaded {
            problem: Problem::new(
                format!("cannot read the kernel's type information (BTF) {BTF}: {error}"),
                format!("{hint}; --backend procfs does without"),
            ),
            cause: Cause::NoTypes,
        }
    })?;
    parse(bytes)
}

pub(super) fn parse(bytes: Vec<u8>) -> Result<TypeInformation, NotLoaded> {
    TypeInformation::new(&Bytes(bytes)).map_err(|error| {
        let problem = Problem::new(
            format!("cannot understand the kernel's type information {BTF}: {error:?}"),
            "report this with the output of `uname -a`",
        );
        problem.into()
    })
}

/// What came last of that which the programs cannot do without: 5.8,
/// `kernel/bpf/ringbuf.c`.
const NEWEST_HELPER: &str = "bpf_ringbuf_output";
/// The later one of the two calls that hand out tasks and registers by type:
/// 5.15, `kernel/trace/bpf_trace.c`.
const TYPED_REGISTERS: &str = "bpf_task_pt_regs";
/// Size of a task's stack in the kernel: `THREAD_SIZE` of x86_64 and arm64 without
/// KASAN. The registers of its system call lie at the top, on x86_64 up to 6.15 and
/// so on every kernel that does not tell them by type.
const THREAD_SIZE: usize = 16 << 10;

fn resolve(types: &TypeInformation) -> Result<Layout, NotLoaded> {
    if types.id_of(NEWEST_HELPER).is_none() {
        return Err(NotLoaded {
            problem: Problem::new(
                format!("this kernel is too old for the probes (it has no {NEWEST_HELPER})"),
                "they need Linux 5.8 or later; --backend procfs does without",
            ),
            cause: Cause::TooOld,
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
            .and_then(|id| {
                let mut names = field.path.split('|');
                names.find_map(|path| types.offset_of(id, path).ok())
            })
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
    let registers = structures
        .get("pt_regs")
        .and_then(|id| types.size_of(*id).ok())
        .unwrap_or_default();
    Ok(Layout {
        offsets,
        typed_tasks: types.id_of(TYPED_REGISTERS).is_some(),
        stack_regs: THREAD_SIZE.saturating_sub(registers) as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_helper_is_too_old() {
        let mut bytes = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        // No types, and no names but the empty one.
        bytes.extend([0, 0, 0, 1].map(u32::to_le_bytes).as_flattened());
        bytes.push(0);
        let types = parse(bytes).expect("type information");
        let NotLoaded { problem, cause } = resolve(&types).expect_err("it is too old");
        assert_eq!(cause, Cause::TooOld);
        assert!(problem.message.contains(NEWEST_HELPER), "{problem}");
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for bytes in [
            vec![],
            vec![0xff; 3],
            vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0],
            vec![0; 4096],
        ] {
            let NotLoaded { problem, .. } = parse(bytes).err().expect("garbage is no BTF");
            assert!(problem.message.contains("cannot understand"), "{problem}");
        }
    }
}
