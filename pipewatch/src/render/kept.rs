//! What only the outside can tell of a hang, as it was when it was told: processes
//! end, and the hang is shown again later.

use std::collections::BTreeMap;

use crate::{
    event::Actor,
    finding::{Act, Details, Hang},
    ids::{Fd, Ktime, ProcKey},
    language::Language,
    stack::{Sight, Sights},
};

/// So many bytes of a command line are kept; it can have megabytes.
const COMMAND: usize = 4096;

/// That, and only of those who have to do with the hang.
#[derive(Debug)]
pub(super) struct Kept {
    commands: BTreeMap<ProcKey, Vec<String>>,
    cgroups: BTreeMap<ProcKey, String>,
    language: Option<Language>,
    sights: Sights,
    path: Option<String>,
    /// Wall clock at the kernel clock's zero.
    boot: u64,
}

impl Kept {
    /// Of the reader, the first `holders`, and who did `acts`.
    pub(super) fn of(
        hang: &Hang,
        details: &dyn Details,
        holders: usize,
        acts: impl Iterator<Item = Act>,
    ) -> Self {
        let reader = &hang.reader;
        let holders = || hang.holders.iter().take(holders);
        let mut kept = Self {
            commands: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            language: details.language(hang.to_mend()),
            sights: Sights::default(),
            path: details.path(reader.actor.process, reader.fd),
            boot: details.wall(Ktime(0)),
        };
        let mut processes: Vec<ProcKey> = holders().map(|holder| holder.process).collect();
        processes.push(reader.actor.process);
        for process in processes {
            if let Some(words) = details.cmdline(process) {
                kept.commands.insert(process, shortened(words));
            }
            if let Some(path) = details.cgroup(process) {
                kept.cgroups.insert(process, path);
            }
            kept.add_now(process, details);
        }
        let vias = holders().filter_map(|holder| holder.via.act);
        let made = hang.channel.created.map(|created| created.act);
        for act in acts.chain(vias).chain(made).chain([reader.act()]) {
            kept.add_act(act, details);
        }
        kept
    }

    fn add_now(&mut self, process: ProcKey, details: &dyn Details) {
        let frames = details.sights().now(process).to_vec();
        self.sights.add(Sight::Now { process, frames });
    }

    fn add_act(&mut self, act: Act, details: &dyn Details) {
        let Act { time, actor, .. } = act;
        let Actor { process, tid, .. } = actor;
        let frames = details.sights().of_act(time, tid).to_vec();
        if !frames.is_empty() {
            self.sights.add(Sight::Act { time, tid, frames });
        }
        if let Some(name) = details.sights().thread(process, tid) {
            let name = name.to_owned();
            self.sights.add(Sight::Thread { process, tid, name });
        }
    }
}

/// The first words, as far as there is room for them.
fn shortened(words: Vec<String>) -> Vec<String> {
    let mut room = COMMAND;
    let mut short = Vec::new();
    for word in words {
        let end = word.floor_char_boundary(room);
        if end < word.len() {
            short.push(format!("{}…", &word[..end]));
            break;
        }
        room -= word.len();
        short.push(word);
    }
    short
}

impl Details for Kept {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        self.commands.get(&process).cloned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_command_lines_are_cut_between_characters() {
        let long = "é".repeat(COMMAND);
        let short = shortened(vec!["ab".to_owned(), long, "never".to_owned()]);
        assert_eq!(short.len(), 2);
        assert_eq!(short[1].chars().count(), (COMMAND - 2) / 2 + 1);
        let words = vec!["sh".to_owned(), String::new()];
        assert_eq!(shortened(words.clone()), words);
    }
}
