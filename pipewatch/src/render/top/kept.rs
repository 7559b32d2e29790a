//! What was told with a report, for as long as it is shown.

use std::collections::BTreeMap;

use crate::{
    finding::{Details, Hang},
    ids::{Fd, Ktime, ProcKey},
    language::Language,
    stack::Sights,
};

#[derive(Debug)]
pub(super) struct Kept {
    cmdlines: BTreeMap<ProcKey, Vec<String>>,
    cgroups: BTreeMap<ProcKey, String>,
    language: Option<Language>,
    path: Option<String>,
    sights: Sights,
    /// Wall clock at the kernel clock's zero.
    boot: u64,
}

impl Kept {
    pub(super) fn of(hang: &Hang, details: &dyn Details) -> Self {
        let reader = hang.reader.actor.process;
        let holders = hang.holders.iter().map(|holder| holder.process);
        let cmdlines = holders.chain([reader]);
        let cmdlines = cmdlines.filter_map(|process| Some((process, details.cmdline(process)?)));
        let cgroups = hang.processes();
        let cgroups = cgroups
            .into_iter()
            .filter_map(|process| Some((process, details.cgroup(process)?)));
        Self {
            cmdlines: cmdlines.collect(),
            cgroups: cgroups.collect(),
            language: details.language(hang.to_mend()),
            path: details.path(reader, hang.reader.fd),
            sights: details.sights().clone(),
            boot: details.wall(hang.time).saturating_sub(hang.time.0),
        }
    }
}

impl Details for Kept {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        self.cmdlines.get(&process).cloned()
    }

    fn cgroup(&self, process: ProcKey) -> Option<String> {
        self.cgroups.get(&process).cloned()
    }

    /// Asked of one process only.
    fn language(&self, _: ProcKey) -> Option<Language> {
        self.language
    }

    fn sights(&self) -> &Sights {
        &self.sights
    }

    /// Asked of the reader's descriptor only.
    fn path(&self, _: ProcKey, _: Fd) -> Option<String> {
        self.path.clone()
    }

    fn wall(&self, time: Ktime) -> u64 {
        self.boot.saturating_add(time.0)
    }
}
