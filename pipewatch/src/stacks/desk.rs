//! The thread that answers questions. It may come to a file that cannot be opened, as on
//! a file system that does not answer; it is then left to itself, and another one goes on.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{Answer, Question, Ticket, known::Known, look::Look, modules::Modules, moment::Moment};
use crate::ids::ProcKey;

/// So long, at least, a thread may take for a part of a process before it is left.
const LONGEST: Duration = Duration::from_secs(5);
/// How often that is looked at. Time in which nobody looks does not count: then all of
/// pipewatch stood still.
const PERIOD: Duration = Duration::from_millis(250);
/// Not more threads than these are left to themselves at a time.
const LEFT: usize = 4;
/// So many processes are remembered that are not looked into any more, the latest.
const SHUNNED: usize = 64;

/// Where questions are put and answers come from.
pub struct Desk {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
    shared: Arc<Shared>,
    clerk: Clerk,
    watch: Watch,
    left: Vec<JoinHandle<()>>,
    closed: bool,
}

/// That a thread was left to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it looked into, which nobody does any more.
    pub process: Option<ProcKey>,
    /// So long it had taken.
    pub after: Duration,
    /// No other one goes on: there have been too many.
    pub last: bool,
}

/// What is the same for all threads.
struct Shared {
    questions: Mutex<Receiver<Question>>,
    answers: Sender<Answer>,
    news: Arc<Notify>,
    shunned: Mutex<Vec<ProcKey>>,
}

/// A thread, and what it is at.
struct Clerk {
    thread: JoinHandle<()>,
    progress: Arc<Progress>,
}

/// A part of what a question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    ticket: Ticket,
    /// What is looked into.
    process: Option<ProcKey>,
    /// Which part this is.
    number: u64,
}

/// What a thread is at.
#[derive(Default)]
pub(super) struct Progress(Mutex<Doing>);

#[derive(Default)]
struct Doing {
    work: Option<Work>,
    /// Another one goes on.
    left: bool,
}

impl Desk {
    /// Starts the thread, which ends with the desk. A process may be looked into for
    /// `patience`, or longer, at a time.
    ///
    /// # Errors
    ///
    /// There is no room for a thread.
    pub fn open(patience: Duration) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel();
        let (answering, answers) = mpsc::channel();
        let shared = Arc::new(Shared {
            questions: Mutex::new(asked),
            answers: answering,
            news: Arc::new(Notify::new()),
            shunned: Mutex::default(),
        });
        Ok(Self {
            questions,
            answers,
            clerk: Clerk::start(&shared)?,
            shared,
            watch: Watch::new(patience.max(LONGEST)),
            left: Vec::new(),
            closed: false,
        })
    }

    /// Puts a question, which costs no time. `false`: nobody will answer.
    pub fn ask(&self, question: Question) -> bool {
        !self.closed && self.questions.send(question).is_ok()
    }

    /// Told when there may be an answer.
    pub fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.news)
    }

    /// The next answer, if it comes within this time.
    pub fn answer(&self, within: Duration) -> Option<Answer> {
        self.answers.recv_timeout(within).ok()
    }

    /// Lets another thread go on if this one does not. To be called now and then.
    pub fn look_after(&mut self, now: Instant) -> Option<Left> {
        let work = self.watch.stuck(now, || self.clerk.progress.work())?;
        if self.closed || !self.clerk.progress.leave(work) {
            return None;
        }
        if let Some(process) = work.process {
            let mut shunned = lock(&self.shared.shunned);
            if shunned.len() == SHUNNED {
                shunned.remove(0);
            }
            shunned.push(process);
        }
        self.left.retain(|thread| !thread.is_finished());
        let next = (self.left.len() < LEFT).then(|| Clerk::start(&self.shared));
        match next {
            Some(Ok(next)) => {
                let last = std::mem::replace(&mut self.clerk, next);
                self.left.push(last.thread);
            }
            Some(Err(_)) | None => self.closed = true,
        }
        self.shared.tell(Answer::Done(work.ticket));
        Some(Left {
            process: work.process,
            after: self.watch.longest,
            last: self.closed,
        })
    }
}

impl Shared {
    fn tell(&self, answer: Answer) {
        // Whoever asked may be gone, which ends this with the next question.
        let _ = self.answers.send(answer);
        self.news.notify_one();
    }

