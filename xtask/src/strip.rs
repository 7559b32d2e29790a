//! Take out of an eBPF object what no loader reads.

use anyhow::{Context, Result, bail};
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

/// What a loader cannot do without.
const NEEDED: [&str; 3] = [".BTF", ".BTF.ext", "license"];

/// What only debuggers read, and the relocations of the BTF sections, whose
/// offsets loaders read in place: together nine tenths of the object.
const UNREAD: [&str; 3] = [".debug_", ".rel.debug_", ".rel.BTF"];

/// Takes the source lines of instructions, which only the verifier's log shows,
/// out of a `.BTF.ext`: half of the object. What is left are the types of
/// functions (`struct btf_ext_header` of `tools/lib/bpf/btf.h`, as bytes of the
/// target, which is little endian).
fn drop_lines(data: &mut Vec<u8>) -> Result<()> {
    let word = |data: &[u8], at: usize| -> Result<usize> {
        let bytes = data.get(at..).and_then(|rest| rest.first_chunk());
        let bytes = bytes.context("it is too short")?;
        Ok(usize::try_from(u32::from_le_bytes(*bytes))?)
    };
    let (header, functions) = (word(data, 4)?, word(data, 12)?);
    let (lines, relocations) = (
        word(data, 16)?,
        if header >= 32 { word(data, 28)? } else { 0 },
    );
    if lines != functions || relocations != 0 {
        bail!("lines are not all that follows the functions");
    }
    data[20..24].fill(0);
    if header >= 32 {
        // Nothing of relocations begins where nothing of lines does.
        data.copy_within(16..20, 24);
    }
    data.truncate(header + functions);
    Ok(())
}

/// The object without the sections that no loader reads.
pub fn strip(object: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Builder::read(object).context("the eBPF object is not valid ELF")?;
    for needed in NEEDED {
        if !elf
            .sections
            .iter()
            .any(|section| *section.name == *needed.as_bytes())
        {
            bail!("the eBPF object has no section {needed}");
        }
    }
    for section in &mut elf.sections {
        section.delete = UNREAD
            .iter()
            .any(|prefix| section.name.starts_with(prefix.as_bytes()));
    }
    for section in &mut elf.sections {
        if *section.name == *b".BTF.ext"
            && let SectionData::Data(data) = &mut section.data
        {
            drop_lines(data.to_mut()).context("cannot read the section .BTF.ext")?;
        }
    }
    elf.delete_orphans();
    // The linker keeps the names of sections among those of symbols; this
    // writer wants a section for them.
    let names = elf.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = SectionData::SectionString;

    let mut stripped = Vec::new();
    elf.write(&mut stripped)
        .context("cannot write the stripped eBPF object")?;
    Ok(stripped)
}
