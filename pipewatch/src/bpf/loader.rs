//! aya's loader, without what it does unasked.

use std::{fs, io};

use aya::EbpfLoader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A loader that knows nothing of the kernel's types: it needs them to relocate members,
/// which these programs do by themselves.
///
/// `EbpfLoader::new` of aya 0.14 reads all of them even so, which was more than half of what
/// a snapshot took; where it can open no file it does without.
///
/// # Errors
///
/// The limit of open files could not be set as it was.
pub(super) fn without_types<'a>() -> io::Result<EbpfLoader<'a>> {
    let mut loader = without_files(EbpfLoader::new)?;
    loader.btf(None);
    Ok(loader)
}

/// Does some work that is to open no file, unless there is another thread, which may have to.
fn without_files<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let alone = fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    let limit = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    let limited = alone && setrlimit(Resource::Nofile, none).is_ok();
    let done = work();
    if limited {
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_opened_meanwhile_and_any_can_be_afterwards() {
        let can_open = || fs::File::open("/proc/self/stat").is_ok();
        // Another test may need files.
        assert_eq!(without_files(can_open).ok(), Some(true));
        // SAFETY: the child has no other thread, and no lock of those that were there is
        // needed to open a file.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let right = without_files(can_open).is_ok_and(|opened| !opened) && can_open();
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(!right)) }
        }
        let mut status = -1;
        // SAFETY: waits for a child, and writes its status to a place of the right type.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
    }
}
