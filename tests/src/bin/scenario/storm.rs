//! A busy service: 50 threads, 200 forks in one second, and one of them falls
//! into the window of another thread's pipe. All other children wait, in good
//! health, on a lifeline: a pipe whose write end their parent keeps.

use std::sync::{Barrier, Mutex, OnceLock, RwLock};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use pipewatch_tests::paced;
use serde_json::json;

use crate::Options;
use crate::fact::say;
use crate::sys::{self, Pipe};
use crate::window::Window;

const THREADS: usize = 50;
/// The main thread keeps the time, another makes and reads the pipe.
const FORKERS: usize = THREADS - 2;
const CHILDREN: usize = 200;
const LEAKER: usize = CHILDREN / 2;
const PACE: Duration = Duration::from_millis(5);
/// How long the children wait on the lifeline once all are there.
const LINGER: Duration = Duration::from_millis(1800);

struct Service {
    window: Window,
    start: Barrier,
    all_forked: Barrier,
    lifeline: OnceLock<Pipe>,
    /// Forks share it; the one fork in the window has it alone, so that no
    /// bystander leaks too.
    turn: RwLock<()>,
    children: Mutex<Vec<Pid>>,
}

pub fn run(options: &Options) {
    let service = &Service {
        window: Window::new(),
        start: Barrier::new(THREADS),
        all_forked: Barrier::new(FORKERS + 1),
        lifeline: OnceLock::new(),
        turn: RwLock::new(()),
        children: Mutex::new(Vec::new()),
    };
    let leaker = thread::scope(|scope| {
        scope.spawn(|| {
            service.start.wait();
            service.window.make_close_read(|| ());
        });
        let forkers: Vec<_> = (0..FORKERS)
            .map(|first| scope.spawn(move || service.fork_children(first, options.hold())))
            .collect();
        options.wait_for_go();
        service.keep_time();
        forkers
            .into_iter()
            .find_map(|forker| forker.join().expect("a forker"))
    });
    leaker.into_iter().for_each(sys::reap);
}

impl Service {
    fn keep_time(&self) {
        let lifeline = sys::pipe();
        self.lifeline.set(lifeline).expect("one lifeline");
        let began = Instant::now();
        self.start.wait();
        self.all_forked.wait();
        let took = began.elapsed();
        let children = self.children.lock().expect("the children").clone();
        let pids: Vec<i32> = children.iter().map(|child| child.as_raw()).collect();
        say(
            "forked",
            json!({ "children": pids, "took_ms": took.as_millis() as u64 }),
        );
        sleep(paced(LINGER));
        sys::close(lifeline.w);
        children.into_iter().for_each(sys::reap);
    }

    /// Forks every `FORKERS`th child at its time; returns the one that leaks if
    /// that was among them.
    fn fork_children(&self, first: usize, hold: Duration) -> Option<Pid> {
        self.start.wait();
        let began = Instant::now();
        let lifeline = *self.lifeline.get().expect("a lifeline");
        let mut leaker = None;
        for child in (first..CHILDREN).step_by(FORKERS) {
            sleep((PACE * child as u32).saturating_sub(began.elapsed()));
            if child == LEAKER {
                let _alone = self.turn.write().expect("the turn");
                leaker = Some(self.window.fork_inside(|| {
                    sys::close(lifeline.w);
                    sleep(hold);
                }));
            } else {
                let _shared = self.turn.read().expect("the turn");
                let child = fork_waiting_child(lifeline);
                self.children.lock().expect("the children").push(child);
            }
        }
        self.all_forked.wait();
        leaker
    }
}

fn fork_waiting_child(lifeline: Pipe) -> Pid {
    let Some(child) = sys::fork() else {
        sys::close(lifeline.w);
        sys::read(lifeline.r);
        sys::quit()
    };
    child
}
