//! What the texts of `/proc` say. Names in them may hold any bytes, and whoever is
//! watched can make them up.

use crate::{
    event::{Call, Mode},
    ids::{Comm, Fd, Pid},
};

/// What `status` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the thread.
    pub comm: Comm,
    /// The letter that ps prints.
    pub state: u8,
    /// Its parent process.
    pub parent: Pid,
    /// `task->nvcsw`, equal as long as the same sleep lasts.
    pub nvcsw: u64,
}

impl Status {
    /// From the text of the file; `None` if it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let lines = || text.split(|&byte| byte == b'\n');
        let field = |name: &str| {
            let value = lines().find_map(|line| line.strip_prefix(name.as_bytes()))?;
            Some(value.trim_ascii())
        };
        let number = |name| std::str::from_utf8(field(name)?).ok();
        Some(Self {
            comm: comm(lines().find_map(|line| line.strip_prefix(b"Name:\t"))?),
            state: *field("State:")?.first()?,
            parent: Pid(number("PPid:")?.parse().ok()?),
            nvcsw: number("voluntary_ctxt_switches:")?.parse().ok()?,
        })
    }

    /// It has ended, and nobody has waited for it yet.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// It is stopped or traced.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// It sleeps interruptibly.
    pub fn is_asleep(&self) -> bool {
        self.state == b'S'
    }
}

/// The kernel writes a line feed as `\n`, and a backslash twice.
fn comm(escaped: &[u8]) -> Comm {
    let mut bytes = [0; 16];
    let mut rest = escaped.iter();
    for byte in &mut bytes[..15] {
        *byte = match rest.next() {
            Some(b'\\') if rest.as_slice().first() == Some(&b'n') => {
                rest.next();
                b'\n'
            }
            Some(b'\\') => {
                rest.next();
                b'\\'
            }
            Some(plain) => *plain,
            None => break,
        };
    }
    Comm::new(bytes)
}

/// A system call, its number and first two arguments, of `syscall`:
/// `NUMBER 0xARG ... 0xSP 0xPC`; `running`, or -1 for a number, is no call.
pub fn call(line: &[u8]) -> Option<[u64; 3]> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some([number, argument()?, argument()?])
}

/// Where a thread is that sleeps in a system call, of the same: number, first argument,
/// stack pointer and program counter.
pub fn place(line: &[u8]) -> Option<[u64; 4]> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let words: Vec<u64> = words
        .map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())
        .collect::<Option<_>>()?;
    match words[..] {
        [argument, _, _, _, _, _, stack, instruction] => {
            Some([number, argument, stack, instruction])
        }
        _ => None,
    }
}

/// A number of `status`, by the name of its field with the colon.
pub fn number(status: &[u8], name: &str) -> Option<u32> {
    field(status, name)?.parse().ok()
}

/// A set of signals of `status`: signal N is bit N - 1.
pub fn signals(status: &[u8], name: &str) -> Option<u64> {
    u64::from_str_radix(field(status, name)?, 16).ok()
}

fn field<'a>(status: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(value.trim_ascii()).ok()
}

/// When a process started, in clock ticks since boot, and its parent, of `stat`:
/// `PID (COMM) STATE PPID ...`, where COMM may hold anything.
pub fn start_and_parent(stat: &[u8]) -> Option<(u64, Pid)> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[end + 1..])
        .ok()?
        .split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some((start, Pid(parent)))
}

/// Direction and close-on-exec, of the octal `flags:` of fdinfo.
pub fn flags(fdinfo: &[u8]) -> Option<(Mode, bool)> {
    let flags = std::str::from_utf8(fdinfo)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))?;
    let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
    let access = flags & libc::O_ACCMODE;
    let mode = Mode {
        read: access != libc::O_WRONLY,
        write: access != libc::O_RDONLY,
    };
    // An O_PATH descriptor can do neither.
    (flags & libc::O_PATH == 0).then_some((mode, flags & libc::O_CLOEXEC != 0))
}

/// What an array of `struct pollfd` waits to read from: descriptor, events, and two
/// bytes of what came.
pub fn polled(bytes: &[u8]) -> Vec<Fd> {
    let entries = bytes
        .chunks_exact(size_of::<libc::pollfd>())
        .filter_map(|entry| {
            let (fd, events) = (entry.first_chunk()?, entry.get(4..6)?.first_chunk()?);
            let reads = i16::from_ne_bytes(*events) & libc::POLLIN != 0;
            // A negative one is passed over by the kernel too.
            let fd = u32::try_from(i32::from_ne_bytes(*fd)).ok();
            fd.filter(|_| reads).map(Fd)
        });
    entries.collect()
}

/// What is in an `fd_set`: a bit for each descriptor, in words of 64.
pub fn selected(bytes: &[u8]) -> Vec<Fd> {
    let words = bytes.chunks_exact(8).filter_map(|word| word.first_chunk());
    let set = |(base, word): (u32, &[u8; 8])| {
        let word = u64::from_ne_bytes(*word);
        (0..64)
            .filter(move |bit| word >> bit & 1 == 1)
            .map(move |bit| Fd(base * 64 + bit))
    };
    (0..).zip(words).flat_map(set).collect()
}

