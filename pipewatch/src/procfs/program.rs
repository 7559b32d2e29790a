//! What a process runs.

use std::fs::{self, File};

use object::{Object as _, ReadCache};

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
    let program = object::File::parse(&program).ok()?;
    // Go's linker adds it, and strip leaves it.
    let is_go = program.section_by_name(".go.buildinfo").is_some();
    Some(if is_go {
        Language::Go
    } else {
        Language::Compiled
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
