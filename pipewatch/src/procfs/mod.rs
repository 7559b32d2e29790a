//! What `/proc` tells: of a process, what only it does; and, where there is no
//! BPF, who waits for what and who holds what.

mod descriptor;
mod identity;
mod kcmp;
mod tables;
mod thread;
mod wait_set;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    ops::Range,
    path::PathBuf,
};

pub use self::{
    tables::Tables,
    wait_set::{waited_for, waits_for_ever},
};
use crate::ids::{Fd, Pid};

/// Command line of a process. `None` if it is gone or has none (a zombie).
/// Bytes that are no text are replaced.
pub fn cmdline(pid: Pid) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if bytes.is_empty() {
        return None;
    }
    let words = bytes.split(|&byte| byte == 0);
    Some(
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

/// Path behind a descriptor of a process.
pub fn path(pid: Pid, fd: Fd) -> Option<String> {
    let target: PathBuf = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// The process that a process or thread id belongs to. `None` if there is none.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn process_of(id: u32) -> io::Result<Option<Pid>> {
    let status = match fs::read_to_string(format!("/proc/{id}/status")) {
        Ok(status) => status,
        // A process that ends while it is read says ESRCH.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let field = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    Ok(field.and_then(|value| value.trim().parse().ok()).map(Pid))
}

/// A file that a process has mapped executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeMap {
    /// Where.
    pub range: Range<u64>,
    /// Which.
    pub path: String,
}

/// What a process has mapped executable; nothing if it is gone.
pub fn code_maps(pid: Pid) -> Vec<CodeMap> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter_map(code_map).collect()
}

/// `start-end perms offset dev inode path`, if it is executable and has a path.
fn code_map(line: &str) -> Option<CodeMap> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let path = words.nth(3)?.trim_start();
    if !permissions.contains('x') || path.is_empty() {
        return None;
    }
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(CodeMap {
        range: hex(start)?..hex(end)?,
        path: path.to_owned(),
    })
}

/// All of a small file, with as few calls as can be: they are what it costs to
/// look at every thread.
fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..])? {
            0 => break,
            count => length += count,
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps() {
        let line = "7f01000-7f02000 r-xp 00001000 fe:00 42   /usr/lib/lib c.so";
        let expected = CodeMap {
            range: 0x7f0_1000..0x7f0_2000,
            path: "/usr/lib/lib c.so".to_owned(),
        };
        assert_eq!(code_map(line), Some(expected));
        assert_eq!(
            code_map("7f01000-7f02000 rw-p 00001000 fe:00 42 /usr/lib/libc.so"),
            None
        );
        assert_eq!(code_map("7f01000-7f02000 r-xp 00000000 00:00 0 "), None);
        assert_eq!(code_map("nonsense"), None);
    }

    #[test]
    fn a_thread_stands_for_its_process() {
        let own = std::process::id();
        let ask = || {
            let tid = rustix::thread::gettid().as_raw_pid().unsigned_abs();
            (tid, process_of(tid).expect("/proc"))
        };
        let (tid, process) = std::thread::spawn(ask).join().expect("an answer");
        assert_ne!(tid, own);
        assert_eq!(process, Some(Pid(own)));
        assert_eq!(process_of(u32::MAX).expect("/proc"), None);
    }
}
