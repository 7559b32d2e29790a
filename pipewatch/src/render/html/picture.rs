//! The picture of a hang: lanes drawn as SVG. Across, it is laid out in parts of a
//! hundred, so that it fits any width and its letters keep their size; downwards in
//! pixels, as the labels beside it are.

use maud::{Markup, html};

use super::lanes::{At, End, Event, Lanes, Line, Process, Row};
use crate::{
    event::Actor,
    finding::{Details, FreedHow, Hang, Outcome, Resolved, Verdict, What},
    render::{
        phrases::{call, count, duration, happening, offset, process as name, resolution, thread},
        word::Word as _,
    },
};

/// Heights in pixels; `style.css` has the same.
const HEAD: u32 = 48;
const TITLE: u32 = 28;
const ROW: u32 = 34;
const GAP: u32 = 10;
/// Where in a row its line is.
const MIDDLE: u32 = 21;
/// The least width of a column.
const COLUMN: u32 = 52;

/// Widths before the first column, up to each next one, and after the last, in
/// twentieths of a column.
const BEFORE: u32 = 10;
const NEXT: u32 = 20;
const LONG: u32 = 30;
const AFTER: u32 = 14;

/// Draws a hang, how it was resolved, if it was.
pub(super) fn draw(
    lanes: &Lanes,
    hang: &Hang,
    resolved: Option<&Resolved>,
    details: &dyn Details,
) -> Markup {
    Picture {
        lanes,
        hang,
        resolved,
        details,
    }
    .draw()
}

/// The name of the element that tells of a step.
pub(super) fn anchor(hang: &Hang, step: usize) -> String {
    match hang.timeline.get(step).map(|step| step.what) {
        Some(What::Read(_)) => format!("hang-{}-read", hang.id),
        Some(_) | None => format!("hang-{}-step-{}", hang.id, step + 1),
    }
}

struct Picture<'a> {
    lanes: &'a Lanes,
    hang: &'a Hang,
    resolved: Option<&'a Resolved>,
    details: &'a dyn Details,
}

