//! Which descriptors refer to one open file description. The kernel only tells
//! of two whether they do, so that descriptions get numbers here, and keep them.

use std::collections::{BTreeMap, BTreeSet};

use super::kcmp::{self, Same};
use crate::{
    event::{End, EndRow, Mode},
    ids::{Fd, FileId, PipeId, TableId, Tid},
};

type Place = (TableId, Fd, PipeId);

/// The numbers given so far.
#[derive(Debug, Default)]
pub(super) struct Identities {
    known: BTreeMap<Place, FileId>,
    last: u64,
}

impl Identities {
    /// Numbers one descriptor, as before if it was there before.
    pub(super) fn of_one(&mut self, table: TableId, end: End) -> End {
        let last = &mut self.last;
        let file = self
            .known
            .entry((table, end.fd, end.pipe))
            .or_insert_with(|| {
                *last += 1;
                FileId(*last)
            });
        End { file: *file, ..end }
    }

    /// Numbers all descriptors there are; what is not among them is forgotten.
    pub(super) fn of_all(&mut self, rows: &mut [EndRow]) {
        let known = std::mem::take(&mut self.known);
        self.number(rows, &known);
    }

    /// Numbers some descriptors.
    pub(super) fn of_some(&mut self, rows: &mut [EndRow]) {
        let known = self.known.clone();
        self.number(rows, &known);
    }

    fn number(&mut self, rows: &mut [EndRow], known: &BTreeMap<Place, FileId>) {
        let place = |row: &EndRow| (row.table, row.end.fd, row.end.pipe);
        let mut alike: BTreeMap<(PipeId, Sides), Vec<&mut EndRow>> = BTreeMap::new();
        for row in rows {
            let key = (row.end.pipe, sides(row.end.mode));
            alike.entry(key).or_default().push(row);
        }
        for rows in alike.into_values() {
            let mut taken = BTreeSet::new();
            for class in classes(rows) {
                let former = class.iter().filter_map(|row| known.get(&place(row)));
                let file = former.copied().filter(|file| !taken.contains(file)).min();
                let file = file.unwrap_or_else(|| {
                    self.last += 1;
                    FileId(self.last)
                });
                taken.insert(file);
                for row in class {
                    self.known.insert(place(row), file);
                    row.end.file = file;
                }
            }
        }
    }
}

type Sides = (bool, bool);

fn sides(mode: Mode) -> Sides {
    (mode.read, mode.write)
}

/// Descriptors of one pipe, that go the same way, by description. Where the
/// kernel does not tell, they count as one, which those of a pipe nearly
/// always are.
fn classes(rows: Vec<&mut EndRow>) -> Vec<Vec<&mut EndRow>> {
    let at = |row: &EndRow| -> (Tid, Fd) { (row.actor.tid, row.end.fd) };
    let mut classes: Vec<Vec<&mut EndRow>> = Vec::new();
    for row in rows {
        let same = |class: &&mut Vec<&mut EndRow>| {
            let first = class.first().map(|first| at(first));
            first.is_some_and(|first| kcmp::files(first, at(row)) != Same::No)
        };
        match classes.iter_mut().find(same) {
            Some(class) => class.push(row),
            None => classes.push(vec![row]),
        }
    }
    classes
}
