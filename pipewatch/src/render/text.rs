//! The view for people: a block for each hang that can be acted on without a
//! manual, a line for what needs no more.

use anstyle::{AnsiColor, Style as Paint};

use super::{
    Style,
    advice::paragraphs,
    page::Page,
    phrases::{
        actor, are_alike, are_held_alike, backend, call, channel, clock_time, count, duration,
        ends, happenings, offset, outcome, process, provenance, quoted, relation, resolution,
        summary, taken_for, use_of_copy, vain, watching, withheld_by,
    },
    place::{at, rows, stack},
    word::Word as _,
};
use crate::{
    cgroup,
    finding::{
        Confidence, Details, Finding, FreedHow, Hang, Holder, Lost, Outcome, Report, Resolved,
        Started, Step, Stopped, Verdict, WaitId,
    },
    ids::ProcKey,
    listing::list,
};

const PLAIN: Paint = Paint::new();
const CERTAIN: Paint = AnsiColor::Red.on_default().bold();
const LIKELY: Paint = AnsiColor::Yellow.on_default().bold();
const RESOLVED: Paint = AnsiColor::Green.on_default();
const LOST: Paint = AnsiColor::Yellow.on_default();

/// So many holders are told of at length; the others are only named.
const HOLDERS: usize = 4;
/// So many steps are told at each end of a long timeline.
const STEPS: usize = 12;

/// The block or line for `report`.
pub(super) fn render(report: &Report, details: &dyn Details, style: &Style) -> String {
    let mut page = Page::new(style);
    match report {
        Report::Started(told) => started(&mut page, told),
        Report::Finding(Finding::Hang(told)) => match (told.verdict, told.same_as) {
            (Verdict::Waiting, _) => waiting(&mut page, told, details),
            (_, Some(first)) => another(&mut page, told, first, details),
            (_, None) => hang(&mut page, told, details),
        },
        Report::Finding(Finding::Update(told)) => update(&mut page, told, details),
        Report::Finding(Finding::Resolved(told)) => resolved(&mut page, told, details),
        Report::Lost(told) => lost(&mut page, told),
        Report::Stopped(told) => stopped(&mut page, told),
    }
    page.into_text()
}

fn started(page: &mut Page, started: &Started) {
    page.headline(PLAIN, &format!("WATCHING {}", watching(started)));
    page.row("backend", &backend(started));
    page.rows("limits", started.limits.iter().cloned());
    page.gap();
}

fn hang(page: &mut Page, hang: &Hang, details: &dyn Details) {
    hang_headline(page, hang, &withheld_by(hang));
    reader(page, hang, details);
    page.row("pipe", &channel(hang, details));
    holders(page, hang, details);
    timeline(page, hang, details);
    page.row(
        "verdict",
        &format!(
            "{}, cause {}; {}, {}",
            hang.verdict.word(),
            hang.cause.word(),
            hang.confidence.word(),
            hang.certainty.word()
        ),
    );
    page.row("why", &hang.why);
    page.rows("hint", paragraphs(hang, details));
    page.gap();
}

/// A hang of which all has been told but who waits.
fn another(page: &mut Page, hang: &Hang, first: WaitId, details: &dyn Details) {
    hang_headline(
        page,
        hang,
        &format!("the same pipe and holders as in #{first}"),
    );
    reader(page, hang, details);
    page.gap();
}

fn hang_headline(page: &mut Page, hang: &Hang, held: &str) {
    let (paint, doubt) = match hang.confidence {
        Confidence::Certain => (CERTAIN, ""),
        Confidence::Likely => (LIKELY, " (likely)"),
    };
    page.headline(
        paint,
        &format!("HANG #{}{doubt}: {}: {held}", hang.id, vain(hang)),
    );
}

fn waiting(page: &mut Page, hang: &Hang, details: &dyn Details) {
    waiting_headline(page, hang, details);
    page.row("why", &hang.why);
    page.gap();
}

