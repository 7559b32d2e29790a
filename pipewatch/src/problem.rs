//! Errors for people: what failed, on what, why, and what to do about it.

use std::{error::Error, fmt};

/// Something that went wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What failed, on what, and why; one line.
    pub message: String,
    /// What the user can do.
    pub hint: String,
}

impl Problem {
    /// A problem with a remedy.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

/// An error and all its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let mut line = String::new();
    for cause in causes.map(ToString::to_string) {
        // Many errors print their cause themselves.
        if !line.contains(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    line
}