    /// Answers one question after the other, until nobody asks any more, or another
    /// thread does it.
    fn serve(&self, progress: &Progress) {
        let (mut known, mut modules) = (Known::default(), Modules::default());
        let mut moment = Moment::begin();
        loop {
            let mut next = lock(&self.questions).try_recv().ok();
            if next.is_none() {
                // Nothing is kept open of processes that nobody asks about.
                moment = Moment::begin();
                next = lock(&self.questions).recv().ok();
            }
            let Some(question) = next else {
                return;
            };
            let ticket = question.ticket;
            progress.begin(ticket);
            let shunned = lock(&self.shunned).clone();
            let tell = |sight| self.tell(Answer::Sight(ticket, sight));
            moment.turn_to(&question);
            let (known, modules, seen) = (&mut known, &mut modules, &mut moment);
            let mut look = Look::new(known, modules, seen, progress, shunned, tell);
            // What a process shows of itself may be made up to confuse whoever reads
            // it; that must cost no more than this answer.
            if catch_unwind(AssertUnwindSafe(|| look.all(&question))).is_err() {
                moment = Moment::begin();
            }
            if progress.end() {
                return;
            }
            self.tell(Answer::Done(ticket));
        }
    }
}

impl Clerk {
    fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let shared = Arc::clone(shared);
        let progress = Arc::new(Progress::default());
        let own = Arc::clone(&progress);
        let thread = thread::Builder::new().name("stacks".to_owned());
        let thread = thread.spawn(move || shared.serve(&own))?;
        Ok(Self { thread, progress })
    }
}

impl Progress {
    fn begin(&self, ticket: Ticket) {
        lock(&self.0).work = Some(Work {
            ticket,
            process: None,
            number: 0,
        });
    }

    /// Now this is looked into.
    pub(super) fn at(&self, process: ProcKey) {
        if let Some(work) = &mut lock(&self.0).work {
            work.process = Some(process);
            work.number += 1;
        }
    }

    /// All is done; whether another thread goes on.
    fn end(&self) -> bool {
        let mut doing = lock(&self.0);
        doing.work = None;
        doing.left
    }

    fn work(&self) -> Option<Work> {
        lock(&self.0).work
    }

    /// Lets another thread go on, if this one is still there.
    fn leave(&self, work: Work) -> bool {
        let mut doing = lock(&self.0);
        doing.left |= doing.work == Some(work);
        doing.left
    }
}

/// Sees whether work goes on.
struct Watch {
    longest: Duration,
    next: Option<Instant>,
    last: Option<Work>,
    /// How often it was the same.
    same: u32,
}

impl Watch {
    fn new(longest: Duration) -> Self {
        Self {
            longest,
            next: None,
            last: None,
            same: 0,
        }
    }

    /// The work that was the same for too long.
    fn stuck(&mut self, now: Instant, work: impl Fn() -> Option<Work>) -> Option<Work> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + PERIOD);
        let last = std::mem::replace(&mut self.last, work());
        let work = self.last.filter(|_| self.last == last);
        self.same = work.map_or(0, |_| self.same.saturating_add(1));
        work.filter(|_| PERIOD * self.same >= self.longest)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(number: u64) -> Option<Work> {
        Some(Work {
            ticket: 1,
            process: None,
            number,
        })
    }

    #[test]
    fn work_that_does_not_go_on_is_left() {
        let mut watch = Watch::new(4 * PERIOD);
        let mut now = Instant::now();
        let mut after = |pause, work| {
            now += pause;
            watch.stuck(now, || work)
        };
        // Part after part, or nothing to do, for as long as one likes.
        for number in 0..10 {
            assert_eq!(after(PERIOD, work(number)), None);
        }
        for _ in 0..10 {
            assert_eq!(after(PERIOD, None), None);
        }
        assert_eq!(after(PERIOD, work(1)), None);
        // Whoever asks more often does not count more often, and a pause counts once.
        for _ in 0..10 {
            assert_eq!(after(PERIOD / 20, work(1)), None);
        }
        assert_eq!(after(100 * PERIOD, work(1)), None);
        assert_eq!(after(PERIOD, work(1)), None);
        assert_eq!(after(PERIOD, work(1)), None);
        assert_eq!(after(PERIOD, work(1)), work(1));
    }

    #[test]
    fn work_that_has_gone_on_is_not_left() {
        let progress = Progress::default();
        let process = ProcKey {
            pid: crate::ids::Pid(7),
            start: 1,
        };
        progress.begin(1);
        let first = progress.work().expect("work");
        progress.at(process);
        assert!(!progress.leave(first));
        let second = progress.work().expect("work");
        assert_eq!(second.process, Some(process));
        assert!(progress.leave(second) && progress.end());
    }
}
