//! A recorded trace, judged again and told in all formats.

use std::{
    cell::RefCell,
    io::{self, Cursor},
    path::Path,
    rc::Rc,
};

use pipewatch::{
    finding::{Details, Report},
    output::Output,
    render::{self, Document, Format, Style},
    replay::{Notes, replay},
    trace_file::Trace,
};
use serde_json::Value;

const STYLE: Style = Style {
    width: 80,
    colour: false,
};

pub(crate) fn run(bytes: &[u8]) {
    for format in [Format::Text, Format::Json] {
        let from = Cursor::new(bytes.to_vec());
        let Ok(mut trace) = Trace::new(Path::new("input"), Box::new(from)) else {
            return;
        };
        let told = Told::default();
        let output = Output::to(Box::new(told.clone()), format, STYLE);
        let mut output = output
            .with_page(Some(Path::new("/dev/null")))
            .expect("a device");
        let Ok(notes) = Notes::of(&mut trace) else {
            return;
        };
        replay(&mut trace, &notes, &mut output).expect("what was read already");
        check_told(&told.0.borrow(), format);
    }
}

/// What was written, which is looked at in the end.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<u8>>>);

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells a report in all formats, and to the journal.
pub(crate) fn check(report: &Report, details: &dyn Details) {
    for format in [Format::Text, Format::Json] {
        let mut told = Vec::new();
        render::write(report, details, format, &STYLE, &mut told).expect("room in memory");
        check_told(&told, format);
    }
    check_entry(&render::entry(report, details).expect("JSON"));
    let mut document = Document::default();
    document.take(report, details);
    let page = document.page();
    let odd = page.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(odd, None, "in {page}");
    assert!(!page.contains("<script"), "{page}");
}

/// It is what journald takes for an entry: lines of `NAME=TEXT`, or NAME, a length and
/// as many bytes.
fn check_entry(mut entry: &[u8]) {
    let mut fields = 0;
    while !entry.is_empty() {
        let is_part = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'_';
        let name = entry.iter().take_while(|byte| is_part(byte)).count();
        assert!(name > 0, "a field without a name");
        let (sign, rest) = entry[name..].split_first().expect("a value");
        let (rest, length) = if *sign == b'=' {
            let line = rest.iter().position(|byte| *byte == b'\n');
            (rest, line.expect("the end of a line"))
        } else {
            assert_eq!(*sign, b'\n');
            let (length, rest) = rest.split_first_chunk().expect("a length");
            (rest, u64::from_le_bytes(*length) as usize)
        };
        assert_eq!(rest[length], b'\n');
        entry = &rest[length + 1..];
        fields += 1;
    }
    assert!((7..=1024).contains(&fields), "{fields} fields");
}

/// Nothing in it may play tricks on a terminal, or on who reads line by line.
fn check_told(told: &[u8], format: Format) {
    let text = std::str::from_utf8(told).expect("told in UTF-8");
    let odd = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(odd, None, "in {text:?}");
    if format == Format::Json {
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).expect("JSON in each line");
            assert!(object["type"].is_string(), "{line}");
        }
    }
}
