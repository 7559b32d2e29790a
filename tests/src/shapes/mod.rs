//! Shapes of hangs and healthy waits, enacted by real programs, with what is to
//! be said of each.

mod answer;
mod command;
mod hangs;
mod healthy;
mod rows;

pub use answer::{Answer, Saying};
pub use command::Script;
pub use rows::ROWS;

use serde_json::{Value, json};

/// A situation, and the right answer.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Which of [`ROWS`] it enacts.
    pub row: &'static str,
    /// Name, unique.
    pub name: &'static str,
    /// What runs.
    pub script: Script,
    /// What is to be reported; `None` for nothing.
    pub expected: Option<Answer>,
}

const fn hang(row: &'static str, name: &'static str, script: Script, answer: Answer) -> Shape {
    Shape {
        row,
        name,
        script,
        expected: Some(answer),
    }
}

const fn healthy(row: &'static str, name: &'static str, script: Script) -> Shape {
    Shape {
        row,
        name,
        script,
        expected: None,
    }
}

/// All of them.
pub fn shapes() -> impl Iterator<Item = &'static Shape> {
    hangs::HANGS.iter().chain(healthy::HEALTHY)
}

impl Shape {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        shapes().find(|shape| shape.name == name)
    }

    /// What it is and what is to be said of it, for programs.
    pub fn describe(&self) -> Value {
        json!({
            "row": self.row,
            "name": self.name,
            "program": self.script.interpreter(),
            "expected": self.expected.map(|answer| answer.describe()),
        })
    }

    /// Whether one of the command lines in a record is of this shape: one that
    /// has its name as an argument, or anywhere the duration that is its own.
    pub fn is_in(&self, record: &Value) -> bool {
        let parties = record["holders"].as_array().into_iter().flatten();
        let mut words = parties
            .chain([&record["reader"]])
            .filter_map(|party| party["cmdline"].as_array())
            // A shape may have the name of a program.
            .flat_map(|words| words.iter().skip(1))
            .filter_map(Value::as_str);
        let seconds = self.seconds();
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        words.any(|word| {
            word == self.name || word.split(|c| !is_digit(c)).any(|number| number == seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_shape_and_every_shape_a_row() {
        let rows: Vec<&str> = ROWS.iter().map(|(row, _)| *row).collect();
        for row in &rows {
            assert!(
                shapes().any(|shape| shape.row == *row),
                "no shape enacts {row}"
            );
        }
        for shape in shapes() {
            assert!(
                rows.contains(&shape.row),
                "{}: no row {}",
                shape.name,
                shape.row
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = shapes().map(|shape| shape.name).collect();
        assert_eq!(names.len(), shapes().count());
    }

    #[test]
    fn a_record_is_known_by_a_command_line() {
        let shape = shapes().next().expect("a shape");
        let of =
            |words: &[&str]| json!({"reader": {"cmdline": null}, "holders": [{"cmdline": words}]});
        let seconds = shape.seconds();
        let own = [
            of(&["python3", "-c", "pass", shape.name]),
            of(&["sleep", &seconds]),
            of(&["sh", "-c", &format!("sleep {seconds} & echo ok")]),
        ];
        let foreign = [
            of(&["sleep", &format!("{seconds}1")]),
            of(&[shape.name, "other"]),
            json!({"reader": {"cmdline": null}, "holders": []}),
        ];
        assert!(own.iter().all(|record| shape.is_in(record)));
        assert!(!foreign.iter().any(|record| shape.is_in(record)));
    }
}
