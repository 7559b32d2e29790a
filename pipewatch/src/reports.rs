//! What is told, in its order: to the trace, and to whoever reads the reports. A
//! report of a hang waits a moment for the stacks that belong into it, and all
//! that comes after it waits too.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use crate::{
    allocator,
    finding::{Finding, Hang, Report},
    host::Host,
    names::{Languages, Names, Noted},
    output::{Output, say},
    problem::Problem,
    render::top::Gauges,
    source::Source,
    stack::Sights,
    stacks::{Answer, Desk, Left, Question, Ticket},
    trace_file::{Entry, Writer},
};

/// If more than that had to wait at once, what they took is given back.
const MANY: usize = 64;

/// Reports on their way.
pub struct Reports {
    output: Output,
    recorder: Option<Writer>,
    desk: Option<Desk>,
    /// So long a report waits for its stacks.
    patience: Duration,
    waiting: VecDeque<Waiting>,
    languages: Languages,
    /// The last question.
    ticket: Ticket,
}

struct Waiting {
    report: Report,
    names: Names,
    sights: Sights,
    /// What it waits for, and until when.
    question: Option<(Ticket, Instant)>,
}

impl Reports {
    /// To these places, without stacks.
    pub fn new(output: Output, recorder: Option<Writer>) -> Self {
        Self {
            output,
            recorder,
            desk: None,
            patience: Duration::ZERO,
            waiting: VecDeque::new(),
            languages: Languages::default(),
            ticket: 0,
        }
    }

    /// From now on processes are looked into, by a thread that is started here, and a
    /// report waits that long for what it finds.
    pub fn with_stacks(&mut self, patience: Duration) {
        self.patience = patience;
        match Desk::open(patience) {
            Ok(desk) => self.desk = Some(desk),
            Err(error) => say(format_args!("warning: reports are without stacks: {error}")),
        }
    }

    /// Adds to the trace, if there is one.
    ///
    /// # Errors
    ///
    /// The trace cannot be written.
    pub fn record(&mut self, entry: impl FnOnce() -> Entry) -> Result<(), Problem> {
        match &mut self.recorder {
            Some(recorder) => recorder.write(&entry()),
            None => Ok(()),
        }
    }

    /// Reports something after all that was reported before.
    ///
    /// # Errors
    ///
    /// The trace, or the report, cannot be written.
    pub fn report(&mut self, report: Report, host: &mut Host) -> Result<(), Problem> {
        let (names, question) = match &report {
            Report::Finding(Finding::Hang(hang) | Finding::Update(hang)) => (
                Names::of(hang, &mut self.languages),
                self.ask(hang, &host.source),
            ),
            Report::Finding(Finding::Resolved(_))
            | Report::Started(_)
            | Report::Lost(_)
            | Report::Stopped(_) => Default::default(),
        };
        if let Some(recorder) = &mut self.recorder {
            names
                .entries()
                .try_for_each(|entry| recorder.write(&entry))?;
        }
        self.waiting.push_back(Waiting {
            report,
            names,
            sights: Sights::default(),
            question,
        });
        self.deliver(host)
    }

    fn ask(&mut self, hang: &Hang, source: &Source) -> Option<(Ticket, Instant)> {
        let desk = self.desk.as_ref()?;
        self.ticket += 1;
        let until = Instant::now() + self.patience;
        let question = Question::about(
            self.ticket,
            until.into_std(),
            hang,
            |act| source.stack(act),
            |tid| source.frame_pointer(tid),
        );
        desk.ask(question).then_some((self.ticket, until))
    }

    /// Told when there may be something to deliver, if that can come by itself.
    pub fn news(&self) -> Option<Arc<Notify>> {
        self.desk.as_ref().map(Desk::news)
    }

    /// When the next report is due, whether or not it is complete.
    pub fn due(&self) -> Option<Instant> {
        let (_, until) = self.waiting.front()?.question?;
        Some(until)
    }

    /// Writes what need not wait any longer.
    ///
    /// # Errors
    ///
    /// The trace, or a report, cannot be written.
    pub fn deliver(&mut self, host: &mut Host) -> Result<(), Problem> {
        self.hear(Duration::ZERO);
        let left = self
            .desk
            .as_mut()
            .and_then(|desk| desk.look_after(std::time::Instant::now()));
        left.inspect(warn);
        while self.due().is_none_or(|until| until <= Instant::now()) {
            let Some(first) = self.waiting.pop_front() else {
                break;
            };
            if let Some(recorder) = &mut self.recorder {
                for sight in first.sights.all() {
                    recorder.write(&Entry::Sight(sight))?;
                }
                // What is told is in the trace, whatever happens next.
                recorder.flush()?;
            }
            host.wall.refresh();
            let noted = Noted {
                names: &first.names,
                sights: &first.sights,
                wall: |time| host.wall.of(time),
            };
            self.output.write(&first.report, &noted)?;
        }
        if self.waiting.is_empty() && self.waiting.capacity() > MANY {
            self.waiting.shrink_to_fit();
            allocator::trim();
        }
        self.output.settle()
    }

    /// Waits for what still has to, and writes all.
    ///
    /// # Errors
    ///
    /// As [`Reports::deliver`].
    pub fn finish(&mut self, host: &mut Host) -> Result<(), Problem> {
        while let Some(until) = self.due() {
            self.hear(until.saturating_duration_since(Instant::now()));
            self.deliver(host)?;
        }
        Ok(())
    }

    /// Takes in the answers that there are; for the first it waits.
    fn hear(&mut self, patience: Duration) {
        let Some(desk) = &self.desk else { return };
        let mut patience = patience;
        while let Some(answer) = desk.answer(std::mem::take(&mut patience)) {
            let (Answer::Sight(ticket, _) | Answer::Done(ticket)) = &answer;
            let asked = |waiting: &&mut Waiting| {
                let question = waiting.question.as_ref();
                question.is_some_and(|(asked, _)| asked == ticket)
            };
            let Some(waiting) = self.waiting.iter_mut().find(asked) else {
                // It went out without.
                continue;
            };
            match answer {
                Answer::Sight(_, sight) => waiting.sights.add(sight),
                Answer::Done(_) => waiting.question = None,
            }
        }
    }

    /// Tells how the run goes, where there is somebody to see it.
    pub fn gauge(&mut self, gauges: Gauges) {
        self.output.gauge(gauges);
    }

    /// Nobody reads reports any more.
    pub fn is_closed(&mut self) -> bool {
        self.output.is_closed()
    }
}

/// Tells why a process has no stacks, or none has any more.
fn warn(left: &Left) {
    let Left {
        process,
        after,
        last,
    } = left;
    let whom = process.map_or_else(
        || "a process".to_owned(),
        |process| format!("pid {}", process.pid),
    );
    let then = if *last {
        "reports are without stacks from now on"
    } else {
        "it is without stacks from now on"
    };
    say(format_args!(
        "warning: looking into {whom} has not ended within {} s: {then}\n\
         hint: is there a file system that does not answer? `--stack-wait` gives it more time",
        after.as_secs()
    ));
}
