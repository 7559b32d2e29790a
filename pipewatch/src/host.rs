//! The host, as it tells a report what the engine does not know.

use crate::{
    clock::Wall,
    finding::Details,
    ids::{Fd, Ktime, ProcKey},
    language::Language,
    procfs,
    source::Source,
    stack::Sights,
};

/// The host.
pub struct Host {
    /// How it is seen.
    pub source: Source,
    /// Its clocks.
    pub wall: Wall,
}

impl Host {
    /// With what was found out for a report.
    pub fn with<'a>(&'a self, sights: &'a Sights) -> impl Details + 'a {
        Seen { host: self, sights }
    }
}

struct Seen<'a> {
    host: &'a Host,
    sights: &'a Sights,
}

impl Details for Seen<'_> {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        procfs::cmdline(process.pid)
    }

    fn cgroup(&self, process: ProcKey) -> Option<String> {
        procfs::cgroup(process.pid)
    }

    fn language(&self, process: ProcKey) -> Option<Language> {
        procfs::language(process.pid)
    }

    fn sights(&self) -> &Sights {
        self.sights
    }

    fn path(&self, process: ProcKey, fd: Fd) -> Option<String> {
        procfs::path(process.pid, fd)
    }

    fn wall(&self, time: Ktime) -> u64 {
        self.host.wall.of(time)
    }
}
