//! A hang on the page: its picture, and all that its reports say.

use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use maud::{Markup, html};

use super::{
    HOLDERS,
    lanes::{self, Lanes},
    picture,
};
use crate::{
    finding::{
        Certainty, Confidence, Details, Finding, Hang, Holder, Report, Resolved, Step, Verdict,
    },
    ids::{Ktime, ProcKey},
    render::{
        Style,
        advice::hint,
        kept::Kept,
        page::escape,
        phrases::{
            actor, channel, clock_time, count, duration, ends, happening, headline, offset,
            process, provenance, quoted, relation, resolution, use_of_copy,
        },
        place::{at, rows, stack},
        text::render,
        word::Word as _,
    },
    stack::Frame,
};

/// So many steps are listed at each end of a long timeline.
const STEPS: usize = 32;
/// As reports are in a terminal.
const PLAIN: Style = Style {
    width: 80,
    colour: false,
};

/// A hang, as it was told last.
pub(super) struct Case {
    hang: Hang,
    kept: Kept,
    /// The text of its reports: the first, and the last of the updates.
    told: String,
    update: String,
    updates: u64,
}

impl Case {
    pub(super) fn new(hang: &Hang, details: &dyn Details) -> Self {
        let kept = kept(hang, details);
        let report = Report::Finding(Finding::Hang(Box::new(hang.clone())));
        Self {
            told: render(&report, &kept, &PLAIN),
            hang: hang.clone(),
            kept,
            update: String::new(),
            updates: 0,
        }
    }

    /// Its holders have changed.
    pub(super) fn update(&mut self, hang: &Hang, details: &dyn Details) {
        self.kept = kept(hang, details);
        let report = Report::Finding(Finding::Update(Box::new(hang.clone())));
        self.update = render(&report, &self.kept, &PLAIN);
        self.updates += 1;
        self.hang = hang.clone();
    }

