//! The view for a ticket: one page of HTML for a run, with a picture of each hang. It
//! needs nothing but itself: no script, and nothing from a network.

mod case;
mod lanes;
mod picture;
#[cfg(test)]
mod tests;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::case::Case;
use super::{page, phrases};
use crate::{
    finding::{Details, Finding, Hang, Report, Resolved, Started, Stopped, Verdict, WaitId},
    ids::Ktime,
};

const STYLE: &str = include_str!("style.css");
/// Nothing is loaded, run or sent, and no style applies but this one, whose hash it is.
const POLICY: &str = "default-src 'none'; style-src 'sha256-imWupfOHBLv8Zb36jGENDCL2tykeGQNhTvWHjxycOOQ='; base-uri 'none'; form-action 'none'";

/// So many hangs are kept,
const HANGS: usize = 200;
/// and of their text so many bytes, or one hang.
const BYTES: usize = 8 << 20;
/// So many holders of a hang are told of at length.
const HOLDERS: usize = 32;

/// A run as a page, which grows with its reports.
#[derive(Default)]
pub struct Document {
    started: Option<(Started, u64)>,
    hangs: Vec<Entry>,
    /// Hangs that were dropped to make room for later ones.
    left_out: u64,
    lost: u64,
    /// The last moment that is known of.
    now: Ktime,
    stopped: Option<Stopped>,
}

/// A hang on the page. What is over does not change any more.
struct Entry {
    id: WaitId,
    open: Option<Case>,
    row: String,
    section: String,
}

impl Entry {
    fn render(&mut self, resolved: Option<&Resolved>, now: Ktime) {
        if let Some(case) = &self.open {
            self.row = shown(&case.row(resolved));
            self.section = shown(&case.section(resolved, now));
        }
    }

    /// About what it takes; what is still open has all that it says once more.
    fn bytes(&self) -> usize {
        let said = self.row.len() + self.section.len();
        self.open
            .as_ref()
            .map_or(said, |case| 2 * said + case.bytes())
    }
}

impl Document {
    /// Takes in the next report of the run. Says whether the page is another one now.
    pub fn take(&mut self, report: &Report, details: &dyn Details) -> bool {
        match report {
            Report::Started(started) => {
                self.started = Some((started.clone(), details.wall(started.time)));
                self.pass(started.time);
            }
            Report::Finding(Finding::Hang(hang) | Finding::Update(hang)) => {
                return self.hang(hang, details);
            }
            Report::Finding(Finding::Resolved(resolved)) => {
                self.pass(resolved.time);
                let Some(entry) = self.hangs.iter_mut().find(|entry| entry.id == resolved.id)
                else {
                    return false;
                };
                entry.render(Some(resolved), self.now);
                entry.open = None;
            }
            Report::Lost(lost) => {
                self.lost += lost.events;
                self.pass(lost.time);
            }
            Report::Stopped(stopped) => {
                self.pass(stopped.time);
                self.stopped = Some(*stopped);
                for entry in &mut self.hangs {
                    entry.render(None, self.now);
                }
            }
        }
        true
    }

    fn hang(&mut self, hang: &Hang, details: &dyn Details) -> bool {
        self.pass(hang.time);
        let now = self.now;
        let known = self.hangs.iter_mut().find(|entry| entry.id == hang.id);
        if let Some(entry) = known {
            match &mut entry.open {
                Some(case) => case.update(hang, details),
                None => return false,
            }
            entry.render(None, now);
        } else if hang.verdict == Verdict::Waiting {
            return false;
        } else {
            let mut entry = Entry {
                id: hang.id,
                open: Some(Case::new(hang, details)),
                row: String::new(),
                section: String::new(),
            };
            entry.render(None, now);
            self.hangs.push(entry);
        }
        while self.hangs.len() > HANGS
            || (self.hangs.len() > 1 && self.hangs.iter().map(Entry::bytes).sum::<usize>() > BYTES)
        {
            // What is over goes first.
            let over = self.hangs.iter().position(|entry| entry.open.is_none());
            self.hangs.remove(over.unwrap_or(0));
            self.left_out += 1;
        }
        true
    }

    fn pass(&mut self, time: Ktime) {
        self.now = self.now.max(time);
    }

    /// The page as it is now, complete at any time.
    pub fn page(&self) -> String {
        let policy = POLICY;
        let title = self.title();
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { "pipewatch: " (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { span.brand { "pipewatch" } " " (title) }
                        (PreEscaped(shown(&self.run().into_string())))
                    }
                    main {
                        @if self.hangs.is_empty() { (self.nothing()) }
                        @else { (self.index()) }
                        @for entry in &self.hangs { (PreEscaped(&entry.section)) }
                    }
                }
            }
        };
        page.into_string()
    }

    fn title(&self) -> String {
        let all = self.hangs.len() as u64 + self.left_out;
        let open = self
            .hangs
            .iter()
            .filter(|entry| entry.open.is_some())
            .count();
        match (all, open) {
            (0, _) if self.stopped.is_some() => "nothing hung".to_owned(),
            (0, _) => "nothing hangs so far".to_owned(),
            (_, 0) => format!("{}, resolved", phrases::count(all, "hang", "hangs")),
            (_, _) => format!(
                "{}, {open} still open",
                phrases::count(all, "hang", "hangs")
            ),
        }
    }

    fn run(&self) -> Markup {
        html! {
            dl {
                @if let Some((started, wall)) = &self.started {
                    dt { "Watched" } dd { (phrases::watching(started)) }
                    dt { "From" } dd { (phrases::clock_time(*wall)) " by " (phrases::backend(started)) }
                    @if !started.limits.is_empty() {
                        dt { "Limits" } dd { @for limit in &started.limits { p { (limit) } } }
                    }
                    dt { "State" }
                    dd {
                        @match &self.stopped {
                            Some(stopped) => {
                                "stopped after " (phrases::duration(self.now.since(started.time)))
                                " " (phrases::summary(stopped))
                            }
                            None => {
                                "still watching, " (phrases::duration(self.now.since(started.time)))
                                " after the begin; load this page again for what came later"
                            }
                        }
                    }
                }
                @if self.lost > 0 {
                    dt { "Lost" }
                    dd {
                        (phrases::count(self.lost, "event", "events"))
                        ": hangs are still found, their history may have holes"
                    }
                }
            }
        }
    }

    fn nothing(&self) -> Markup {
        html! {
            section.nothing {
                p {
                    @if self.stopped.is_some() { "No read on a pipe was kept from its end of file." }
                    @else { "No read on a pipe is kept from its end of file so far." }
                }
            }
        }
    }

    fn index(&self) -> Markup {
        html! {
            nav aria-label="Hangs" {
                div.scroll {
                    table {
                        thead {
                            tr { th { "Hang" } th { "Waits since" } th { "What" } th { "Verdict" } th { "State" } }
                        }
                        tbody { @for entry in &self.hangs { (PreEscaped(&entry.row)) } }
                    }
                }
                @if self.left_out > 0 {
                    p.left-out {
                        (phrases::count(self.left_out, "hang is", "hangs are"))
                        " left out: this page keeps what is open, and the last ones."
                    }
                }
            }
        }
    }
}

/// HTML in which nothing of other processes plays tricks: what does not show as itself
/// is spelled out, whatever it came in with.
fn shown(html: &str) -> String {
    let mut shown = String::with_capacity(html.len());
    for c in html.chars() {
        if matches!(c, ' '..='~' | '\n') {
            shown.push(c);
        } else {
            shown.push_str(&page::escape_char(c));
        }
    }
    shown
}
