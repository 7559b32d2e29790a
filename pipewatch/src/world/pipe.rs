//! Pipes: what is remembered of one as long as anybody watched holds an end.

use std::collections::VecDeque;

use crate::{
    finding::{Created, Step},
    ids::{FileId, Ktime, ProcKey},
};

/// How many closes are remembered; older ones go first.
const CLOSES: usize = 16;
/// How many open file descriptions.
const FILES: usize = 16;

/// A pipe or FIFO.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    /// How it was made, if seen.
    pub created: Option<Created>,
    /// Watched descriptors that refer to it.
    pub(super) slots: usize,
    /// Open file descriptions for writing that were seen of it: the first, and the
    /// latest others.
    files: VecDeque<FileId>,
    /// The latest closes of a write end, by a call.
    pub closes: VecDeque<Step>,
    /// When somebody meant to write last let go of a write end, if ever.
    pub released: Option<Ktime>,
    /// `pipe->head` when first seen after that.
    pub(super) head_at_release: Option<u32>,
    /// When any other process than the one that made the pipe last let go of a
    /// write end.
    pub left: Option<Ktime>,
    /// Heirs have written since.
    answered: bool,
    /// Somebody wrote after that moment, as far as is known.
    written: Option<Ktime>,
}

impl Pipe {
    pub(super) fn close(&mut self, step: Step) {
        if self.closes.len() == CLOSES {
            self.closes.pop_front();
        }
        self.closes.push_back(step);
    }

    /// A description for writing is seen of it.
    pub(super) fn see_file(&mut self, file: FileId) {
        if self.has_file(file) {
            return;
        }
        if self.files.len() == FILES {
            self.files.remove(1);
        }
        self.files.push_back(file);
    }

    /// Whether a description is known to be of it.
    pub(super) fn has_file(&self, file: FileId) -> bool {
        self.files.contains(&file)
    }

    pub(super) fn release(&mut self, time: Ktime, head: Option<u32>) {
        self.released = Some(time);
        self.head_at_release = head;
    }

    /// When a process is known to have last made the pipe or closed a write end.
    pub fn last_act_of(&self, process: ProcKey) -> Option<Ktime> {
        let closes = self.closes.iter().map(|step| step.act);
        let acts = closes.chain(self.created.map(|created| created.act));
        acts.filter(|act| act.actor.process == process)
            .map(|act| act.time)
            .max()
    }

    /// Takes note of `pipe->head` at some moment, in case the last release, which
    /// came before that, did not tell it.
    pub fn see_head(&mut self, head: u32, time: Ktime) {
        let later = self.released.is_some_and(|released| released <= time);
        if later && self.head_at_release.is_none() {
            self.head_at_release = Some(head);
        }
    }

    /// Only heirs are left to write: whether one has, now or before, given the
    /// present `pipe->head`.
    pub fn heirs_answered(&mut self, head: Option<u32>) -> bool {
        self.answered |= self.released.is_some() && self.written >= self.released;
        if let Some(head) = head {
            let before = *self.head_at_release.get_or_insert(head);
            self.answered |= before != head;
        }
        self.answered
    }

    /// Somebody has written after that moment, as the reader shows.
    pub fn written_since(&mut self, time: Ktime) {
        self.written = self.written.max(Some(time));
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
        assert_eq!(pipe.files.len(), FILES);
        assert!(pipe.has_file(FileId(1)) && pipe.has_file(FileId(999)));
    }
}
