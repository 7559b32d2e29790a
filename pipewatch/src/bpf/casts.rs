//! The kernel's function that tells a program the type of an address, which the object
//! cannot name: where it calls it stands the number of a helper that there is not.

use object::{Object as _, ObjectSection as _, SectionKind};
use pipewatch_ebpf::offsets::CAST_CALL;

use crate::problem::{Problem, chain};

/// Length of an instruction (`struct bpf_insn` of `include/uapi/linux/bpf.h`).
const INSTRUCTION: usize = 8;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, in the half of a byte where the source register is.
const OF_KERNEL: u8 = 2 << 4;

/// Makes all such calls in `code`, the object, call the function with this number in the
/// kernel's type information.
///
/// # Errors
///
/// It is no object.
pub(super) fn write(code: &mut [u8], function: u32) -> Result<(), Problem> {
    let file = object::File::parse(&*code).map_err(|error| {
        Problem::new(
            format!("the eBPF object is not to be read: {}", chain(&error)),
            "this build is broken: run `cargo xtask ebpf` and build again",
        )
    })?;
    let is_code = |section: &object::Section<'_, '_>| section.kind() == SectionKind::Text;
    let sections = file.sections().filter(is_code);
    let places: Vec<_> = sections
        .filter_map(|section| section.file_range())
        .collect();
    for (from, length) in places {
        let section = &mut code[from as usize..][..length as usize];
        for instruction in section.chunks_exact_mut(INSTRUCTION) {
            if instruction[0] == CALL && instruction[4..] == CAST_CALL.to_ne_bytes() {
                instruction[1] |= OF_KERNEL;
                instruction[4..].copy_from_slice(&function.to_ne_bytes());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that calls have in the code of the object.
    fn calls(object: &[u8]) -> Vec<(u8, u32)> {
        let file = object::File::parse(object).expect("an object");
        let code = file.sections().filter(|it| it.kind() == SectionKind::Text);
        let code = code.flat_map(|section| section.data().expect("its bytes").to_vec());
        let bytes: Vec<u8> = code.collect();
        let calls = bytes.chunks(INSTRUCTION).filter(|it| it[0] == CALL);
        let number = |it: &[u8]| u32::from_ne_bytes(it[4..].try_into().expect("four bytes"));
        calls.map(|it| (it[1], number(it))).collect()
    }

    #[test]
    fn only_calls_of_the_helper_that_there_is_not_are_changed() {
        let mut object = super::super::OBJECT.to_vec();
        let before = calls(&object);
        write(&mut object, 4711).expect("an object");
        let expected: Vec<_> = before
            .iter()
            .map(|&(registers, number)| match number {
                CAST_CALL => (OF_KERNEL, 4711),
                _ => (registers, number),
            })
            .collect();
        assert!(before.iter().any(|&(_, number)| number == CAST_CALL));
        assert_eq!(calls(&object), expected);
    }
}
