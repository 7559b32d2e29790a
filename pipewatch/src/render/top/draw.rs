//! A frame of the live view.

use std::sync::Arc;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style as Paint},
    text::{Line, Span},
    widgets::{Cell, Clear, Paragraph, Row, Table, TableState},
};

use super::{
    board::{Board, Wait},
    view::View,
};
use crate::{
    finding::{Cause, Confidence, Hang, Verdict},
    ids::Ktime,
    render::{
        Style,
        page::{escape, fitting_line},
        phrases, text,
        word::Word as _,
    },
};

/// From these widths on, in columns, there is room for verdict and pipe, and for the call.
const WITH_PIPE: u16 = 72;
const WITH_CALL: u16 = 100;

const HELP: &[(&str, &str)] = &[
    ("Up Down k j", "choose a wait, or scroll its details"),
    ("PgUp PgDn", "the same by pages; Home and End"),
    ("Enter", "details: timeline, why, hint, stacks"),
    ("Esc", "back; at the list: no filter, or quit"),
    ("/", "filter by name, pid, cause, [pipe], words"),
    ("s", "sort: longest first, newest first, by pid"),
    ("p Space", "pause, and go on"),
    ("Ctrl-Z", "suspend"),
    ("q Ctrl-C", "quit"),
    ("", ""),
    ("red", "nobody who could mean to write is left"),
    ("yellow ?", "likely: a child may still answer"),
    ("healthy", "somebody meant to write holds it"),
    ("not judged", "how its holder came by it was not seen"),
];

