//! Where the running kernel keeps the members that the programs read.

use pipewatch_ebpf::offsets::{ABSENT, COUNT, FIELDS, Field, SLOT_FILE, types};

use super::{Cause, NotLoaded, btf::Kind, named::Named};
use crate::{arch, problem::Problem};

/// What the programs must know of the running kernel.
#[derive(Debug)]
pub(super) struct Layout {
    /// Offsets of all `fields`.
    pub offsets: [u32; COUNT],
    /// Whether programs can have the current task, and the registers of any, by
    /// type (5.15).
    pub typed_tasks: bool,
    /// How programs can tell the type of an address.
    pub casts: Option<Casts>,
    /// Unless `typed_tasks`: where these registers lie in a task's stack.
    pub stack_regs: u32,
}

/// The kernel's numbers of what it takes to tell the type of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Casts {
    /// Of the function that is called.
    pub function: u32,
    /// Of `types`; zero if the kernel has no such type, nor the members that are read
    /// through it.
    pub types: [u32; types::NAMES.len()],
}

impl Casts {
    /// Where there is no such function: with these numbers, no program calls it.
    pub const NONE: Self = Self {
        function: 0,
        types: [0; types::NAMES.len()],
    };
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

/// What came last of that which the programs cannot do without: 5.8,
/// `kernel/bpf/ringbuf.c`.
const NEWEST_HELPER: &str = "bpf_ringbuf_output";
/// The later one of the two calls that hand out tasks and registers by type:
/// 5.15, `kernel/trace/bpf_trace.c`.
const TYPED_REGISTERS: &str = "bpf_task_pt_regs";
/// What tells the type of an address: 6.2, `kernel/bpf/helpers.c`.
const CAST: &str = "bpf_rdonly_cast";
/// Size of a task's stack in the kernel: `THREAD_SIZE` of x86_64 and arm64 without
/// KASAN. The registers of its system call lie at the top, on x86_64 up to 6.15 and
/// so on every kernel that does not tell them by type.
const THREAD_SIZE: u32 = 16 << 10;

/// The names of what is looked up.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let structures = fields().map(|field| field.structure);
    let others = types::NAMES.into_iter();
    structures.chain(others.chain([NEWEST_HELPER, TYPED_REGISTERS, CAST]))
}

/// Looks everything up in a kernel's type information, where [`names`] were found.
///
/// # Errors
///
/// The kernel is too old, or lacks a member that pipewatch cannot do without.
pub(super) fn resolve(named: &Named<'_>) -> Result<Layout, NotLoaded> {
    let kernel = named.types;
    let has_function = |name| named.first(Kind::Function, name).is_some();
    if !has_function(NEWEST_HELPER) {
        return Err(NotLoaded {
            problem: Problem::new(
                format!("this kernel is too old for the probes (it has no {NEWEST_HELPER})"),
                "they need Linux 5.8 or later; --backend procfs does without",
            ),
            cause: Cause::TooOld,
        });
    }
    let mut offsets = [ABSENT; COUNT];
    for (field, offset) in fields().zip(&mut offsets) {
        let structure = named.first(Kind::Struct, field.structure);
        let found = structure.and_then(|id| {
            let mut names = field.path.split('|');
            names.find_map(|path| kernel.offset_of(id, path))
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
    let registers = named.first(Kind::Struct, "pt_regs");
    let registers = registers.and_then(|id| kernel.size_of(id));
    let function = named.first(Kind::Function, CAST);
    // Cast to is what begins with the member.
    let function = function.filter(|_| offsets[SLOT_FILE] == 0);
    let number = |name| named.first(Kind::Struct, name).unwrap_or_default();
    Ok(Layout {
        offsets,
        typed_tasks: has_function(TYPED_REGISTERS),
        casts: function.map(|function| Casts {
            function,
            types: types::NAMES.map(number),
        }),
        stack_regs: THREAD_SIZE.saturating_sub(registers.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::btf::{Types, made},
        *,
    };

    #[test]
    fn a_kernel_without_the_helper_is_too_old() {
        let bytes = made::Btf::default().bytes();
        let types = Types::parse(&bytes).expect("type information");
        let NotLoaded { problem, cause } =
            resolve(&types.named(names())).expect_err("it is too old");
        assert_eq!(cause, Cause::TooOld);
        assert!(problem.message.contains(NEWEST_HELPER), "{problem}");
    }

    #[test]
    fn a_member_that_only_a_declaration_could_have_is_named() {
        let mut made = made::Btf::default();
        made.add(made::FUNC, NEWEST_HELPER, 0, &[]);
        made.add(made::FWD, "task_struct", 0, &[]);
        let bytes = made.bytes();
        let types = Types::parse(&bytes).expect("type information");
        let NotLoaded { problem, .. } = resolve(&types.named(names())).expect_err("no member");
        assert_eq!(
            problem.message,
            "this kernel has no member task_struct.tgid"
        );
    }
}
