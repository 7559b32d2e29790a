//! Files for what command lines are written to, which may hold secrets: made so that
//! nobody else can read them, and never where somebody else has led the name.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, fstat, fstatfs, openat, readlinkat},
    io::Errno,
    process::geteuid,
};

/// So many symbolic links are followed (`MAXSYMLINKS`, include/linux/namei.h).
const LINKS: usize = 40;

/// Creates or empties a file. A new one is for its owner alone; one that is there
/// keeps its mode, as with `>`.
///
/// Where others can put names into the folder, whoever may write to it or owns it,
/// what is there is used only if it is the user's own and has no other name: else a
/// link that was put there would have any file overwritten, and a FIFO would give
/// everything to who reads it. Elsewhere symbolic links are followed.
///
/// # Errors
///
/// As for any file that is created, or it may be a trap.
pub fn create(path: &Path) -> io::Result<File> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match step(&path)? {
            Step::Opened(file) => return Ok(file),
            Step::Link(target) => path = path.parent().unwrap_or(&path).join(target),
            Step::Again => {}
        }
    }
    Err(Errno::LOOP.into())
}

enum Step {
    Opened(File),
    /// It is a symbolic link to this, in a folder that is to be trusted.
    Link(PathBuf),
    /// It was not there, and then it was.
    Again,
}

fn step(path: &Path) -> io::Result<Step> {
    let name = path.file_name().ok_or(Errno::ISDIR)?;
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    let handle = OFlags::PATH | OFlags::CLOEXEC;
    let folder = parent.unwrap_or(Path::new("."));
    let folder = openat(CWD, folder, handle | OFlags::DIRECTORY, Mode::empty())?;
    if fstatfs(&folder)?.f_type == PROC_SUPER_MAGIC {
        // The kernel's links to what is open, whose text is no path.
        return existing(path).map(Step::Opened);
    }
    match openat(&folder, name, handle | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(there) => look(&folder, &there),
        Err(Errno::NOENT) => {
            let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            match openat(&folder, name, new, Mode::RUSR | Mode::WUSR) {
                Ok(file) => Ok(Step::Opened(file.into())),
                Err(Errno::EXIST) => Ok(Step::Again),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// What is to be done with something that is there.
fn look(folder: &OwnedFd, there: &OwnedFd) -> io::Result<Step> {
    let about = fstat(there)?;
    let is_link = FileType::from_raw_mode(about.st_mode) == FileType::Symlink;
    if is_open_to_others(&fstat(folder)?) {
        let trap = if is_link {
            Some("a symbolic link")
        } else if about.st_uid != geteuid().as_raw() {
            Some("a file of another user")
        } else if about.st_nlink > 1 {
            Some("a file with another name")
        } else {
            None
        };
        if let Some(trap) = trap {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("it is {trap}, in a folder where others can put one"),
            ));
        }
    }
    if is_link {
        let target = readlinkat(there, "", Vec::new())?.into_bytes();
        return Ok(Step::Link(OsString::from_vec(target).into()));
    }
    // What was looked at, whatever has that name now.
    let same = format!("/proc/self/fd/{}", there.as_raw_fd());
    existing(Path::new(&same)).map(Step::Opened)
}

fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).truncate(true).open(path)
}

