//! What a person has chosen to see.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a key that means nothing at some place does nothing there"
)]

use std::sync::Arc;

use super::{
    board::{Board, Wait},
    draw::cells,
};
use crate::{finding::WaitId, ids::Ktime, render::word::Word as _};

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Interrupt,
    Suspend,
}

/// What a key asks of whoever has the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    Stay,
    /// To end.
    Quit,
    /// To stop until it is continued.
    Suspend,
}

/// The order of waits, hangs before others in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Longest,
    Newest,
    Pid,
}

impl Sort {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Longest => "longest first",
            Self::Newest => "newest first",
            Self::Pid => "by pid",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Longest => Self::Newest,
            Self::Newest => Self::Pid,
            Self::Pid => Self::Longest,
        }
    }
}

/// How a board is looked at.
#[derive(Debug, Default)]
pub struct View {
    pub(super) colour: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) help: bool,
    /// The board at the moment of the pause.
    pub(super) paused: Option<Board>,
    /// Of the last frame that was not in a pause.
    pub(super) now: Ktime,
    pub(super) selected: Option<WaitId>,
    /// The wait whose details are shown, also when it is over.
    pub(super) details: Option<Arc<Wait>>,
    /// The first line of the details that is seen.
    pub(super) scroll: usize,
    /// The first row that is seen.
    pub(super) offset: usize,
    /// Rows, or lines, of the last frame.
    pub(super) page: usize,
}

impl View {
    /// All waits, the longest first; with or without colours.
    pub fn new(colour: bool) -> Self {
        Self {
            colour,
            ..Self::default()
        }
    }

    /// The waits to show, in order.
    pub(super) fn waits(&self, board: &Board) -> Vec<Arc<Wait>> {
        let filter = self.filter.to_lowercase();
        let mut waits: Vec<Arc<Wait>> = board
            .waits
            .values()
            .filter(|wait| words(wait).to_lowercase().contains(&filter))
            .map(Arc::clone)
            .collect();
        waits.sort_by_key(|wait| {
            let since = wait.hang.reader.since.0;
            let order = match self.sort {
                Sort::Longest => since,
                Sort::Newest => u64::MAX - since,
                Sort::Pid => wait.hang.reader.actor.process.pid.0.into(),
            };
            (!wait.hangs(), order, wait.hang.id)
        });
        waits
    }

    /// Does what a key stands for.
    pub fn press(&mut self, key: Key, board: &Board) -> Wish {
        match key {
            Key::Interrupt => return Wish::Quit,
            Key::Suspend => return Wish::Suspend,
            _ if self.typing => self.type_filter(key),
            _ if self.help => self.help = false,
            Key::Char('q') => return Wish::Quit,
            Key::Char('?' | 'h') => self.help = true,
            Key::Char('p' | ' ') => {
                self.paused = match self.paused {
                    Some(_) => None,
                    None => Some(board.clone()),
                }
            }
            _ if self.details.is_some() => self.turn_page(key),
            Key::Escape if !self.filter.is_empty() => self.filter.clear(),
            Key::Escape => return Wish::Quit,
            Key::Char('/') => self.typing = true,
            Key::Char('s') => self.sort = self.sort.next(),
            _ => self.choose(key, board),
        }
        Wish::Stay
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(letter) => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Enter => self.typing = false,
            Key::Escape => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    /// Among the details of a wait.
    fn turn_page(&mut self, key: Key) {
        match key {
            Key::Escape | Key::Enter | Key::Backspace => self.details = None,
            _ => {
                if let Some(to) = moved(self.scroll, self.page, usize::MAX, key) {
                    self.scroll = to;
                }
            }
        }
    }

    /// Among the rows.
    fn choose(&mut self, key: Key, board: &Board) {
        let waits = {
            let paused = self.paused.as_ref();
            self.waits(paused.unwrap_or(board))
        };
        let at = self.place(&waits);
        if key == Key::Enter {
            self.details = at.and_then(|at| waits.get(at)).map(Arc::clone);
            self.scroll = 0;
        } else if let Some(to) = moved(at.unwrap_or(0), self.page, waits.len(), key) {
            self.selected = waits.get(to).map(|wait| wait.hang.id);
        }
    }

    /// Which row is the selected one: the first, if that wait is over.
    pub(super) fn place(&self, waits: &[Arc<Wait>]) -> Option<usize> {
        let selected = |wait: &Arc<Wait>| Some(wait.hang.id) == self.selected;
        let first = (!waits.is_empty()).then_some(0);
        waits.iter().position(selected).or(first)
    }
}

/// Where a key leads from `at`, of `count` places.
fn moved(at: usize, page: usize, count: usize, key: Key) -> Option<usize> {
    let page = page.saturating_sub(1).max(1);
    let to = match key {
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Down | Key::Char('j') => at.saturating_add(1),
        Key::PageUp => at.saturating_sub(page),
        Key::PageDown => at.saturating_add(page),
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => count,
        _ => return None,
    };
    Some(to.min(count.saturating_sub(1)))
}

/// All that a filter is compared with: the row, and who the details tell of.
fn words(wait: &Wait) -> String {
    use crate::finding::Details as _;
    let hang = &wait.hang;
    let mut words = vec![format!("#{}", hang.id)];
    words.extend(cells(wait));
    if wait.hangs() {
        words.push(hang.confidence.word().to_owned());
    }
    let reader = hang.reader.actor;
    words.push(format!("{} {}", reader.comm, reader.tid));
    let holders = hang.holders.iter();
    words.extend(holders.map(|holder| format!("{} {}", holder.process.pid, holder.comm)));
    let processes = hang.holders.iter().map(|holder| holder.process);
    for process in processes.chain([reader.process]) {
        words.extend(wait.details.cmdline(process).unwrap_or_default());
    }
    words.join(" ")
}