    /// What it takes, but for what is in its section as well.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.hang.holders) + size_of_val(&*self.hang.timeline)
    }

    /// A row of the index.
    pub(super) fn row(&self, resolved: Option<&Resolved>) -> String {
        let hang = &self.hang;
        let row = html! {
            tr {
                td { a href={ "#hang-" (hang.id) } { "#" (hang.id) } }
                td { (clock_time(self.kept.wall(hang.reader.since))) }
                td { (headline(hang)) }
                td { (hang.verdict.word()) ", " (hang.cause.word()) ", " (hang.confidence.word()) }
                td { (self.state(resolved)) }
            }
        };
        row.into_string()
    }

    /// All of it, how it was resolved, and else until when it is known to go on.
    pub(super) fn section(&self, resolved: Option<&Resolved>, until: Ktime) -> String {
        let hang = &self.hang;
        let lanes = Lanes::new(hang, resolved, until);
        let id = format!("hang-{}", hang.id);
        let section = html! {
            section.hang id=(id) aria-labelledby={ (id) "-title" } {
                h2 id={ (id) "-title" } { "Hang #" (hang.id) ": " (headline(hang)) }
                (self.badges(resolved))
                div.columns {
                    div { h3 { "Why" } p { (hang.why) } }
                    div { h3 { "What to do" } p { (hint(hang, &self.kept)) } }
                }
                figure {
                    (picture::draw(&lanes, hang, resolved, &self.kept))
                    figcaption { (self.caption(&lanes)) }
                }
                h3 { "What happened" }
                (self.steps(resolved))
                h3 { "Who waits" }
                (self.reader())
                h3 { "Who holds the write end" }
                (self.holders())
                h3 { "The reports" }
                (self.reports(resolved))
            }
        };
        section.into_string()
    }

    fn badges(&self, resolved: Option<&Resolved>) -> Markup {
        let hang = &self.hang;
        let certain = match hang.confidence {
            Confidence::Certain => "certain: nobody who could mean to write is left",
            Confidence::Likely => "likely: it may still be meant",
        };
        let exact = match hang.certainty {
            Certainty::Exact => "exact: its whole history was seen",
            Certainty::Inferred => "inferred: some of its history was not seen",
        };
        html! {
            ul.badges {
                li.(state_class(resolved)) { (self.state(resolved)) }
                li { (hang.verdict.word()) }
                li { "cause " (hang.cause.word()) }
                li { (certain) }
                li { (exact) }
            }
        }
    }

    fn caption(&self, lanes: &Lanes) -> Markup {
        html! {
            span.key { i.key-bar {} "waits" }
            span.key { i.key-write {} "write end" }
            span.key { i.key-read {} "read end" }
            span.key { i.key-unseen {} "not seen since when, or until when" }
            span { "Not to scale: each event has a column. Times are from the begin of the wait. " }
            @if lanes.more_steps > 0 {
                span { (count(lanes.more_steps as u64, "more event is", "more events are")) " in the list below. " }
            }
            @if lanes.more_holders > 0 {
                span { (count(lanes.more_holders as u64, "more process holds", "more processes hold")) " the write end. " }
            }
        }
    }

    fn steps(&self, resolved: Option<&Resolved>) -> Markup {
        let hang = &self.hang;
        // Before each, how many are left out there.
        let mut next = 0;
        let steps = listed(hang).into_iter().map(|number| {
            let gap = number - std::mem::replace(&mut next, number + 1);
            (gap, number, &hang.timeline[number])
        });
        html! {
            ol.steps {
                @for (gap, number, step) in steps {
                    @if gap > 0 {
                        li { span.when { "…" } span { (count(gap as u64, "more event", "more events")) } }
                    }
                    (self.step(number, step))
                }
                @match resolved {
                    Some(resolved) => li id={ "hang-" (hang.id) "-end" } {
                        span.when { (offset(resolved.time, hang.reader.since)) }
                        span { b { "the wait is over" } " " (resolution(resolved)) }
                    },
                    None => li {
                        span.when { (offset(hang.time, hang.reader.since)) }
                        span { "reported: still waiting" }
                    },
                }
            }
        }
    }

    fn step(&self, number: usize, step: &Step) -> Markup {
        let anchor = picture::anchor(&self.hang, number);
        let frames = stack(step.act, &self.kept);
        html! {
            li id=(anchor) {
                span.when { (offset(step.act.time, self.hang.reader.since)) }
                a href={ "#" (anchor) } { (happening(step, &self.hang, &self.kept)) }
                div.more {
                    p { (self.moment(step.act.time)) ", by " (actor(step.act.actor, &self.kept)) (at(frames)) }
                    (trace(frames, "not known where in the program"))
                }
            }
        }
    }

    fn moment(&self, time: Ktime) -> String {
        let wall = UNIX_EPOCH + Duration::from_nanos(self.kept.wall(time));
        humantime::format_rfc3339_micros(wall).to_string()
    }

    fn reader(&self) -> Markup {
        let reader = &self.hang.reader;
        html! {
            dl {
                dt { "Thread" }
                dd { (actor(reader.actor, &self.kept)) }
                (self.command(reader.actor.process))
                dt { "Since" }
                dd {
                    (self.moment(reader.since))
                    ", " (duration(self.hang.time.since(reader.since))) " when it was reported"
                }
                dt { "Pipe" }
                dd { (channel(&self.hang, &self.kept)) }
                dt { "Where" }
                dd { (folded(stack(reader.act(), &self.kept), &format!("hang-{}-read", self.hang.id))) }
            }
        }
    }

    fn holders(&self) -> Markup {
        let hang = &self.hang;
        let (told, more) = hang.holders.split_at(hang.holders.len().min(HOLDERS));
        html! {
            @if hang.holders.is_empty() { p { "No process that can be seen." } }
            @for (number, holder) in told.iter().enumerate() { (self.holder(number, holder)) }
            @if !more.is_empty() {
                p { "And " (count(more.len() as u64, "more process", "more processes")) "." }
            }
        }
    }

    fn holder(&self, number: usize, holder: &Holder) -> Markup {
        let hang = &self.hang;
        let now = self.kept.sights().now(holder.process);
        let id = format!("hang-{}-holder-{}", hang.id, number + 1);
        html! {
            div.holder id=(id) {
                h4 {
                    (process(holder.comm, holder.process.pid)) ", "
                    (relation(holder, hang.reader.actor.process.pid)) ": " (ends(&holder.fds))
                }
                dl {
                    (self.command(holder.process))
                    dt { "Came by it" }
                    dd { (provenance(holder.via, hang, &self.kept)) }
                    dt { "Use" }
                    dd { (use_of_copy(holder, hang.certainty)) }
                    dt { "Is now" }
                    dd { (folded(now, &id)) }
                }
                div.more { (trace(now, "")) }
            }
        }
    }

    fn command(&self, process: ProcKey) -> Markup {
        let words = self.kept.cmdline(process).unwrap_or_default();
        let words: Vec<String> = words.into_iter().map(quoted).collect();
        html! {
            @if !words.is_empty() {
                dt { "Command" }
                dd { code { (escape(&words.join(" "))) } }
            }
        }
    }

    fn reports(&self, resolved: Option<&Resolved>) -> Markup {
        let end = resolved.map(|resolved| {
            let report = Report::Finding(Finding::Resolved(*resolved));
            render(&report, &self.kept, &PLAIN)
        });
        let left_out = self.updates.saturating_sub(1);
        html! {
            pre tabindex="0" {
                (self.told)
                @if left_out > 0 {
                    "(" (count(left_out, "update is", "updates are")) " left out)\n"
                }
                (self.update)
                (end.unwrap_or_default())
            }
        }
    }

    fn state(&self, resolved: Option<&Resolved>) -> String {
        match resolved {
            Some(resolved) => format!("resolved {}", resolution(resolved)),
            // An update has taken it back.
            None if self.hang.verdict == Verdict::Waiting => "healthy after all".to_owned(),
            None => "still waits".to_owned(),
        }
    }
}

