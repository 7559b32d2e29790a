//! The words that the output contract (docs/output.md) has for the values of a
//! finding.

use crate::{
    event::{Call, Kind, Mode},
    finding::{
        Cause, Certainty, Channel, Confidence, FreedHow, Outcome, Reason, Relation, Verdict,
        ViaKind, What,
    },
    stack::FrameKind,
};

/// A value the contract has a word for.
pub trait Word {
    /// That word.
    fn word(self) -> &'static str;
}

impl Word for Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Leaked => "leaked",
            Self::Orphaned => "orphaned",
            Self::SelfHeld => "self-held",
            Self::InFlight => "in-flight",
            Self::Waiting => "waiting",
        }
    }
}

impl Word for Cause {
    fn word(self) -> &'static str {
        match self {
            Self::ForkRace => "fork-race",
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Dup => "dup",
            Self::Passed => "passed",
            Self::Unknown => "unknown",
        }
    }
}

impl Word for Confidence {
    fn word(self) -> &'static str {
        match self {
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

impl Word for Certainty {
    fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Inferred => "inferred",
        }
    }
}

impl Word for &Channel {
    fn word(self) -> &'static str {
        self.kind.word()
    }
}

impl Word for Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::Socketpair { .. } => "socketpair",
        }
    }
}

impl Word for ViaKind {
    fn word(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Dup => "dup",
            Self::Created => "created",
            Self::Opened => "opened",
            Self::Passed => "passed",
            Self::Unknown => "unknown",
        }
    }
}

impl Word for Relation {
    fn word(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::Child => "child",
            Self::Descendant => "descendant",
            Self::Parent => "parent",
            Self::Ancestor => "ancestor",
            Self::Sibling => "sibling",
            Self::Unrelated => "unrelated",
        }
    }
}

impl Word for What {
    fn word(self) -> &'static str {
        match self {
            Self::Pipe => "pipe2",
            Self::Socketpair => "socketpair",
            Self::Fork { .. } => "fork",
            Self::Exec => "exec",
            Self::Dup => "dup",
            Self::Close => "close",
            Self::Exit => "exit",
            Self::Read(call) => call.word(),
        }
    }
}

impl Word for Call {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Readv => "readv",
            Self::Recv => "recv",
            Self::Splice => "splice",
            Self::Tee => "tee",
            Self::Poll => "poll",
            Self::Select => "select",
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
        }
    }
}

impl Word for FrameKind {
    fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Python => "python",
        }
    }
}

impl Word for Mode {
    fn word(self) -> &'static str {
        match (self.read, self.write) {
            (true, true) => "rw",
            (false, true) => "w",
            (_, false) => "r",
        }
    }
}

impl Word for Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Data => "data",
            Self::Interrupted => "interrupted",
            Self::ReaderGone => "reader-gone",
        }
    }
}

impl Word for FreedHow {
    fn word(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Exit => "exit",
            Self::Exec => "exec",
        }
    }
}

impl Word for Reason {
    fn word(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Duration => "duration",
            Self::Hang => "hang",
            Self::Ended => "ended",
            Self::CommandEnded => "command-ended",
            Self::Looked => "looked",
            Self::TraceEnds => "trace-ends",
        }
    }
}
