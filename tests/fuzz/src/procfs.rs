//! Texts of `/proc`, each as whatever file it may be of.

use pipewatch::{
    event::Call,
    procfs::parse::{
        Status, call, flags, has_no_limit, polled, registered, selected, start_and_parent, words,
    },
};

pub(crate) fn run(bytes: &[u8]) {
    if let Some(status) = Status::parse(bytes) {
        let _ = status.comm.to_string();
        let _ = (status.is_dead(), status.is_stopped(), status.is_asleep());
    }
    let _ = call(bytes);
    let _ = start_and_parent(bytes);
    let _ = flags(bytes);
    // No more descriptors than there is room for.
    assert!(polled(bytes).len() <= bytes.len() / 8);
    assert!(selected(bytes).len() <= bytes.len() * 8);
    let _ = String::from_utf8_lossy(bytes)
        .lines()
        .map(registered)
        .count();
    for waits in [Call::Poll, Call::Select, Call::Epoll] {
        let _ = has_no_limit(bytes, waits);
    }
    assert!(words(bytes).is_none_or(|words| !words.is_empty()));
}
