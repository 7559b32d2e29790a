//! Text in a document that is written by a program, between two lines that
//! only the source of the document shows.

/// The document with another text in the frame of this name; `None` if it has
/// no such frame.
pub fn replace(document: &str, name: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- {name}: begin -->\n");
    let end = format!("<!-- {name}: end -->\n");
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some([before, &begin, text, &end, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_replaced_and_nothing_else() {
        let old = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let new = "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n";
        assert_eq!(replace(old, "x", "new\n").as_deref(), Some(new));
        assert_eq!(replace(old, "y", "new\n"), None);
        assert_eq!(
            replace("<!-- x: end -->\n<!-- x: begin -->\n", "x", ""),
            None
        );
    }
}