/// What an epoll instance waits to read from, of a line of its fdinfo:
/// `tfd: FD events: HEX data: HEX ...`.
pub fn registered(line: &str) -> Option<Fd> {
    let mut words = line.strip_prefix("tfd:")?.split_whitespace();
    let fd = words.next()?.parse().ok()?;
    let events = words
        .nth(1)
        .and_then(|events| u32::from_str_radix(events, 16).ok())?;
    (events & libc::EPOLLIN as u32 != 0).then_some(Fd(fd))
}

/// Whether a call that waits for several descriptors has no limit of time, of
/// `syscall`.
pub fn has_no_limit(line: &[u8], call: Call) -> bool {
    let text = String::from_utf8_lossy(line);
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let mut words = text.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok());
    let args: Vec<u64> = words.filter_map(hex).collect();
    // Milliseconds are negative, or the address of a time is null.
    let (at, is_number) = match (call, number) {
        (Call::Poll, number) => (2, number != Some(libc::SYS_ppoll)),
        (Call::Select, _) => (4, false),
        (Call::Epoll, number) => (3, number != Some(libc::SYS_epoll_pwait2)),
        (Call::Read | Call::Readv | Call::Recv | Call::Splice | Call::Tee | Call::IoUring, _) => {
            return false;
        }
    };
    args.get(at).is_some_and(|&limit| {
        if is_number {
            (limit as i32) < 0
        } else {
            limit == 0
        }
    })
}

/// A command line, of `cmdline`; `None` if there is none.
pub fn words(bytes: &[u8]) -> Option<Vec<String>> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status() {
        let text = b"Name:\ta\\n\\\\ b\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nPPid:\t3\n\
                     Threads:\t1\nvoluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t9\n";
        let status = Status::parse(text).expect("a status");
        assert_eq!(status.comm, Comm::from("a\n\\ b"));
        assert_eq!(
            (status.state, status.parent, status.nvcsw),
            (b'S', Pid(3), 42)
        );
        assert!(status.is_asleep() && !status.is_dead() && !status.is_stopped());
        assert_eq!(number(text, "Threads:"), Some(1));
        assert_eq!(number(text, "Seccomp:"), None);
        assert_eq!(
            signals(b"SigPnd:\t8000000000004000\n", "SigPnd:"),
            Some(1 << 63 | 1 << 14)
        );
        assert_eq!(Status::parse(b"Name:\tx\n"), None);
        assert_eq!(Status::parse(b"\xff"), None);
    }

    #[test]
    fn a_system_call() {
        let line = b"0 0x3 0x7f45b8f16000 0x20000 0x0 0x0 0x0 0x7ffea7b71f08 0x7f45b908f2ad\n";
        assert_eq!(call(line), Some([0, 3, 0x7f45_b8f1_6000]));
        assert_eq!(
            place(line),
            Some([0, 3, 0x7ffe_a7b7_1f08, 0x7f45_b908_f2ad])
        );
        assert_eq!(place(b"-1 0x7ffe 0x7f45\n"), None);
        assert_eq!(call(b"running\n"), None);
        assert_eq!(call(b"-1 0x7ffe 0x7f45\n"), None);
    }

    #[test]
    fn a_stat_with_a_name_that_looks_like_more() {
        let stat = b"7 (a) S 1) S 3 4 4 0 -1 4194560 431 0 0 0 0 0 0 0 20 0 1 0 1400545 31 4\n";
        assert_eq!(start_and_parent(stat), Some((1_400_545, Pid(3))));
        assert_eq!(start_and_parent(b"7"), None);
    }

    #[test]
    fn flags_of_fdinfo() {
        let of = |flags: &str| {
            super::flags(format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t16\n").as_bytes())
        };
        let mode = |read, write| Mode { read, write };
        assert_eq!(of("00"), Some((mode(true, false), false)));
        assert_eq!(of("02000001"), Some((mode(false, true), true)));
        assert_eq!(of("04002"), Some((mode(true, true), false)));
        assert_eq!(of("010000000"), None);
        assert_eq!(of("9"), None);
    }

    #[test]
    fn sets_of_descriptors() {
        let entry =
            |fd: i32, events: i16| [&fd.to_ne_bytes()[..], &events.to_ne_bytes(), &[0; 2]].concat();
        let array = [
            entry(5, libc::POLLIN),
            entry(6, libc::POLLOUT),
            entry(-1, libc::POLLIN),
        ]
        .concat();
        assert_eq!(polled(&array), [Fd(5)]);
        let set = [(1_u64 << 3 | 1 << 63).to_ne_bytes(), 1_u64.to_ne_bytes()].concat();
        assert_eq!(selected(&set), [Fd(3), Fd(63), Fd(64)]);
        assert_eq!(
            registered("tfd:        5 events:       19 data: 5  pos:0"),
            Some(Fd(5))
        );
        assert_eq!(registered("tfd:        5 events:       1c data: 5"), None);
        assert_eq!(registered("pos:\t0"), None);
    }
}
