//! aya's loader, without what it does unasked.

use std::{fs, io};

use aya::EbpfLoader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A loader that knows nothing of the kernel's types: it needs them to relocate members,
/// which these programs do by themselves.
///
/// `EbpfLoader::new` of aya 0.14 reads all of them even so, which would be a third of a
/// start. Where it can open no file it does without. So it may open none, unless there is
/// another thread, which may need to.
///
/// # Errors
///
/// The limit of open files could not be set as it was.
pub(super) fn without_types<'a>() -> io::Result<EbpfLoader<'a>> {
    let alone = fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    let limit = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    let limited = alone && setrlimit(Resource::Nofile, none).is_ok();
    let mut loader = EbpfLoader::new();
    if limited {
        setrlimit(Resource::Nofile, limit)?;
    }
    loader.btf(None);
    Ok(loader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_can_be_opened_afterwards() {
        let before = getrlimit(Resource::Nofile);
        without_types().expect("the limit is set as it was");
        assert_eq!(getrlimit(Resource::Nofile), before);
        fs::read("/proc/self/stat").expect("a file");
    }
}
