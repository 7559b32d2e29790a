//! Lines that fit: a label column, wrapping, colour, and nothing in them that
//! could play tricks on a terminal.

use anstyle::Style as Paint;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, core::display_width};

use super::Style;

/// The least width there is a layout for.
const LEAST_WIDTH: usize = 40;
/// From this width on the label column has some air around it.
const WIDE: usize = 72;
/// The longest label is `timeline`.
const LABEL_WIDTH: usize = 8;
/// Indent of the second and further lines of a headline.
const HEADLINE_INDENT: &str = "    ";
/// Stands for a blank that must stay within its line.
const NO_BREAK: char = '\u{a0}';

/// The text of a report, growing downwards.
pub(super) struct Page {
    width: usize,
    colour: bool,
    text: String,
}

impl Page {
    /// An empty page.
    pub(super) fn new(style: &Style) -> Self {
        Self {
            width: style.width.max(LEAST_WIDTH),
            colour: style.colour,
            text: String::new(),
        }
    }

    /// What is on the page.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A paragraph from the left margin on.
    pub(super) fn headline(&mut self, paint: Paint, text: &str) {
        for line in wrap(text, self.width, HEADLINE_INDENT) {
            self.painted(paint, &line);
            self.text.push('\n');
        }
    }

    /// The first of `versions` that fits into one line, or else the last.
    pub(super) fn one_line(&mut self, paint: Paint, versions: &[String]) {
        if let Some(text) = fitting_line(versions, self.width) {
            self.painted(paint, &text);
            self.text.push('\n');
        }
    }

    /// A paragraph beside its label; nothing if there is no text. An empty label
    /// continues the row above.
    pub(super) fn row(&mut self, label: &str, text: &str) {
        self.hanging_row(label, "", text);
    }

    /// A paragraph for each of `texts`, all beside one label.
    pub(super) fn rows(&mut self, label: &str, texts: impl IntoIterator<Item = String>) {
        for (index, text) in texts.into_iter().enumerate() {
            self.row(if index == 0 { label } else { "" }, &text);
        }
    }

    /// A row whose paragraph hangs on `lead`.
    pub(super) fn hanging_row(&mut self, label: &str, lead: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let indent = self.label_column() + display_width(lead);
        let lines = wrap(text, self.width.saturating_sub(indent), "");
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                self.label(label);
                self.text.push_str(lead);
            } else {
                self.blank(indent);
            }
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    /// A row of what may be long and says most at its beginning and its end: as
    /// much as one line takes.
    pub(super) fn shortened_row(&mut self, label: &str, text: &str) {
        let room = self.width - self.label_column();
        self.row(label, &shorten(text, room));
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.text.push('\n');
    }

    fn label(&mut self, label: &str) {
        let padding = LABEL_WIDTH.saturating_sub(display_width(label));
        self.blank(self.gutter());
        self.painted(Paint::new().dimmed(), label);
        self.blank(padding + self.gutter());
    }

    fn label_column(&self) -> usize {
        self.gutter() + LABEL_WIDTH + self.gutter()
    }

    /// Columns on either side of a label.
    fn gutter(&self) -> usize {
        if self.width < WIDE { 1 } else { 2 }
    }

    fn blank(&mut self, columns: usize) {
        self.text.extend(std::iter::repeat_n(' ', columns));
    }

    fn painted(&mut self, paint: Paint, text: &str) {
        if self.colour && !text.is_empty() {
            self.text.push_str(&format!("{paint}{text}{paint:#}"));
        } else {
            self.text.push_str(text);
        }
    }
}

/// The lines of a paragraph, all but the first one indented. Only a single word
/// can be longer than `width`.
/// The first of `versions` that fits, or else the last; escaped.
pub(super) fn fitting_line(versions: &[String], width: usize) -> Option<String> {
    let escaped = || versions.iter().map(|text| escape(text));
    let fits = escaped().find(|text| display_width(text) <= width);
    fits.or_else(|| escaped().next_back())
}

fn wrap(text: &str, width: usize, indent: &str) -> Vec<String> {
    let options = Options::new(width)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let bound = bind_numbers(&escape(text));
    textwrap::wrap(&bound, options)
        .iter()
        .map(|line| line.replace(NO_BREAK, " "))
        .collect()
}

/// Ties numbers to their units and to the words they number.
fn bind_numbers(text: &str) -> String {
    let mut bound = String::with_capacity(text.len());
    let mut last = None;
    for word in text.split(' ') {
        if let Some(last) = last {
            bound.push(if belong_together(last, word) {
                NO_BREAK
            } else {
                ' '
            });
        }
        bound.push_str(word);
        last = Some(word);
    }
    bound
}

fn belong_together(left: &str, right: &str) -> bool {
    let (left, right) = (without_punctuation(left), without_punctuation(right));
    if is_number(right) {
        is_unit(left) || matches!(left, "fd" | "fds" | "pid" | "pids" | "process" | "thread")
    } else {
        is_number(left) && is_unit(right)
    }
}

fn without_punctuation(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

fn is_unit(word: &str) -> bool {
    matches!(word, "ns" | "µs" | "ms" | "s" | "min" | "h" | "d")
}

/// `text` in at most `width` columns: its beginning and its end, if all of it
/// is too much.
fn shorten(text: &str, width: usize) -> String {
    let all = fitting(text.chars(), width);
    if all.len() == text.chars().count() {
        return all.concat();
    }
    let rest = width.saturating_sub(1);
    let head = fitting(text.chars(), rest - rest / 3);
    let mut tail = fitting(text.chars().rev(), rest / 3);
    tail.reverse();
    format!("{}…{}", head.concat(), tail.concat())
}

/// As many of `characters`, escaped, as `width` has room for.
fn fitting(characters: impl Iterator<Item = char>, width: usize) -> Vec<String> {
    let mut left = width;
    characters
        .map(escape_char)
        .map_while(|shown| {
            left = left.checked_sub(display_width(&shown))?;
            Some(shown)
        })
        .collect()
}

/// `text` without control characters, escape sequences and what else does not
/// show as itself. Names and paths of other processes may hold any of them.
pub(super) fn escape(text: &str) -> String {
    text.chars().map(escape_char).collect()
}

pub(super) fn escape_char(c: char) -> String {
    match u8::try_from(c) {
        Ok(b'\\' | b'\'' | b'"') => c.to_string(),
        Ok(byte) if byte.is_ascii() => byte.escape_ascii().to_string(),
        Ok(_) | Err(_) => c.escape_debug().to_string(),
    }
}
