//! The view for the journal of systemd: an entry of fields, as its native protocol has
//! them (systemd.io/JOURNAL_NATIVE_PROTOCOL), which docs/fleets.md lists.

use super::{Style, ndjson, text, word::Word};
use crate::{
    cgroup,
    event::Call,
    finding::{Confidence, Details, Finding, Hang, Report, Resolved, Verdict},
};

/// Text in an entry is laid out for this width, as if for no terminal.
const WIDTH: usize = 80;
/// So many holders have fields of their own: journald drops an entry of more than 1024
/// (`ENTRY_FIELD_COUNT_MAX`, journald-native.c). The record in it has all.
const HOLDERS: usize = 100;

/// What syslog.h calls severities.
#[derive(Clone, Copy)]
enum Priority {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

/// The entry for `report`.
pub(super) fn render(report: &Report, details: &dyn Details) -> serde_json::Result<Vec<u8>> {
    let record = ndjson::render(report, details)?;
    let text = |width| {
        let colour = false;
        text::render(report, details, &Style { width, colour })
    };
    // A headline that is not wrapped is one line.
    let headline = text(usize::MAX / 2);
    let Kind {
        name,
        message_id,
        priority,
    } = kind(report);
    let mut entry = Entry::default();
    entry.field("MESSAGE", headline.lines().next().unwrap_or_default());
    entry.field("MESSAGE_ID", message_id);
    entry.field("PRIORITY", &(priority as u8).to_string());
    entry.field("SYSLOG_IDENTIFIER", "pipewatch");
    entry.field("PIPEWATCH_TYPE", name);
    match report {
        Report::Finding(Finding::Hang(hang) | Finding::Update(hang)) => entry.hang(hang, details),
        Report::Finding(Finding::Resolved(resolved)) => entry.resolved(resolved),
        Report::Lost(lost) => entry.field("PIPEWATCH_EVENTS", &lost.events.to_string()),
        Report::Started(_) | Report::Stopped(_) => {}
    }
    entry.field("PIPEWATCH_TEXT", text(WIDTH).trim_end());
    entry.field("PIPEWATCH_JSON", record.trim_end());
    Ok(entry.0)
}

struct Kind {
    name: &'static str,
    /// Made up once, never changed: what journalctl and catalogs know a message by.
    message_id: &'static str,
    priority: Priority,
}

fn kind(report: &Report) -> Kind {
    let (name, message_id, priority) = match report {
        Report::Started(_) => (
            "started",
            "64e693fd4ebc413a8a4de29866460503",
            Priority::Info,
        ),
        Report::Finding(Finding::Hang(hang)) => {
            ("hang", "59d0b6293ec6452c97f40ce74a66f314", urgency(hang))
        }
        Report::Finding(Finding::Update(hang)) => {
            ("update", "ebec6bf18e454ce4a2f260f4b8c7d578", urgency(hang))
        }
        Report::Finding(Finding::Resolved(_)) => (
            "resolved",
            "397dc72bfa544e17b21de89796a81ff4",
            Priority::Notice,
        ),
        Report::Lost(_) => (
            "lost",
            "b2603372d7504a7084a1fe5cfeaa49c1",
            Priority::Warning,
        ),
        Report::Stopped(_) => (
            "stopped",
            "ef52e7c1fdb1414aa9419561ae1c715d",
            Priority::Info,
        ),
    };
    Kind {
        name,
        message_id,
        priority,
    }
}

fn urgency(hang: &Hang) -> Priority {
    match (hang.verdict, hang.confidence) {
        (Verdict::Waiting, _) => Priority::Info,
        (_, Confidence::Likely) => Priority::Warning,
        (_, Confidence::Certain) => Priority::Error,
    }
}

#[derive(Default)]
struct Entry(Vec<u8>);

impl Entry {
    /// A field may come several times.
    fn field(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0.extend((value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }

    fn hang(&mut self, hang: &Hang, details: &dyn Details) {
        let container = |process| {
            let cgroup = details.cgroup(process)?;
            cgroup::container(&cgroup).map(str::to_owned)
        };
        let reader = &hang.reader;
        let process = reader.actor.process;
        self.field("PIPEWATCH_ID", &hang.id.to_string());
        self.field("PIPEWATCH_VERDICT", hang.verdict.word());
        self.field("PIPEWATCH_CAUSE", hang.cause.word());
        self.field("PIPEWATCH_CONFIDENCE", hang.confidence.word());
        self.field("PIPEWATCH_READER_PID", &process.pid.to_string());
        // The process as a whole waits in an epoll.
        if reader.call != Call::Epoll {
            self.field("PIPEWATCH_READER_TID", &reader.actor.tid.to_string());
        }
        self.field("PIPEWATCH_READER_COMM", &reader.actor.comm.to_string());
        if let Some(container) = container(process) {
            self.field("PIPEWATCH_READER_CONTAINER", &container);
        }
        self.field("PIPEWATCH_PIPE", &hang.channel.id.inode.to_string());
        for holder in hang.holders.iter().take(HOLDERS) {
            self.field("PIPEWATCH_HOLDER_PID", &holder.process.pid.to_string());
            self.field("PIPEWATCH_HOLDER_COMM", &holder.comm.to_string());
            if let Some(container) = container(holder.process) {
                self.field("PIPEWATCH_HOLDER_CONTAINER", &container);
            }
        }
    }

    fn resolved(&mut self, resolved: &Resolved) {
        let reader = resolved.reader;
        self.field("PIPEWATCH_ID", &resolved.id.to_string());
        self.field("PIPEWATCH_OUTCOME", resolved.outcome.word());
        self.field("PIPEWATCH_READER_PID", &reader.process.pid.to_string());
        self.field("PIPEWATCH_READER_COMM", &reader.comm.to_string());
    }
}
