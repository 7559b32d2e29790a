//! Where releases of CPython keep what a walk through their frames needs: offsets of
//! members on 64-bit machines, as the headers of one version of each release have them
//! (`offsetof` of 3.7.16, 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0).

use pipewatch_ebpf::abi::{DIRECT, Python, mark};

use super::lines::Table;

/// How much in front of a frame is read with it, at most, where that is of use: the bits
/// of its address below this size.
const BEFORE: u16 = 511;

/// Offsets of members of structures, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// `_PyRuntime`: the pointer to the first interpreter.
    pub(super) interpreters: u64,
    /// `PyInterpreterState`: the pointer to the first thread state.
    threads: u16,
    /// `PyThreadState.thread_id`.
    thread_id: u16,
    /// `PyThreadState.frame`, `cframe` or `current_frame`.
    frame: u16,
    /// `_PyCFrame.current_frame`, or [`DIRECT`].
    inner: u16,
    /// Of a frame: its code object.
    code: u16,
    /// Of a frame: the one that called it.
    back: u16,
    /// Of a frame: where in the code it is.
    place: u16,
    /// What is to be read of a code object.
    pub(super) object: Object,
}

/// Offsets of members of a code object, and how it tells lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// `co_filename`, with `co_name` behind it, and what comes then up to the table of
    /// lines.
    pub(super) file: u16,
    /// `co_qualname`, before 3.11 `co_name`.
    pub(super) name: u64,
    /// `co_firstlineno`.
    pub(super) first_line: u64,
    /// `co_linetable`, before 3.10 `co_lnotab`.
    pub(super) lines: u64,
    /// `co_code_adaptive`, the code itself; from 3.11 on.
    pub(super) instructions: u64,
    /// Size of `PyASCIIObject`, after which the characters come.
    pub(super) text: u64,
    /// How the table of lines is written.
    pub(super) table: Table,
}

/// `PyThreadState.next`, in all releases.
const NEXT: u16 = 8;

const V3_8: Layout = Layout {
    interpreters: 32,
    threads: 8,
    thread_id: 176,
    frame: 24,
    inner: DIRECT,
    code: 32,
    back: 24,
    place: 104,
    object: Object {
        file: 104,
        name: 112,
        first_line: 40,
        lines: 120,
        instructions: 0,
        text: 48,
        table: Table::Pairs,
    },
};

const V3_11: Layout = Layout {
    interpreters: 40,
    threads: 16,
    thread_id: 152,
    frame: 56,
    inner: 8,
    code: 32,
    back: 48,
    place: 56,
    object: Object {
        file: 112,
        name: 128,
        first_line: 72,
        lines: 136,
        instructions: 184,
        text: 48,
        table: Table::Locations,
    },
};

impl Layout {
    /// That of CPython 3.`minor`; `None` if it is not known.
    pub(super) fn of(minor: u32) -> Option<Self> {
        Some(match minor {
            7 => Self {
                interpreters: 24,
                object: Object {
                    file: 96,
                    name: 104,
                    first_line: 36,
                    lines: 112,
                    ..V3_8.object
                },
                ..V3_8
            },
            8 | 9 => V3_8,
            10 => Self {
                place: 96,
                object: Object {
                    table: Table::Ranges,
                    ..V3_8.object
                },
                ..V3_8
            },
            11 => V3_11,
            12 => Self {
                threads: 72,
                thread_id: 136,
                inner: 0,
                code: 0,
                back: 8,
                object: Object {
                    first_line: 68,
                    instructions: 192,
                    text: 40,
                    ..V3_11.object
                },
                ..V3_11
            },
            13 => Self {
                interpreters: 632,
                threads: 7344,
                frame: 72,
                inner: DIRECT,
                code: 0,
                back: 8,
                object: Object {
                    first_line: 68,
                    instructions: 200,
                    text: 40,
                    ..V3_11.object
                },
                ..V3_11
            },
            _ => return None,
        })
    }

    /// What the kernel side needs of it, for a process that has its `_PyRuntime` at
    /// this address.
    pub(super) fn at(&self, runtime: u64) -> Python {
        Python {
            interpreters: runtime.wrapping_add(self.interpreters),
            threads: self.threads,
            next: NEXT,
            thread_id: self.thread_id,
            frame: self.frame,
            inner: self.inner,
            code: self.code,
            back: self.back,
            place: self.place,
            names: self.object.file,
            span: self.span(),
            before: self.before(),
            unused: 0,
            fourth: self.object.fourth(),
        }
    }
}

impl Layout {
    fn span(&self) -> u16 {
        self.code.max(self.back).max(self.place) + 8
    }

    /// From 3.11 on the frames of a thread lie one behind the other.
    fn before(&self) -> u16 {
        if self.object.table == Table::Locations {
            BEFORE
        } else {
            0
        }
    }
}

impl Object {
    /// The mark of a code object with these pointers from `co_filename` on.
    pub(super) fn mark(&self, pointers: [u64; 4]) -> u64 {
        mark(pointers, self.fourth())
    }

    /// All of the fourth pointer if it is one of those that do not change.
    fn fourth(&self) -> u64 {
        if self.lines == u64::from(self.file) + 24 {
            u64::MAX
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use pipewatch_ebpf::abi::MEMORY_WORDS;

    use super::*;

    #[test]
    fn releases_that_are_not_known_are_told_as_that() {
        assert!(Layout::of(6).is_none());
        for minor in 7..=13 {
            let object = Layout::of(minor).expect("a layout").object;
            let Python { span, before, .. } = Layout::of(minor).expect("a layout").at(0);
            assert!(usize::from(before + span) < 8 * MEMORY_WORDS, "3.{minor}");
            assert_eq!(before > 0, minor >= 11, "3.{minor}");
            let pointers = (object.lines - u64::from(object.file)) / 8 + 1;
            assert_eq!(pointers, if minor < 11 { 3 } else { 4 }, "3.{minor}");
        }
        assert!(Layout::of(99).is_none());
    }
}