/// Draws it all.
pub fn draw(frame: &mut Frame<'_>, view: &mut View, board: &Board, now: Ktime) {
    let paused = view.paused.take();
    let shown = paused.as_ref().unwrap_or(board);
    if paused.is_none() {
        view.now = now;
    }
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(0),
        Constraint::Length(2),
    ])
    .areas(frame.area());
    draw_head(frame, head, view, shown, paused.is_some());
    view.page = usize::from(body.height);
    match view.details.clone() {
        Some(wait) => draw_details(frame, body, view, &wait, shown),
        None => draw_list(frame, body, view, shown),
    }
    draw_foot(frame, foot, view, shown);
    if view.help {
        draw_help(frame, frame.area());
    }
    view.paused = paused;
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View, board: &Board, paused: bool) {
    let (who, how) = match &board.started {
        Some(started) => (phrases::watched(started), started.backend.as_str()),
        None => (String::new(), ""),
    };
    let bold = Paint::new().add_modifier(Modifier::BOLD);
    let title = Line::from(vec![
        Span::styled("pipewatch top", bold),
        Span::raw(format!("  {} ({how})", escape(&who))),
    ]);
    let mut state = Vec::new();
    if paused {
        state.push("PAUSED".to_owned());
    }
    if !view.filter.is_empty() && !view.typing {
        state.push(format!("filter: {}", escape(&view.filter)));
    }
    state.push(view.sort.word().to_owned());
    let state = format!("; {}", state.join("; "));
    let room = usize::from(area.width).saturating_sub(state.chars().count());
    let state = board.summary(room) + &state;
    frame.render_widget(Paragraph::new(vec![title, state.into()]), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, view: &View, board: &Board) {
    let last = fitting_line(&board.last, area.width.into()).unwrap_or_default();
    let keys = if view.typing {
        format!("/{}_", escape(&view.filter))
    } else if view.details.is_some() {
        "Esc back  Up/Down scroll  p pause  ? help  q quit".to_owned()
    } else {
        "Enter details  / filter  s sort  p pause  ? help  q quit".to_owned()
    };
    let dim = Paint::new().add_modifier(Modifier::DIM);
    let lines = vec![Line::raw(last), Line::styled(keys, dim)];
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, view: &mut View, board: &Board) {
    let (waits, now) = (view.waits(board), view.now);
    if waits.is_empty() {
        let what = if view.filter.is_empty() {
            "nothing waits"
        } else {
            "nothing that waits has that in it"
        };
        let [_, middle] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        frame.render_widget(Paragraph::new(what).centered(), middle);
        return;
    }
    view.page = usize::from(area.height.saturating_sub(1));
    let width = area.width;
    let columns: Vec<(&str, Constraint)> = [
        ("  #", Constraint::Length(4), true),
        ("FOR", Constraint::Length(11), true),
        ("WHAT", Constraint::Length(9), width >= WITH_PIPE),
        ("READER", Constraint::Fill(1), true),
        ("CALL", Constraint::Length(12), width >= WITH_CALL),
        ("PIPE", Constraint::Length(12), width >= WITH_PIPE),
        ("HELD BY", Constraint::Fill(1), true),
        ("CAUSE", Constraint::Length(10), true),
    ]
    .into_iter()
    .filter_map(|(name, room, shown)| shown.then_some((name, room)))
    .collect();
    let rows = waits.iter().map(|wait| {
        let cells = columns
            .iter()
            .map(|(name, _)| Cell::new(escape(&cell(name, wait, now))));
        Row::new(cells).style(paint(wait, view.colour))
    });
    let bold = Paint::new().add_modifier(Modifier::BOLD);
    let reversed = Paint::new().add_modifier(Modifier::REVERSED);
    let table = Table::new(rows, columns.iter().map(|(_, room)| *room))
        .header(Row::new(columns.iter().map(|(name, _)| *name)).style(bold))
        .row_highlight_style(reversed);
    let mut state = TableState::new()
        .with_offset(view.offset)
        .with_selected(view.place(&waits));
    frame.render_stateful_widget(table, area, &mut state);
    view.offset = state.offset();
}

/// What the row of a wait has, whatever its width, but for what changes.
pub(super) fn cells(wait: &Wait) -> impl Iterator<Item = String> {
    let columns = ["WHAT", "READER", "CALL", "PIPE", "HELD BY", "CAUSE"];
    columns
        .into_iter()
        .map(|column| cell(column, wait, Ktime(0)))
}

/// What a column has of a wait.
fn cell(column: &str, wait: &Wait, now: Ktime) -> String {
    let hang = &wait.hang;
    match column {
        "  #" => format!("{:>3}", hang.id),
        "FOR" => lasting(wait, now),
        "WHAT" => hang.verdict.word().to_owned(),
        "READER" => format!(
            "{} {}",
            hang.reader.actor.process.pid, hang.reader.actor.comm
        ),
        "CALL" => phrases::call(hang),
        "PIPE" => format!("[{}]", hang.channel.id.inode),
        "HELD BY" => match hang.holders.as_slice() {
            [] => "in flight".to_owned(),
            [holder, others @ ..] => {
                let more = match others.len() {
                    0 => String::new(),
                    some => format!(" +{some}"),
                };
                format!("{} {}{more}", holder.process.pid, holder.comm)
            }
        },
        _ if !wait.hangs() => phrases::taken_for(hang).to_owned(),
        _ => {
            let cause = if hang.cause == Cause::Unknown {
                hang.verdict.word()
            } else {
                hang.cause.word()
            };
            let doubt = match hang.confidence {
                Confidence::Likely => "?",
                Confidence::Certain => "",
            };
            format!("{cause}{doubt}")
        }
    }
}

fn lasting(wait: &Wait, now: Ktime) -> String {
    let since = wait.hang.reader.since;
    phrases::duration(now.since(since))
}

fn paint(wait: &Wait, colour: bool) -> Paint {
    let paint = match (wait.hang.verdict, wait.hang.confidence) {
        (Verdict::Waiting, _) => return Paint::new(),
        (_, Confidence::Certain) => Paint::new().fg(Color::Red),
        (_, Confidence::Likely) => Paint::new().fg(Color::Yellow),
    };
    let paint = if colour { paint } else { Paint::new() };
    paint.add_modifier(Modifier::BOLD)
}

fn draw_details(
    frame: &mut Frame<'_>,
    area: Rect,
    view: &mut View,
    wait: &Arc<Wait>,
    board: &Board,
) {
    // The same wait may have been told of again.
    let open = board.waits.get(&wait.hang.id);
    let wait = open.unwrap_or(wait);
    view.details = Some(Arc::clone(wait));
    let style = Style {
        width: usize::from(area.width),
        colour: false,
    };
    let state = match open {
        Some(_) => format!("waits for {} now", lasting(wait, view.now)),
        None => "this wait is over".to_owned(),
    };
    let now = Hang {
        time: wait.hang.time.max(view.now),
        ..wait.hang.clone()
    };
    let hang = open.map_or(&wait.hang, |_| &now);
    let text = text::in_full(hang, &wait.details, &style);
    let paint = paint(wait, view.colour);
    let head = text.lines().take_while(|line| label(line).is_empty());
    let mut lines: Vec<Line<'_>> = head.map(|line| Line::styled(line, paint)).collect();
    lines.push(Line::raw(state));
    // What to do before what it is known from.
    let (advice, facts): (Vec<_>, Vec<_>) = parts(text.trim_end())
        .into_iter()
        .partition(|part| ["why", "hint"].contains(&label(part[0]).trim()));
    lines.extend(advice.into_iter().chain(facts).flatten().map(with_label));
    let most = lines.len().saturating_sub(usize::from(area.height));
    view.scroll = view.scroll.min(most);
    let seen = lines.into_iter().skip(view.scroll);
    frame.render_widget(Paragraph::new(seen.collect::<Vec<_>>()), area);
}

/// The rows of a report after its headline, each with its label and what goes on below.
fn parts(text: &str) -> Vec<Vec<&str>> {
    let mut parts: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        if !label(line).is_empty() {
            parts.push(vec![line]);
        } else if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    parts
}

/// The label at the beginning of a line, with the margin before it. Labels stand one or
/// two columns from the left; a headline at the edge, and what goes on further in.
fn label(line: &str) -> &str {
    let text = line.trim_start();
    let margin = line.len() - text.len();
    let end = margin + text.find(' ').unwrap_or(text.len());
    if (1..=2).contains(&margin) {
        &line[..end]
    } else {
        ""
    }
}

fn with_label(line: &str) -> Line<'_> {
    let (label, rest) = line.split_at(label(line).len());
    let dim = Paint::new().add_modifier(Modifier::DIM);
    Line::from(vec![Span::styled(label, dim), Span::raw(rest)])
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let area = area.centered(
        Constraint::Length(58),
        Constraint::Length(HELP.len() as u16 + 2),
    );
    let lines = HELP
        .iter()
        .map(|(key, what)| Line::raw(format!(" {key:<12} {what}")));
    let block = ratatui::widgets::Block::bordered().title(" any key goes back ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}