/// Whether somebody else than the user and root can put names into a folder.
fn is_open_to_others(folder: &Stat) -> bool {
    let others = (Mode::WGRP | Mode::WOTH).bits();
    let owner = folder.st_uid;
    folder.st_mode & others != 0 || (owner != 0 && owner != geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Read as _,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
        thread,
    };

    use rustix::fs::mkfifoat;

    use super::*;

    /// A folder of the user's own, with one that everybody may write to in it, which
    /// has a sticky bit or not.
    struct Folders {
        own: PathBuf,
        open: PathBuf,
    }

    impl Folders {
        fn new(name: &str, mode: u32) -> Self {
            let own = format!("pipewatch-file-{name}-{mode:o}-{}", std::process::id());
            let own = std::env::temp_dir().join(own);
            let open = own.join("open");
            fs::create_dir_all(&open).expect("folders");
            fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).expect("chmod");
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).expect("chmod");
            fs::write(own.join("precious"), "precious").expect("a file");
            Self { own, open }
        }

        /// In each kind of folder that others may write to.
        fn each(name: &str, test: impl Fn(&Self)) {
            for mode in [0o1777, 0o777, 0o775] {
                test(&Self::new(name, mode));
            }
        }

        fn assert_refused(&self, path: &Path, why: &str) {
            let error = create(path).expect_err("a refusal");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains(why), "{error}");
            let untouched = fs::read(self.own.join("precious")).expect("a file");
            assert_eq!(untouched, b"precious");
        }
    }

    impl Drop for Folders {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.own);
        }
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_a_second_run_empties_it() {
        Folders::each("new", |folders| {
            for path in [folders.own.join("new"), folders.open.join("new")] {
                for _ in 0..2 {
                    io::Write::write_all(&mut create(&path).expect("a file"), b"x").expect("room");
                    let about = fs::metadata(&path).expect("a file");
                    assert_eq!((about.mode() & 0o777, about.len()), (0o600, 1));
                }
            }
        });
    }

    #[test]
    fn a_file_that_is_there_keeps_its_mode() {
        let folders = Folders::new("mode", 0o755);
        let path = folders.own.join("precious");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        create(&path).expect("the file");
        let about = fs::metadata(&path).expect("a file");
        assert_eq!((about.mode() & 0o777, about.len()), (0o640, 0));
    }

    #[test]
    fn links_where_others_can_put_them_are_refused() {
        Folders::each("links", |folders| {
            let link = folders.open.join("link");
            symlink(folders.own.join("precious"), &link).expect("a link");
            folders.assert_refused(&link, "a symbolic link");
            // Also behind one that may be followed.
            let chain = folders.own.join("chain");
            symlink("open/link", &chain).expect("a link");
            folders.assert_refused(&chain, "a symbolic link");
            let hard = folders.open.join("hard");
            fs::hard_link(folders.own.join("precious"), &hard).expect("a link");
            folders.assert_refused(&hard, "another name");
        });
    }

    #[test]
    fn links_in_a_folder_of_ones_own_are_followed() {
        let folders = Folders::new("own", 0o1777);
        let targets = ["precious", "not-there-yet", "open/new"];
        for (number, target) in targets.iter().enumerate() {
            let link = folders.own.join(number.to_string());
            symlink(target, &link).expect("a link");
            create(&link).expect("a file");
            let about = fs::metadata(folders.own.join(target)).expect("a file");
            assert_eq!(about.len(), 0);
        }
        let circle = folders.own.join("circle");
        symlink("circle", &circle).expect("a link");
        let error = create(&circle).expect_err("a refusal");
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn what_is_no_plain_file_works_too() {
        let folders = Folders::new("fifo", 0o1777);
        for folder in [&folders.own, &folders.open] {
            let path = folder.join("fifo");
            mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a FIFO");
            let reader = thread::spawn({
                let path = path.clone();
                move || {
                    let mut text = String::new();
                    File::open(path).and_then(|mut fifo| fifo.read_to_string(&mut text))
                }
            });
            drop(create(&path).expect("the FIFO"));
            assert_eq!(reader.join().expect("a thread").expect("its end"), 0);
        }
        create(Path::new("/dev/null")).expect("a device");
        let (_reader, writer) = rustix::pipe::pipe().expect("a pipe");
        create(format!("/proc/self/fd/{}", writer.as_raw_fd()).as_ref()).expect("the pipe");
        create(format!("/dev/fd/{}", writer.as_raw_fd()).as_ref()).expect("the pipe");
        assert!(create(&folders.own).is_err(), "a folder");
        assert!(create(Path::new("..")).is_err(), "a folder");
    }
}
