//! What files tell of the frames of their code (`.eh_frame`): kept for all who run it,
//! since forks do.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use framehop::{ExplicitModuleSectionInfo, Module};
use object::{
    Object as _, ObjectSection as _, ObjectSegment as _, ReadCache, SegmentFlags, elf::PF_X,
};

use super::process::{FileId, Map, Process};

/// A section larger than this is no honest unwind information, in bytes.
const SECTION: u64 = 1 << 28;
/// So much is kept, in bytes: what most programs and their libraries have.
const KEPT: usize = 1 << 22;

/// The bytes of a section.
pub(super) type Bytes = Arc<[u8]>;

/// What was read of files.
#[derive(Debug, Default)]
pub(super) struct Modules {
    files: BTreeMap<FileId, Tables>,
    /// How many bytes these have.
    bytes: usize,
}

/// What the file of some code tells of its frames.
#[derive(Clone, Debug)]
struct Tables {
    /// Where code is in the file, and its address there.
    code: Vec<(Range<u64>, u64)>,
    sections: ExplicitModuleSectionInfo<Bytes>,
}

impl Modules {
    /// What is told of the frames of code, where it is mapped.
    pub(super) fn of(&mut self, process: &Process, map: &Map) -> Option<Module<Bytes>> {
        let tables = if map.path.starts_with('/') {
            self.of_file(process, map)?
        } else if map.path == "[vdso]" {
            let length = map.range.end - map.range.start;
            let bytes = process.read(map.range.start, usize::try_from(length).ok()?);
            Tables::of(&object::File::parse(bytes.as_slice()).ok()?)
        } else {
            return None;
        };
        tables.at(map)
    }

    fn of_file(&mut self, process: &Process, map: &Map) -> Option<Tables> {
        let file = process.code_of(map);
        if let Some(known) = file.and_then(|file| self.files.get(&file)) {
            return Some(known.clone());
        }
        let cache = ReadCache::new(process.file_of(map)?);
        let tables = Tables::of(&object::File::parse(&cache).ok()?);
        if let Some(file) = file {
            self.keep(file, &tables);
        }
        Some(tables)
    }

    fn keep(&mut self, file: FileId, tables: &Tables) {
        let bytes = tables.bytes();
        if bytes > KEPT {
            return;
        }
        if self.bytes + bytes > KEPT {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.files.insert(file, tables.clone());
    }
}

impl Tables {
    fn of<'data, R: object::ReadRef<'data>>(file: &object::File<'data, R>) -> Self {
        let code = file.segments().filter(is_code).map(|segment| {
            let (offset, size) = segment.file_range();
            (offset..offset.saturating_add(size), segment.address())
        });
        let section = |name: &str| {
            let section = file.section_by_name(name)?;
            let range = section.address()..section.address().checked_add(section.size())?;
            Some((range, section))
        };
        let data = |name: &str| {
            let (range, section) = section(name)?;
            let data = (section.size() <= SECTION)
                .then(|| section.data().ok())
                .flatten()?;
            Some((range, Bytes::from(data)))
        };
        let (eh_frame_svma, eh_frame) = data(".eh_frame").unzip();
        let (eh_frame_hdr_svma, eh_frame_hdr) = data(".eh_frame_hdr").unzip();
        Self {
            code: code.collect(),
            sections: ExplicitModuleSectionInfo {
                text_svma: section(".text").map(|(range, _)| range),
                got_svma: section(".got").map(|(range, _)| range),
                eh_frame_svma,
                eh_frame,
                eh_frame_hdr_svma,
                eh_frame_hdr,
                ..ExplicitModuleSectionInfo::default()
            },
        }
    }

    /// What it takes, also of a file that tells nothing: there may be any number of these.
    fn bytes(&self) -> usize {
        let sections = [&self.sections.eh_frame, &self.sections.eh_frame_hdr];
        let sections = sections.into_iter().flatten().map(|bytes| bytes.len());
        sections.sum::<usize>() + size_of_val(self.code.as_slice()) + size_of::<Self>()
    }

    /// Of the code that is mapped there.
    fn at(self, map: &Map) -> Option<Module<Bytes>> {
        // The kernel maps whole pages.
        let mapped = map.offset..map.offset + (map.range.end - map.range.start);
        let (range, address) = self
            .code
            .into_iter()
            .find(|(range, _)| mapped.contains(&range.start) || range.contains(&map.offset))?;
        let base = map
            .range
            .start
            .wrapping_sub(map.offset)
            .wrapping_add(range.start)
            .wrapping_sub(address);
        let path = map.path.clone();
        Some(Module::new(path, map.range.clone(), base, self.sections))
    }
}

fn is_code<'data>(segment: &impl object::ObjectSegment<'data>) -> bool {
    matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(bytes: usize) -> Tables {
        Tables {
            code: Vec::new(),
            sections: ExplicitModuleSectionInfo {
                eh_frame: Some(vec![0; bytes].into()),
                ..ExplicitModuleSectionInfo::default()
            },
        }
    }

    #[test]
    fn what_is_kept_of_files_is_bounded() {
        let mut modules = Modules::default();
        // Small ones, which tell nothing of frames, as well as large ones.
        for bytes in [0, KEPT / 3] {
            let tables = tables(bytes);
            for file in 0..2 * KEPT / tables.bytes() {
                modules.keep(FileId::numbered(file as u64), &tables);
            }
            let kept: usize = modules.files.values().map(Tables::bytes).sum();
            assert!((1..=KEPT).contains(&kept), "{kept} bytes are kept");
        }
        // One that is too large costs none that is there.
        let before = modules.files.len();
        modules.keep(FileId::numbered(u64::MAX), &tables(KEPT));
        assert_eq!(modules.files.len(), before);
    }
}
