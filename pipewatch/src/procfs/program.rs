//! What a process runs.

use std::fs::{self, File};

use object::{
    Endianness, ReadCache, ReadRef,
    elf::{FileHeader32, FileHeader64},
    read::elf::FileHeader,
};

use crate::{ids::Pid, language::Language};

/// Programs that run scripts in languages of their own.
const INTERPRETERS: [&str; 16] = [
    "sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "zsh", "beam.smp", "dotnet", "java",
    "lua", "perl", "php", "ruby", "tclsh",
];

/// The language of the program that a process runs. `None` if it is gone, may not
/// be looked into, or runs one that there is no word for.
pub fn language(pid: Pid) -> Option<Language> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    by_name(name).or_else(|| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let is_interpreter = INTERPRETERS.contains(&name) || INTERPRETERS.contains(&stem);
        (!is_interpreter).then(|| by_content(pid)).flatten()
    })
}

fn by_name(name: &str) -> Option<Language> {
    if name.starts_with("python") || name.starts_with("pypy") {
        Some(Language::Python)
    } else if matches!(name, "node" | "nodejs") {
        Some(Language::Node)
    } else {
        None
    }
}

fn by_content(pid: Pid) -> Option<Language> {
    // Paths may be of any bytes.
    let maps = fs::read(format!("/proc/{pid}/maps")).ok()?;
    if String::from_utf8_lossy(&maps).contains("/libpython") {
        return Some(Language::Python);
    }
    let program = ReadCache::new(File::open(format!("/proc/{pid}/exe")).ok()?);
    // Go's linker adds it, and strip leaves it.
    let is_go = has_section(&program, b".go.buildinfo")?;
    Some(if is_go {
        Language::Go
    } else {
        Language::Compiled
    })
}

/// Whether a program has a section of that name. Nothing but its list of sections is read:
/// its symbols may be many megabytes, and reports wait for this.
fn has_section<'data>(program: impl ReadRef<'data>, name: &[u8]) -> Option<bool> {
    lists_section::<FileHeader64<Endianness>>(program, name)
        .or_else(|| lists_section::<FileHeader32<Endianness>>(program, name))
}

fn lists_section<'data, Header: FileHeader<Endian = Endianness>>(
    program: impl ReadRef<'data>,
    name: &[u8],
) -> Option<bool> {
    let header = Header::parse(program).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, program).ok()?;
    Some(sections.section_by_name(endian, name).is_some())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Seek, SeekFrom};

    use super::*;

    /// A file, and how much was read of it.
    struct Counted(File, u64);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn of_a_program_its_list_of_sections_is_read_alone() {
        let mut counted = Counted(File::open("/proc/self/exe").expect("this program"), 0);
        let cache = ReadCache::new(&mut counted);
        assert_eq!(has_section(&cache, b".text"), Some(true));
        assert_eq!(has_section(&cache, b".no.such"), Some(false));
        drop(cache);
        let size = counted.0.metadata().expect("its size").len();
        let read = counted.1;
        assert!(read < size / 100, "{read} of {size} bytes were read");
        assert_eq!(has_section(&b"#!/bin/sh\n"[..], b".text"), None);
    }

    #[test]
    fn programs_tell_their_language_by_name_or_content() {
        assert_eq!(by_name("python3.12"), Some(Language::Python));
        assert_eq!(by_name("node"), Some(Language::Node));
        assert_eq!(by_name("nodding"), None);
        let own = language(Pid(std::process::id()));
        assert_eq!(own, Some(Language::Compiled));
        assert_eq!(language(Pid(u32::MAX)), None);
    }
}
