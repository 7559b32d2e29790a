//! What is to be said of a hang, and whether it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

/// The right answer, in the words of the records.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    verdict: &'static str,
    cause: &'static str,
    kind: &'static str,
    call: &'static str,
    reader: &'static str,
    /// Each name once, sorted.
    holders: &'static [&'static str],
    /// How each of the waits ends: as many as there are hangs.
    outcomes: &'static [&'static str],
}

/// Only heirs that never used their copy.
pub(super) const fn leaked(cause: &'static str) -> Answer {
    Answer {
        verdict: "leaked",
        cause,
        kind: "pipe",
        call: "read",
        reader: "python3",
        holders: &["python3"],
        outcomes: &["eof"],
    }
}

/// The process meant to write is gone, what it started lives on.
pub(super) const fn orphaned(cause: &'static str) -> Answer {
    Answer {
        verdict: "orphaned",
        holders: &["sleep"],
        ..leaked(cause)
    }
}

/// Only the reader itself.
pub(super) const fn self_held(cause: &'static str) -> Answer {
    Answer {
        verdict: "self-held",
        outcomes: &["reader-gone"],
        ..leaked(cause)
    }
}

/// No table at all.
pub(super) const fn in_flight() -> Answer {
    Answer {
        verdict: "in-flight",
        holders: &[],
        outcomes: &["reader-gone"],
        ..leaked("passed")
    }
}

impl Answer {
    /// What is waited for.
    pub(super) const fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// What the reader waits in.
    pub(super) const fn call(mut self, call: &'static str) -> Self {
        self.call = call;
        self
    }

    /// The name of the thread that waits.
    pub(super) const fn reader(mut self, comm: &'static str) -> Self {
        self.reader = comm;
        self
    }

    /// The names of the processes that hold the write end.
    pub(super) const fn holders(mut self, comms: &'static [&'static str]) -> Self {
        self.holders = comms;
        self
    }

    /// How the waits end, one for each hang.
    pub(super) const fn outcomes(mut self, outcomes: &'static [&'static str]) -> Self {
        self.outcomes = outcomes;
        self
    }

    pub(super) fn describe(&self) -> Value {
        json!({
            "verdict": self.verdict,
            "cause": self.cause,
            "kind": self.kind,
            "call": self.call,
            "reader": self.reader,
            "holders": self.holders,
            "outcomes": self.outcomes,
        })
    }

    /// All that is to be said.
    pub fn sayings(&self) -> Vec<Saying> {
        let text = |outcome| {
            let wait = wait(self.reader, self.call, self.kind, self.holders, outcome);
            format!("{} ({}): {wait}", self.verdict, self.cause)
        };
        Saying::count(self.outcomes.iter().map(|outcome| text(outcome)))
    }
}

/// A sentence, and how often it was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Saying {
    text: String,
    times: usize,
}

impl Saying {
    /// What these `hang` records say, of which these `resolved` records tell
    /// the end.
    pub fn of(hangs: &[&Value], resolved: &[Value]) -> Vec<Self> {
        Self::count(hangs.iter().map(|hang| text_of(hang, resolved)))
    }

    /// Each text once, sorted.
    fn count(texts: impl Iterator<Item = String>) -> Vec<Self> {
        let mut counts = BTreeMap::new();
        for text in texts {
            *counts.entry(text).or_insert(0) += 1;
        }
        let saying = |(text, times)| Self { text, times };
        counts.into_iter().map(saying).collect()
    }
}

impl fmt::Display for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            1 => f.write_str(&self.text),
            times => write!(f, "{times} × {}", self.text),
        }
    }
}

fn text_of(hang: &Value, resolved: &[Value]) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let holders: BTreeSet<String> = hang["holders"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|holder| word(&holder["comm"]))
        .collect();
    let holders: Vec<&str> = holders.iter().map(String::as_str).collect();
    let end = resolved.iter().find(|end| end["id"] == hang["id"]);
    format!(
        "{} ({}): {}",
        word(&hang["verdict"]),
        word(&hang["cause"]),
        wait(
            &word(&hang["reader"]["comm"]),
            &word(&hang["reader"]["call"]),
            &word(&hang["pipe"]["kind"]),
            &holders,
            &end.map_or_else(|| "no end".to_owned(), |end| word(&end["outcome"])),
        )
    )
}

fn wait(reader: &str, call: &str, kind: &str, holders: &[&str], outcome: &str) -> String {
    let holders = match holders {
        [] => "nobody".to_owned(),
        holders => holders.join(", "),
    };
    format!("{reader} in {call} on a {kind} held by {holders}, until {outcome}")
}
