//! An io_uring as the reader, and as the holder.

use std::thread::sleep;

pub use io_uring::squeue::Flags;
use io_uring::{IoUring, opcode, types};
use nix::unistd::alarm;

use crate::Options;
use crate::sys;

/// A forked child keeps its pair for a while; no thread is in a read, the wait
/// is for the ring.
pub fn read(options: &Options, flags: Flags) {
    options.wait_for_go();
    let pipe = sys::pipe();
    let Some(child) = sys::fork() else {
        sleep(options.hold());
        sys::quit()
    };
    sys::close(pipe.w);
    let mut ring = IoUring::new(2).expect("an io_uring");
    let mut byte = [0];
    let read = opcode::Read::new(types::Fd(pipe.r), byte.as_mut_ptr(), 1);
    // SAFETY: the byte lives until the read has come back.
    unsafe { ring.submission().push(&read.build().flags(flags)) }.expect("room for one");
    ring.submit_and_wait(1).expect("a read");
    sys::reap(child);
}

/// The ring of the reader is all that holds the write end. SIGALRM ends it.
pub fn register(options: &Options) {
    options.wait_for_go();
    let pipe = sys::pipe();
    let ring = IoUring::new(2).expect("an io_uring");
    ring.submitter()
        .register_files(&[pipe.w])
        .expect("a registered file");
    sys::close(pipe.w);
    alarm::set(options.hold().as_secs().max(1) as u32);
    sys::read(pipe.r);
}