fn state_class(resolved: Option<&Resolved>) -> &'static str {
    if resolved.is_some() { "over" } else { "open" }
}

/// The steps that are listed: those at both ends of the timeline, and in the picture.
fn listed(hang: &Hang) -> BTreeSet<usize> {
    let all = hang.timeline.len();
    let ends = (0..all.min(STEPS)).chain(all.saturating_sub(STEPS)..all);
    let (drawn, _) = lanes::shown(hang);
    ends.chain(drawn.into_iter().map(|(number, _)| number))
        .collect()
}

/// What the page tells of a hang from outside.
fn kept(hang: &Hang, details: &dyn Details) -> Kept {
    let steps = listed(hang).into_iter();
    let acts = steps.map(|number| hang.timeline[number].act);
    Kept::of(hang, details, HOLDERS, acts)
}

/// Where a stack is, in short, and a link to all of it.
fn folded(frames: &[Frame], all: &str) -> Markup {
    let rows = rows(frames);
    html! {
        @if rows.is_empty() { span.unknown { "not known where" } }
        @for row in &rows { div { (row) } }
        @if !frames.is_empty() { a href={ "#" (all) } { (count(frames.len() as u64, "frame", "frames")) } }
    }
}

/// All frames of a stack, innermost first.
fn trace(frames: &[Frame], unknown: &str) -> Markup {
    html! {
        @if frames.is_empty() { p.unknown { (unknown) } }
        @else {
            ol.stack {
                @for frame in frames {
                    li {
                        @match (&frame.function, frame.address) {
                            (Some(function), _) => code { (function) },
                            (None, Some(address)) => code { (format!("{address:#x}")) },
                            (None, None) => "called from where, is not known",
                        }
                        @if let Some(file) = &frame.file {
                            " " span.place {
                                (file)
                                @if let Some(line) = frame.line { ":" (line) }
                            }
                        }
                        @if let Some(module) = &frame.module { " " span.module { "in " (module) } }
                    }
                }
            }
        }
    }
}
