//! Where a program is, or was: frames, and which of them belong to whom.

use std::collections::BTreeMap;

use pipewatch_ebpf::abi::PythonFrame;
use serde::{Deserialize, Serialize};

use crate::ids::{Ktime, ProcKey, Tid};

/// What a frame is one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    /// Machine code.
    #[default]
    Native,
    /// A function that an interpreter of Python runs.
    Python,
}

/// A frame of a stack, innermost first in its list. What is unknown is `None`;
/// a last frame without anything says that there are more, which are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// What it is one of.
    pub kind: FrameKind,
    /// Name of the function.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it, from 1.
    pub line: Option<u32>,
    /// The mapped file the code is in.
    pub module: Option<String>,
    /// Address in the process.
    pub address: Option<u64>,
}

/// What the kernel side found on a thread's stack, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Addresses of code, by frame pointers.
    pub native: Vec<u64>,
    /// Frames of CPython.
    pub python: Vec<PythonFrame>,
}

/// What a thread that sleeps had in the register for the address of its frame, which
/// not all functions use for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePointer {
    /// Whose.
    pub tid: Tid,
    /// `task->nvcsw`, equal as long as the same sleep lasts.
    pub nvcsw: u64,
    /// Address.
    pub value: u64,
}

/// Something that was found out of the threads and processes of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// Where a thread was when it did something.
    Act {
        /// When.
        time: Ktime,
        /// Which.
        tid: Tid,
        /// Where.
        frames: Vec<Frame>,
    },
    /// Where a process is.
    Now {
        /// Which.
        process: ProcKey,
        /// Where.
        frames: Vec<Frame>,
    },
    /// What a program calls one of its threads.
    Thread {
        /// Of which process.
        process: ProcKey,
        /// Which.
        tid: Tid,
        /// How.
        name: String,
    },
}

/// All that was found out for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sights {
    acts: BTreeMap<(Ktime, Tid), Vec<Frame>>,
    now: BTreeMap<ProcKey, Vec<Frame>>,
    threads: BTreeMap<(ProcKey, Tid), String>,
}

impl Sights {
    /// Takes in one more; a later one of the same replaces it.
    pub fn add(&mut self, sight: Sight) {
        match sight {
            Sight::Act { time, tid, frames } => {
                self.acts.insert((time, tid), frames);
            }
            Sight::Now { process, frames } => {
                self.now.insert(process, frames);
            }
            Sight::Thread { process, tid, name } => {
                self.threads.insert((process, tid), name);
            }
        }
    }

    /// Each by itself.
    pub fn all(&self) -> Vec<Sight> {
        let acts = self.acts.iter().map(|(&(time, tid), frames)| Sight::Act {
            time,
            tid,
            frames: frames.clone(),
        });
        let now = self.now.iter().map(|(&process, frames)| Sight::Now {
            process,
            frames: frames.clone(),
        });
        let threads = self.threads.iter();
        let threads = threads.map(|(&(process, tid), name)| Sight::Thread {
            process,
            tid,
            name: name.clone(),
        });
        acts.chain(now).chain(threads).collect()
    }

    /// Where a thread was when it did something; empty if unknown.
    pub fn of_act(&self, time: Ktime, tid: Tid) -> &[Frame] {
        self.acts.get(&(time, tid)).map_or(&[], Vec::as_slice)
    }

    /// Where a process is; empty if unknown.
    pub fn now(&self, process: ProcKey) -> &[Frame] {
        self.now.get(&process).map_or(&[], Vec::as_slice)
    }

    /// What a program calls one of its threads, if it does.
    pub fn thread(&self, process: ProcKey, tid: Tid) -> Option<&str> {
        self.threads.get(&(process, tid)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Pid;

    #[test]
    fn what_is_not_known_is_nothing() {
        let mut sights = Sights::default();
        let process = ProcKey {
            pid: Pid(7),
            start: 1,
        };
        let frames = vec![Frame::default()];
        sights.add(Sight::Now {
            process,
            frames: frames.clone(),
        });
        assert_eq!(sights.now(process), frames);
        let later = ProcKey {
            start: 2,
            ..process
        };
        assert_eq!(sights.now(later), []);
        assert_eq!(sights.of_act(Ktime(1), Tid(7)), []);
        assert_eq!(sights.thread(process, Tid(7)), None);
    }
}
