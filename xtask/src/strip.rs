//! Take out of an eBPF object what no loader reads.

use anyhow::{Context, Result, bail};
use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

/// What a loader cannot do without.
const NEEDED: [&str; 3] = [".BTF", ".BTF.ext", "license"];

/// What only debuggers read, and the relocations of the BTF sections, whose
/// offsets loaders read in place: together nine tenths of the object.
const UNREAD: [&str; 3] = [".debug_", ".rel.debug_", ".rel.BTF"];

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