fn waiting_headline(page: &mut Page, hang: &Hang, details: &dyn Details) {
    page.headline(
        PLAIN,
        &format!(
            "WAITING #{}, {}: {} has waited {} in {}; {}",
            hang.id,
            taken_for(hang),
            actor(hang.reader.actor, details),
            duration(hang.time.since(hang.reader.since)),
            call(hang),
            withheld_by(hang),
        ),
    );
}

/// All of a wait, of a healthy one too.
pub(super) fn in_full(told: &Hang, details: &dyn Details, style: &Style) -> String {
    let mut page = Page::new(style);
    if told.verdict == Verdict::Waiting {
        waiting_headline(&mut page, told, details);
        reader(&mut page, told, details);
        page.row("pipe", &channel(told, details));
        holders(&mut page, told, details);
        timeline(&mut page, told, details);
        page.row("why", &told.why);
    } else {
        hang(&mut page, told, details);
    }
    page.into_text()
}

fn update(page: &mut Page, hang: &Hang, details: &dyn Details) {
    page.headline(
        match hang.confidence {
            Confidence::Certain => CERTAIN,
            Confidence::Likely => LIKELY,
        },
        &format!(
            "UPDATE #{}: other holders; pid {} has waited {} in {}; {}",
            hang.id,
            hang.reader.actor.process.pid,
            duration(hang.time.since(hang.reader.since)),
            call(hang),
            match hang.same_as {
                Some(first) => format!("the same as in #{first}"),
                None => withheld_by(hang),
            },
        ),
    );
    if hang.same_as.is_some() {
        return page.gap();
    }
    holders(page, hang, details);
    page.row("why", &hang.why);
    page.gap();
}

fn resolved(page: &mut Page, resolved: &Resolved, details: &dyn Details) {
    page.one_line(RESOLVED, &resolved_lines(resolved, details));
}

/// The end of a wait in one line, from the longest to the shortest.
pub(super) fn resolved_lines(resolved: &Resolved, details: &dyn Details) -> [String; 5] {
    let outcome = outcome(resolved);
    let all = format!("RESOLVED #{} {}", resolved.id, resolution(resolved));
    let head = format!(
        "RESOLVED #{} after {}",
        resolved.id,
        duration(resolved.blocked)
    );
    let freed_briefly = resolved.freed_by.map_or_else(String::new, |by| {
        let briefly = match by.how {
            FreedHow::Close => "closed it",
            FreedHow::Exit => "ended",
            FreedHow::Exec => "execed",
        };
        format!(", pid {} {briefly}", by.pid)
    });
    let after = match resolved.outcome {
        Outcome::Eof | Outcome::Data | Outcome::Interrupted => "no longer waits for",
        Outcome::ReaderGone => "was waiting for",
    };
    let reader = format!(
        "; {} {after} fd {}",
        actor(resolved.reader, details),
        resolved.fd
    );
    [
        format!("{all}{reader}"),
        all,
        format!("{head}: {outcome}{freed_briefly}"),
        format!("{head}: {outcome}"),
        head,
    ]
}

fn lost(page: &mut Page, lost: &Lost) {
    let remedy = if lost.rescanned {
        "the kernel's tables have been read again"
    } else {
        "the kernel's tables have not been read again yet"
    };
    page.headline(
        LOST,
        &format!(
            "LOST {}: hangs are still found, their history may have holes; {remedy}",
            count(lost.events, "event", "events"),
        ),
    );
}

fn stopped(page: &mut Page, stopped: &Stopped) {
    page.headline(PLAIN, &format!("STOPPED {}", summary(stopped)));
}

