//! The two views of a report: text for people, NDJSON for programs. They see
//! the words only, never clocks, files or the environment.

mod advice;
mod ndjson;
mod page;
mod place;
mod text;
pub mod top;
mod word;

use std::io;

use crate::{
    event::Kind,
    finding::{Details, Hang, Report},
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

/// Path of the FIFO waited for, as the reader's descriptor shows it. An
/// anonymous pipe has none.
fn path(hang: &Hang, details: &dyn Details) -> Option<String> {
    let reader = &hang.reader;
    (hang.channel.kind == Kind::Fifo)
        .then(|| details.path(reader.actor.process, reader.fd))
        .flatten()
}
