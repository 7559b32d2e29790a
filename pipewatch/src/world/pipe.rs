//! Pipes: what is remembered of one as long as anybody watched holds an end.

use std::collections::VecDeque;

use crate::{
    finding::{Act, Created, Step, What},
    ids::{Fd, FileId, Ktime, ProcKey},
};

/// How many closes are remembered; older ones go first.
const CLOSES: usize = 16;
/// How many open file descriptions.
const FILES: usize = 16;

/// A pipe or FIFO. On a host that is watched as a whole most were made before and see
/// nothing happen, so that what is known of others is apart.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    /// Watched descriptors that refer to it.
    pub(super) slots: usize,
    /// The first open file description for writing that was seen of it.
    file: Option<FileId>,
    history: Option<Box<History>>,
}

/// What was seen to happen to a pipe.
#[derive(Clone, Debug, Default)]
struct History {
    created: Option<Created>,
    /// The open file description for writing that it was made with.
    first: Option<FileId>,
    /// The latest open file descriptions for writing, other than the first.
    files: VecDeque<FileId>,
    closes: VecDeque<Step>,
    released: Option<Ktime>,
    /// `pipe->head` when first seen after that.
    head_at_release: Option<u32>,
    left: Option<Ktime>,
    /// Heirs have written since.
    answered: bool,
    /// Somebody wrote after that moment, as far as is known.
    written: Option<Ktime>,
    /// What was written before somebody looked may have been by one whose end was missed.
    doubted: bool,
}

impl Pipe {
    fn history(&mut self) -> &mut History {
        self.history.get_or_insert_default()
    }

    /// How it was made, if seen.
    pub fn created(&self) -> Option<Created> {
        self.history.as_ref()?.created
    }

    /// Whether it was seen to be made by that process.
    pub(super) fn is_made_by(&self, process: ProcKey) -> bool {
        let maker = self.created().map(|created| created.act.actor.process);
        maker == Some(process)
    }

    /// The latest closes of a write end, by a call or by the end of who was to write.
    pub fn closes(&self) -> impl Iterator<Item = &Step> {
        self.history.iter().flat_map(|history| &history.closes)
    }

    /// When somebody meant to write last let go of a write end, if ever.
    pub fn released(&self) -> Option<Ktime> {
        self.history.as_ref()?.released
    }

    /// When any other process than the one that made the pipe last let go of a
    /// write end.
    pub fn left(&self) -> Option<Ktime> {
        self.history.as_ref()?.left
    }

    /// It was made, with that open file description for writing.
    pub(super) fn create(&mut self, created: Created, first: Option<FileId>) {
        let history = self.history();
        history.created = Some(created);
        history.first = first;
    }

    /// Whether a description is known to be the one it was made with.
    pub(super) fn was_made_with(&self, file: FileId) -> bool {
        let history = self.history.as_ref();
        history.is_some_and(|history| history.first == Some(file))
    }

    /// Who was to write has ended with a write end at that number.
    pub(super) fn exit(&mut self, act: Act, fd: Fd) {
        let closes = &mut self.history().closes;
        let last = closes.back_mut();
        match last.filter(|last| last.act == act && last.what == What::Exit) {
            Some(last) => last.fds.push(fd),
            None => self.close(Step {
                act,
                what: What::Exit,
                fds: vec![fd],
            }),
        }
    }

    pub(super) fn close(&mut self, step: Step) {
        let closes = &mut self.history().closes;
        if closes.len() == CLOSES {
            closes.pop_front();
        }
        // Most see one.
        closes.reserve_exact(1);
        closes.push_back(step);
    }

    /// A description for writing is seen of it.
    pub(super) fn see_file(&mut self, file: FileId) {
        if self.has_file(file) {
            return;
        }
        if self.file.is_none() {
            self.file = Some(file);
            return;
        }
        let files = &mut self.history().files;
        if files.len() == FILES - 1 {
            files.pop_front();
        }
        files.push_back(file);
    }

    /// Whether a description is known to be of it.
    pub(super) fn has_file(&self, file: FileId) -> bool {
        let history = self.history.as_ref();
        self.file == Some(file) || history.is_some_and(|history| history.files.contains(&file))
    }

    pub(super) fn release(&mut self, time: Ktime, head: Option<u32>) {
        let history = self.history();
        history.released = Some(time);
        history.head_at_release = head;
    }

    pub(super) fn leave(&mut self, time: Ktime) {
        self.history().left = Some(time);
    }

    /// When a process is known to have last made the pipe or closed a write end.
    pub fn last_act_of(&self, process: ProcKey) -> Option<Ktime> {
        let closes = self.closes().map(|step| step.act);
        let acts = closes.chain(self.created().map(|created| created.act));
        acts.filter(|act| act.actor.process == process)
            .map(|act| act.time)
            .max()
    }

    /// Takes note of `pipe->head` at some moment, in case the last release, which
    /// came before that, did not tell it.
    pub fn see_head(&mut self, head: u32, time: Ktime) {
        let Some(history) = &mut self.history else {
            return;
        };
        let later = history.released.is_some_and(|released| released <= time);
        if later && history.head_at_release.is_none() {
            history.head_at_release = Some(head);
        }
    }

    /// Only heirs are left to write: whether one has, now or before, given the
    /// present `pipe->head`.
    pub fn heirs_answered(&mut self, head: Option<u32>) -> bool {
        let history = self.history();
        history.answered |= history.released.is_some() && history.written >= history.released;
        if let Some(head) = head {
            let before = *history.head_at_release.get_or_insert(head);
            history.answered |= before != head;
        }
        history.answered
    }

    /// Events were lost, so that up to that moment somebody else than the heirs may have
    /// written: they have answered if they write from now on. Said once of a pipe.
    pub fn doubt_answers(&mut self, lost: Option<Ktime>, time: Ktime) {
        let history = self.history();
        if lost.is_some() && history.released <= lost && !history.doubted {
            history.doubted = true;
            history.released = history.released.max(Some(time));
            history.head_at_release = None;
        }
    }

    /// Somebody has written after that moment, as the reader shows.
    pub fn written_since(&mut self, time: Ktime) {
        let history = self.history();
        history.written = history.written.max(Some(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_that_is_opened_for_ever_by_a_path() {
        let mut pipe = Pipe::default();
        for file in 1..1_000 {
            pipe.see_file(FileId(file));
        }
        let known: Vec<u64> = (1..1_000)
            .filter(|file| pipe.has_file(FileId(*file)))
            .collect();
        assert_eq!(known.len(), FILES);
        assert_eq!((known[0], known[1]), (1, 985));
    }
}
