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
