//! Text in a document that is written by a program, between two lines that
//! only the source of the document shows.

use anyhow::{Context, Result};

/// The names of the frames that begin in a document.
fn names(document: &str) -> impl Iterator<Item = &str> {
    let begins = document
        .lines()
        .filter_map(|line| line.strip_prefix("<!-- "));
    begins.filter_map(|rest| rest.strip_suffix(": begin -->"))
}

/// The document with what a program has printed in frames of the same names. One
/// that is not ended is left out.
pub fn renew(document: &str, printed: &str) -> Result<String> {
    let mut document = document.to_owned();
    for name in names(printed) {
        if let Some(text) = find(printed, name) {
            document = replace(&document, name, text)
                .with_context(|| format!("no lines that frame {name}"))?;
        }
    }
    Ok(document)
}

/// The text in the frame of this name, if there is one.
pub fn find<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&begin(name))?;
    let (text, _) = rest.split_once(&end(name))?;
    Some(text)
}

/// The document with another text in the frame of this name; `None` if it has
/// no such frame.
pub fn replace(document: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (begin(name), end(name));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some([before, &begin, text, &end, after].concat())
}

fn begin(name: &str) -> String {
    format!("<!-- {name}: begin -->\n")
}

fn end(name: &str) -> String {
    format!("<!-- {name}: end -->\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_replaced_and_nothing_else() {
        let old = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let new = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n";
        assert_eq!(replace(old, "x", "new\n").as_deref(), Some(new));
        assert_eq!(find(old, "x"), Some("old\n"));
        assert_eq!(names(old).collect::<Vec<_>>(), ["x"]);
        assert_eq!((replace(old, "y", "new\n"), find(old, "y")), (None, None));
        assert_eq!(
            replace("<!-- x: end -->\n<!-- x: begin -->\n", "x", ""),
            None
        );
    }
}
