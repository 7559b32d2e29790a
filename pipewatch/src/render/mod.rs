//! The views of a report: text for people, NDJSON for programs, entries of the journal,
//! which have both, and a page of HTML for a ticket. They see the words only, never clocks,
//! files or the environment.

mod advice;
mod entry;
mod html;
mod kept;
mod ndjson;
mod page;
mod phrases;
mod place;
mod release;
mod text;
pub mod top;
mod word;

pub use self::word::Word;
use std::io;

pub use html::Document;

use crate::{
    event::Kind,
    finding::{Details, Hang, Release, Released, Report},
};

/// Which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one object per line.
    Json,
}

/// What the place that text goes to can show. NDJSON takes no notice of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of a line. Text for less than 40 is laid out for 40.
    pub width: usize,
    /// Whether ANSI colours may be used.
    pub colour: bool,
}

/// Writes one report, in a single call of `out`. Flushing is left to the caller.
pub fn write(
    report: &Report,
    details: &dyn Details,
    format: Format,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let rendered = match format {
        Format::Text => text::render(report, details, style),
        Format::Json => ndjson::render(report, details)?,
    };
    out.write_all(rendered.as_bytes())
}

/// One report as an entry of the journal, in the form that journald takes.
///
/// # Errors
///
/// It cannot be written as JSON.
pub fn entry(report: &Report, details: &dyn Details) -> io::Result<Vec<u8>> {
    Ok(entry::render(report, details)?)
}

/// What is about to be done to release a reader, for people.
pub fn plan(release: &Release, style: &Style) -> String {
    release::plan(release, style)
}

/// Writes what came of a release. `wall`: when, in nanoseconds since 1970-01-01 UTC.
pub fn outcome(
    (release, released): (&Release, &Released),
    wall: u64,
    format: Format,
    style: &Style,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let rendered = release::outcome(release, released, wall, format, style)?;
    out.write_all(rendered.as_bytes())
}

/// A text with nothing in it that a terminal obeys.
pub fn printable(text: &str) -> String {
    page::escape(text)
}

/// Path of the FIFO waited for, as the reader's descriptor shows it. An
/// anonymous pipe has none.
fn path(hang: &Hang, details: &dyn Details) -> Option<String> {
    let reader = &hang.reader;
    (hang.channel.kind == Kind::Fifo)
        .then(|| details.path(reader.actor.process, reader.fd))
        .flatten()
}