fn reader(page: &mut Page, hang: &Hang, details: &dyn Details) {
    let reader = &hang.reader;
    let process = reader.actor.process;
    let stack = stack(reader.act(), details);
    page.row(
        "reader",
        &format!(
            "{}, in {}{} since {} ({})",
            actor(reader.actor, details),
            call(hang),
            at(stack),
            clock_time(details.wall(reader.since)),
            duration(hang.time.since(reader.since)),
        ),
    );
    command(page, details.cmdline(process));
    if let Some(container) = container(process, details) {
        page.row("", &format!("in container {container}"));
    }
    page.rows("where", rows(stack));
}

/// The beginning of the id of a process's container, as the tools for these show it.
fn container(process: ProcKey, details: &dyn Details) -> Option<String> {
    let cgroup = details.cgroup(process)?;
    Some(cgroup::container(&cgroup)?.chars().take(12).collect())
}

fn command(page: &mut Page, cmdline: Option<Vec<String>>) {
    let arguments: Vec<String> = cmdline
        .unwrap_or_default()
        .into_iter()
        .map(quoted)
        .collect();
    if !arguments.is_empty() {
        page.shortened_row("", &arguments.join(" "));
    }
}

fn holders(page: &mut Page, hang: &Hang, details: &dyn Details) {
    let mut kinds: Vec<(&Holder, Vec<String>)> = Vec::new();
    let mut named = Vec::new();
    for other in &hang.holders {
        let name = || process(other.comm, other.process.pid);
        let like = |(first, _): &&mut (&Holder, _)| are_held_alike(first, other, details);
        if let Some((_, like)) = kinds.iter_mut().find(like) {
            like.push(name());
        } else if kinds.len() < HOLDERS {
            kinds.push((other, Vec::new()));
        } else {
            named.push(name());
        }
    }
    for (first, like) in kinds {
        holder(page, first, hang, details);
        if !like.is_empty() {
            page.row("", &format!("likewise {}", list("", "", &like)));
        }
    }
    if !named.is_empty() {
        page.row("holders", &format!("also {}", list("", "", &named)));
    }
}

fn holder(page: &mut Page, holder: &Holder, hang: &Hang, details: &dyn Details) {
    page.row(
        "holder",
        &format!(
            "{}, {}: {}",
            process(holder.comm, holder.process.pid),
            relation(holder, hang.reader.actor.process.pid),
            ends(&holder.fds),
        ),
    );
    command(page, details.cmdline(holder.process));
    match container(holder.process, details) {
        same if same == container(hang.reader.actor.process, details) => {}
        Some(other) => page.row("", &format!("in container {other}")),
        None if details.cgroup(holder.process).is_some() => page.row("", "in no container"),
        None => {}
    }
    page.row("", &provenance(holder.via, hang, details));
    page.row("", &use_of_copy(holder, hang.certainty));
    let now = at(details.sights().now(holder.process));
    if !now.is_empty() {
        page.row("", &format!("is now{now}"));
    }
}

/// What happened, at times relative to the beginning of the wait.
fn timeline(page: &mut Page, hang: &Hang, details: &dyn Details) {
    let since = hang.reader.since;
    let runs = hang
        .timeline
        .chunk_by(|one, next| are_alike(one, next, details));
    let row = |run: &[Step]| {
        let (first, more) = run.split_first()?;
        let text = happenings(first, more, hang, details);
        Some((offset(first.act.time, since), text))
    };
    let mut rows: Vec<(String, String)> = runs.filter_map(row).collect();
    let count = rows.len();
    if count > 2 * STEPS + 1 {
        let left_out = format!("{} more", count - 2 * STEPS);
        rows.splice(STEPS..count - STEPS, [(String::new(), left_out)]);
    }
    rows.push((offset(hang.time, since), "now: still waiting".to_owned()));
    let columns = rows
        .iter()
        .map(|(time, _)| time.chars().count())
        .max()
        .unwrap_or(0);
    for (index, (time, text)) in rows.iter().enumerate() {
        let label = if index == 0 { "timeline" } else { "" };
        page.hanging_row(label, &format!("{time:>columns$}  "), text);
    }
}
