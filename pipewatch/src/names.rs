//! Names that a report takes from outside the engine. They are noted when a hang is
//! found: who is named may be gone when the report has its stacks.

use std::collections::BTreeMap;

use crate::{
    event::Kind,
    finding::{Details, Hang},
    ids::{Fd, Ktime, ProcKey},
    language::Language,
    procfs,
    stack::Sights,
    trace_file::Entry,
};

/// The names of a report, or of all reports of a trace.
#[derive(Default)]
pub struct Names {
    cmdlines: BTreeMap<ProcKey, Vec<String>>,
    cgroups: BTreeMap<ProcKey, String>,
    languages: BTreeMap<ProcKey, Language>,
    paths: BTreeMap<(ProcKey, Fd), String>,
}

/// What programs are written in, of hangs that were found at the same time: most concern
/// one process then, and to look takes long.
#[derive(Default)]
pub struct Languages {
    time: Option<Ktime>,
    known: BTreeMap<ProcKey, Option<Language>>,
}

impl Languages {
    fn of(&mut self, hang: &Hang) -> Option<Language> {
        if self.time.replace(hang.time) != Some(hang.time) {
            self.known.clear();
        }
        let process = hang.to_mend();
        let known = self.known.entry(process);
        *known.or_insert_with(|| procfs::language(process.pid))
    }
}

impl Names {
    /// Those that the host shows now of what a hang names.
    pub fn of(hang: &Hang, languages: &mut Languages) -> Self {
        let mut names = Self::default();
        let reader = hang.reader.actor.process;
        let holders = hang.looked_into().iter().map(|holder| holder.process);
        for process in holders.chain([reader]) {
            if let Some(words) = procfs::cmdline(process.pid) {
                names.cmdlines.insert(process, words);
            }
        }
        for process in hang.processes() {
            if let Some(path) = procfs::cgroup(process.pid) {
                names.cgroups.insert(process, path);
            }
        }
        if let Some(language) = languages.of(hang) {
            names.languages.insert(hang.to_mend(), language);
        }
        let fd = hang.reader.fd;
        if hang.channel.kind == Kind::Fifo
            && let Some(path) = procfs::path(reader.pid, fd)
        {
            names.paths.insert((reader, fd), path);
        }
        names
    }

    /// As a trace keeps them.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let cmdlines = self.cmdlines.iter().map(|(process, words)| Entry::Cmdline {
            process: *process,
            words: words.clone(),
        });
        let cgroups = self.cgroups.iter().map(|(process, path)| Entry::Cgroup {
            process: *process,
            path: path.clone(),
        });
        let languages = self.languages.iter();
        let languages = languages.map(|(process, language)| Entry::Language {
            process: *process,
            language: *language,
        });
        let paths = self.paths.iter();
        let paths = paths.map(|((process, fd), path)| Entry::Path {
            process: *process,
            fd: *fd,
            path: path.clone(),
        });
        cmdlines.chain(cgroups).chain(languages).chain(paths)
    }

    /// Adds what an entry of a trace names, if it does.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Cmdline { process, words } => {
                self.cmdlines.insert(process, words);
            }
            Entry::Cgroup { process, path } => {
                self.cgroups.insert(process, path);
            }
            Entry::Language { process, language } => {
                self.languages.insert(process, language);
            }
            Entry::Path { process, fd, path } => {
                self.paths.insert((process, fd), path);
            }
            Entry::Started(_)
            | Entry::Input(_)
            | Entry::Lost(_)
            | Entry::Sight(_)
            | Entry::Stopped(_) => {}
        }
    }
}

/// All that a report takes from outside the engine.
pub struct Noted<'a, W> {
    /// Names.
    pub names: &'a Names,
    /// What was seen in the processes.
    pub sights: &'a Sights,
    /// Wall clock of a moment, nanoseconds since 1970-01-01 UTC.
    pub wall: W,
}

impl<W: Fn(Ktime) -> u64> Details for Noted<'_, W> {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        self.names.cmdlines.get(&process).cloned()
    }

    fn cgroup(&self, process: ProcKey) -> Option<String> {
        self.names.cgroups.get(&process).cloned()
    }

    fn language(&self, process: ProcKey) -> Option<Language> {
        self.names.languages.get(&process).copied()
    }

    fn sights(&self) -> &Sights {
        self.sights
    }

    fn path(&self, process: ProcKey, fd: Fd) -> Option<String> {
        self.names.paths.get(&(process, fd)).cloned()
    }

    fn wall(&self, time: Ktime) -> u64 {
        (self.wall)(time)
    }
}
