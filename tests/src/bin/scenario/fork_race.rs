//! The race of the story: a thread starts a command and reads its "did exec
//! work?" pipe; meanwhile another thread has forked a child that never execs.

use std::sync::Barrier;
use std::thread;

use crate::Options;
use crate::sys;
use crate::window::Window;

pub fn run(options: &Options) {
    let window = Window::new();
    let go = Barrier::new(3);
    let start_command = || {
        go.wait();
        let mut command = None;
        window.make_close_read(|| command = Some(sys::start(c"true")));
        command.into_iter().for_each(sys::reap);
    };
    let update = || {
        go.wait();
        sys::reap(window.fork_inside(|| thread::sleep(options.hold())));
    };
    thread::scope(|scope| {
        named("pusher", scope, start_command);
        named("updater", scope, update);
        options.wait_for_go();
        go.wait();
    });
}

fn named<'scope>(
    name: &str,
    scope: &'scope thread::Scope<'scope, '_>,
    body: impl FnOnce() + Send + 'scope,
) {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, body)
        .expect("a thread");
}