impl Picture<'_> {
    fn draw(&self) -> Markup {
        let processes = &self.lanes.processes;
        let height = HEAD + processes.iter().map(height).sum::<u32>() - GAP;
        let least = self.width() * COLUMN / NEXT;
        let summary = format!(
            "Timeline of hang {}: {}, {}. Each link leads to its details.",
            self.hang.id,
            count(processes.len() as u64, "process", "processes"),
            count(self.lanes.events.len() as u64, "event", "events"),
        );
        html! {
            div.picture {
                div.labels aria-hidden="true" {
                    div.head {}
                    @for process in processes { (self.labels(process)) }
                }
                svg.chart role="group" aria-label=(summary) width="100%" height=(height) {
                    g aria-hidden="true" {
                        @for (index, process) in processes.iter().enumerate() {
                            rect.band x="0" y=(self.top(index)) width="100%" height=(height_of(process)) {}
                        }
                        (self.told())
                        @for (index, process) in processes.iter().enumerate() {
                            (self.threads(index, process))
                            @for (number, line) in process.ends_held.iter().enumerate() {
                                (self.line(at(index, Row::End(number)), line))
                            }
                        }
                    }
                    @for (column, event) in self.lanes.events.iter().enumerate() {
                        (self.event(column, event))
                    }
                    @if let Some(resolved) = self.resolved { (self.end(resolved)) }
                    @for (index, process) in processes.iter().enumerate() {
                        @if let Some(number) = process.holder { (self.held(index, process, number)) }
                    }
                }
                // What it needs at least; the chart is as wide as there is room.
                svg.least aria-hidden="true" width=(least) height="0" {}
            }
        }
    }

    fn labels(&self, process: &Process) -> Markup {
        let tags = [
            (process.waits, "waits", "waits"),
            (process.holder.is_some(), "holds", "holds the write end"),
            (process.maker, "made", "made the pipe"),
        ];
        html! {
            div.title {
                span {
                    @if process.nobody { b { "in no process" } }
                    @else { b { (self.process_name(process)) } }
                    @for (_, class, tag) in tags.iter().filter(|(is, ..)| *is) {
                        " " i.tag.(class) { (tag) }
                    }
                }
            }
            @for tid in &process.threads {
                div.row { span {
                    @if tid.0 == process.pid.0 { "main thread" }
                    @else { (self.thread_name(process, tid.0)) }
                } }
            }
            @for line in &process.ends_held {
                div.row { span {
                    @match line.fd {
                        Some(fd) => { "fd " (fd) }
                        None if process.nobody => "in flight",
                        None => "a duplicate",
                    }
                    " · " (end_word(line))
                } }
            }
            div.gap {}
        }
    }

    /// By its main thread, or else by its command line.
    fn process_name(&self, process: &Process) -> String {
        if let Some(comm) = process.comm {
            return name(comm, process.pid);
        }
        let reader = self.hang.reader.actor.process;
        let command = (reader.pid == process.pid).then(|| self.details.cmdline(reader));
        let program = command.flatten().and_then(|words| words.into_iter().next());
        let program = program.as_deref().and_then(|path| path.rsplit('/').next());
        program.map_or_else(
            || format!("pid {}", process.pid),
            |program| format!("{program} (pid {})", process.pid),
        )
    }

    /// As reports have it, which know the thread by what it did.
    fn thread_name(&self, process: &Process, tid: u32) -> String {
        let acts = self.hang.timeline.iter().map(|step| step.act.actor);
        let mut actors = acts.chain([self.hang.reader.actor]);
        let is_it = |actor: &Actor| actor.tid.0 == tid && actor.process.pid == process.pid;
        actors.find(is_it).map_or_else(
            || format!("thread {tid}"),
            |actor| thread(actor, self.details),
        )
    }

    /// The life of a process, by its threads.
    fn threads(&self, index: usize, process: &Process) -> Markup {
        let begin = process
            .begin
            .map_or_else(|| "0%".to_owned(), |column| self.x(column));
        let end = if process.ends {
            self.x(self.lanes.last)
        } else {
            "100%".to_owned()
        };
        html! {
            @for number in 0..process.threads.len() {
                @let y = self.y(at(index, Row::Thread(number)));
                line.thread x1=(begin) y1=(y) x2=(end) y2=(y) {}
            }
        }
    }

    /// The life of an end.
    fn line(&self, place: At, line: &Line) -> Markup {
        let y = self.y(place);
        let kind = kind(line);
        let process = &self.lanes.processes[place.process];
        let possible = process.begin.or(self.lanes.made);
        let begin = possible.map_or_else(|| "0%".to_owned(), |column| self.x(column));
        let first = self.x(line.first);
        let last = match line.end {
            End::Open => "100%".to_owned(),
            End::Closed | End::Unseen(_) => self.x(line.last),
        };
        html! {
            @if !line.seen_to_begin {
                line.end.unseen.(kind) x1=(begin) y1=(y) x2=(first) y2=(y) {}
            }
            line.end.(kind) x1=(first) y1=(y) x2=(last) y2=(y) {}
            @if let End::Unseen(by) = line.end {
                line.end.unseen.(kind) x1=(last) y1=(y) x2=(self.x(by)) y2=(y) {}
            }
        }
    }

    /// Something that a thread did, and to what: a link to its details.
    fn event(&self, column: usize, event: &Event) -> Markup {
        let step = &self.hang.timeline[event.step];
        let time = offset(step.act.time, self.hang.reader.since);
        let told = format!("{time}: {}", happening(step, self.hang, self.details));
        let by = self.y(event.by);
        let ys = || event.touched.iter().map(|place| self.y(*place));
        let (top, bottom) = (ys().fold(by, u32::min), ys().fold(by, u32::max));
        let (verb, class) = match step.what {
            What::Pipe => ("pipe", "made"),
            What::Socketpair => ("sockets", "made"),
            What::Fork { .. } => ("fork", "fork"),
            What::Exec => ("exec", "exec"),
            What::Dup => ("dup", "dup"),
            What::Close => ("close", "close"),
            What::Exit => ("exit", "close"),
            What::Read(call) => (call.word(), "read"),
        };
        let waits = matches!(step.what, What::Read(_));
        html! {
            a.event.(class) href={ "#" (anchor(self.hang, event.step)) } aria-label=(told) {
                title { (told) }
                @if waits { (self.bar(column)) }
                svg x=(self.x(column)) {
                    (head(&time, verb))
                    line.drop x1="0" y1=(HEAD - 4) x2="0" y2=(by) {}
                    line.stem x1="0" y1=(top) x2="0" y2=(bottom) {}
                    line.hit x1="0" y1=(top) x2="0" y2=(bottom) {}
                    @for place in &event.copied {
                        circle.copied cx="0" cy=(self.y(*place)) r="5" {}
                    }
                    @for place in &event.touched { (self.touched(step.what, *place, by)) }
                    @match step.what {
                        What::Exec => rect.dot x="-6" y=(by - 6) width="12" height="12" {},
                        _ => circle.dot cx="0" cy=(by) r="6" {},
                    }
                }
            }
        }
    }

    /// What an event did to a row.
    fn touched(&self, what: What, place: At, by: u32) -> Markup {
        let y = self.y(place);
        let kind = match place.row {
            Row::End(number) => kind(&self.lanes.processes[place.process].ends_held[number]),
            Row::Title | Row::Thread(_) => "either",
        };
        match what {
            What::Close | What::Exit => {
                html! { path.cross.(kind) d={ "M-6 " (y - 6) "l12 12m0 -12l-12 12" } {} }
            }
            // Points to where the copy begins.
            What::Fork { .. } if y > by => {
                html! { path.arrow.(kind) d={ "M-7 " (y - 11) "h14l-7 12z" } {} }
            }
            What::Fork { .. } => html! { path.arrow.(kind) d={ "M-7 " (y + 11) "h14l-7 -12z" } {} },
            What::Pipe | What::Socketpair | What::Exec | What::Dup | What::Read(_) => {
                html! { circle.mark.(kind) cx="0" cy=(y) r="5" {} }
            }
        }
    }

    /// The wait: from its begin to its end, or as far as is known.
    fn bar(&self, column: usize) -> Markup {
        let (place, _) = self.lanes.reader;
        let y = self.y(place) - 12;
        let waited = self.waited();
        let call = call(self.hang);
        let text = if self.resolved.is_some() {
            format!("{call} waits {waited}")
        } else {
            format!("{call} still waits, {waited}")
        };
        let (begin, end) = (self.part(column), self.part(self.lanes.last));
        let end = if self.resolved.is_some() { end } else { WHOLE };
        html! {
            rect.bar x=(percent(begin)) y=(y) width=(percent(end.saturating_sub(begin))) height="24" rx="3" {}
            text.bar-text x=(percent(begin)) y=(y + 16) dx="14" { (text) }
        }
    }

    fn waited(&self) -> String {
        let since = self.hang.reader.since;
        let known = self.lanes.times.last().map_or(0, |time| time.since(since));
        duration(self.resolved.map_or(known, |resolved| resolved.blocked))
    }

    /// The moment in which the hang was reported, or up to which it is known.
    fn told(&self) -> Markup {
        let column = self.lanes.told;
        let is_last = column == self.lanes.last;
        let now = !is_last && self.resolved.is_none();
        html! {
            g {
                svg x=(self.x(column)) {
                    (head(&offset(self.lanes.times[column], self.hang.reader.since), "reported"))
                    line.drop x1="0" y1=(HEAD - 4) x2="0" y2="100%" {}
                }
                @if now {
                    svg x=(self.x(self.lanes.last)) {
                        (head(&offset(self.lanes.times[self.lanes.last], self.hang.reader.since), "still waits"))
                    }
                }
            }
        }
    }

    /// How the wait ended, and by what: a link to what the report says of it.
    fn end(&self, resolved: &Resolved) -> Markup {
        let (verb, goes_on) = match resolved.outcome {
            Outcome::Eof => ("end of file", true),
            Outcome::Data => ("data", true),
            Outcome::Interrupted => ("interrupted", false),
            Outcome::ReaderGone => ("reader gone", false),
        };
        let time = offset(resolved.time, self.hang.reader.since);
        let told = resolution(resolved);
        let (place, _) = self.lanes.reader;
        let reader = self.y(place);
        let freed = self.lanes.freed.map(|place| self.y(place));
        html! {
            a.event.resolved[goes_on] href={ "#hang-" (self.hang.id) "-end" } aria-label=(told) {
                title { (told) }
                svg x=(self.x(self.lanes.last)) {
                    (head(&time, verb))
                    line.drop x1="0" y1=(HEAD - 4) x2="0" y2=(reader) {}
                    @if let Some(freed) = freed {
                        line.stem x1="0" y1=(freed) x2="0" y2=(reader) {}
                        line.hit x1="0" y1=(freed) x2="0" y2=(reader) {}
                        path.cross.write d={ "M-6 " (freed - 6) "l12 12m0 -12l-12 12" } {}
                        @if freed > reader { path.arrow.go d={ "M-7 " (reader + 23) "h14l-7 -11z" } {} }
                        @else { path.arrow.go d={ "M-7 " (reader - 23) "h14l-7 11z" } {} }
                    }
                    circle.dot cx="0" cy=(reader) r="7" {}
                    @if goes_on { path.tick d={ "M-3.5 " (reader) "l2.5 3l4.5 -5.5" } {} }
                }
            }
        }
    }

    /// What a holder has of the pipe: a link to what is known of it.
    fn held(&self, index: usize, process: &Process, number: usize) -> Markup {
        let lines = process.ends_held.iter().enumerate();
        let mut writing = lines.filter(|(_, line)| {
            line.mode.write
                && line.last >= self.lanes.told
                && line.end != End::Unseen(self.lanes.told)
        });
        let Some((row, line)) = writing.next() else {
            return html! {};
        };
        let frees = self.lanes.freed == Some(at(index, Row::End(row)));
        let how = self
            .resolved
            .and_then(|resolved| resolved.freed_by)
            .filter(|_| frees);
        let text = match (how.map(|by| by.how), line.end) {
            (Some(FreedHow::Exit), _) | (None, End::Closed) => "held until it ended",
            (Some(FreedHow::Close), _) => "held until it closed it",
            (Some(FreedHow::Exec), _) => "held until its exec",
            (None, End::Unseen(_)) => "held",
            (None, End::Open) => "still held",
        };
        let y = self.y(at(index, Row::End(row)));
        let told = format!("{} holds the write end", self.process_name(process));
        let (begin, end) = (self.part(line.first), self.part(self.lanes.last));
        html! {
            a.event.holds href={ "#hang-" (self.hang.id) "-holder-" (number + 1) } aria-label=(told) {
                title { (told) }
                line.hit x1=(percent(begin)) y1=(y) x2=(percent(end)) y2=(y) {}
                rect.ring x=(percent(begin)) y=(y - 9) width=(percent(end.saturating_sub(begin))) height="18" rx="4" {}
                @if self.hang.verdict != Verdict::Waiting {
                    text.held x=(percent(end)) y=(y - 8) dx="-12" { (text) }
                }
            }
        }
    }

    /// Widths of all, in twentieths of a column.
    fn width(&self) -> u32 {
        self.place(self.lanes.last) + AFTER
    }

    fn place(&self, column: usize) -> u32 {
        // The wait gets some room, if anything comes in it at all.
        let gaps = (0..column).map(|gap| {
            let waiting = gap >= self.lanes.reader.1 && gap + 1 >= self.lanes.told;
            if waiting { LONG } else { NEXT }
        });
        BEFORE + gaps.sum::<u32>()
    }

    fn part(&self, column: usize) -> u32 {
        self.place(column) * WHOLE / self.width()
    }

    fn x(&self, column: usize) -> String {
        percent(self.part(column))
    }

    fn top(&self, process: usize) -> u32 {
        let above = self.lanes.processes[..process].iter();
        HEAD + above.map(height).sum::<u32>()
    }

    fn y(&self, At { process, row }: At) -> u32 {
        let threads = self.lanes.processes[process].threads.len();
        let row = match row {
            Row::Title => return self.top(process) + TITLE / 2,
            Row::Thread(index) => index,
            Row::End(index) => threads + index,
        };
        let rows = u32::try_from(row).unwrap_or(0);
        self.top(process) + TITLE + rows * ROW + MIDDLE
    }
}

/// All of the width, in hundredths of a percent.
const WHOLE: u32 = 10_000;

fn percent(part: u32) -> String {
    format!("{}.{:02}%", part / 100, part % 100)
}

fn at(process: usize, row: Row) -> At {
    At { process, row }
}

fn height_of(process: &Process) -> u32 {
    let rows = process.threads.len() + process.ends_held.len();
    TITLE + u32::try_from(rows).unwrap_or(0) * ROW + 4
}

fn height(process: &Process) -> u32 {
    height_of(process) + GAP
}

/// The moment of a column, and what happened.
fn head(time: &str, verb: &str) -> Markup {
    html! {
        rect.ring x="-31" y="3" width="62" height=(HEAD - 9) rx="5" {}
        text.time y="20" { (time) }
        text.verb y="37" { (verb) }
    }
}

fn kind(line: &Line) -> &'static str {
    match (line.mode.read, line.mode.write) {
        (true, false) => "read",
        (_, true) => "write",
        (false, false) => "either",
    }
}

fn end_word(line: &Line) -> &'static str {
    match (line.mode.read, line.mode.write) {
        (true, true) => "both ends",
        (true, false) => "read end",
        (false, true) => "write end",
        (false, false) => "an end",
    }
}
