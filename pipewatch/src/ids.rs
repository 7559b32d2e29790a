//! Typed identities of the things pipewatch speaks of.

use std::{fmt, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Process id as user space knows it (the kernel's tgid).
    Pid(u32)
}
number! {
    /// Thread id.
    Tid(u32)
}
number! {
    /// Descriptor number.
    Fd(u32)
}

impl Fd {
    /// Standard output or standard error.
    pub fn is_output(self) -> bool {
        matches!(self.0, 1 | 2)
    }
}

number! {
    /// Identity of an fd table: the address of its `struct files_struct`, equal
    /// for all threads that share it. The kernel may reuse it once nobody does.
    TableId(u64)
}
number! {
    /// Identity of an open file description: the address of its `struct file`,
    /// equal for all descriptors made from it by dup or fork.
    FileId(u64)
}
number! {
    /// A moment: `CLOCK_MONOTONIC`, nanoseconds.
    Ktime(u64)
}
number! {
    /// A user stack kept by the kernel side.
    StackId(u32)
}

impl Ktime {
    /// Nanoseconds from `earlier` to this moment; zero if it came before.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `nanoseconds` later.
    pub fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

/// A process. Its start time keeps it apart from a later process with the
/// same pid; an exec changes neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcKey {
    /// Process id.
    pub pid: Pid,
    /// `start_boottime` of the thread group leader, nanoseconds since boot.
    pub start: u64,
}

impl ProcKey {
    /// Every process that ever had the id.
    pub fn all_of(pid: Pid) -> RangeInclusive<Self> {
        let key = |start| Self { pid, start };
        key(0)..=key(u64::MAX)
    }

    /// In the order in which processes began. `/proc` tells the start in hundredths of a
    /// second only, in which the ids mostly tell more.
    pub fn age(&self) -> (u64, Pid) {
        (self.start, self.pid)
    }
}

/// A pipe or FIFO: the inode, which lives as long as anybody holds an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PipeId {
    /// Device of the inode, in the kernel's encoding.
    pub dev: u32,
    /// Inode number.
    pub inode: u64,
}

/// Name of a task (`comm`): up to 15 bytes of any kind, so it is text only
/// after a lossy conversion. Traces have a character for each byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Comm([u8; 16]);

impl Comm {
    /// From the kernel's NUL padded bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl From<Comm> for String {
    fn from(Comm(bytes): Comm) -> Self {
        let length = bytes.iter().rposition(|&byte| byte != 0);
        let used = &bytes[..length.map_or(0, |last| last + 1)];
        used.iter().copied().map(char::from).collect()
    }
}

impl From<String> for Comm {
    fn from(name: String) -> Self {
        let mut bytes = [0; 16];
        for (byte, char) in bytes.iter_mut().zip(name.chars()) {
            // A crafted trace may have others.
            *byte = u8::try_from(char).unwrap_or(b'?');
        }
        Self(bytes)
    }
}

impl From<&str> for Comm {
    fn from(name: &str) -> Self {
        let mut bytes = [0; 16];
        let length = name.len().min(15);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self(bytes)
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self
            .0
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.0.len());
        f.write_str(&String::from_utf8_lossy(&self.0[..end]))
    }
}
