//! The rows of docs/accuracy.md: every way to hang that is known, and every
//! healthy wait that looks like one.

/// Short name, and what happens.
pub const ROWS: &[(&str, &str)] = &[
    (
        "H1",
        "one thread forks while another has a pipe open; the child keeps both ends",
    ),
    (
        "H2",
        "a child that was forked for something else keeps its untouched pair",
    ),
    (
        "H3",
        "a program started in between inherits the write end across exec",
    ),
    (
        "H4",
        "a launcher waits on its \"did exec work?\" channel, of which another fork has a copy",
    ),
    ("H5", "the only write end is in the process that reads"),
    (
        "H6",
        "the holder's table is not in /proc/PID/fd: a thread with a table of its own, or a process whose main thread has ended",
    ),
    (
        "H7",
        "the command has ended, something it left in the background has its output",
    ),
    ("H8", "the same, by a duplicate at a number above 2"),
    ("H9", "workers hold each other's write ends"),
    (
        "H10",
        "a parent keeps both ends of a pipe between its children and waits for them",
    ),
    (
        "H11",
        "one waits for the next; only the last link has a leak",
    ),
    (
        "H12",
        "the creator of a pool is dead, its workers hold their own write ends",
    ),
    (
        "H13",
        "the write end was passed: on its way in a socket, registered with a ring, or kept by who received it",
    ),
    ("H14", "the wait is in poll, ppoll, select or epoll"),
    ("H15", "the wait is a loop of short polls"),
    ("H16", "the wait is in splice, tee or io_uring"),
    ("H17", "the channel is a socketpair"),
    (
        "H18",
        "the channel is a FIFO whose writer has left a descendant",
    ),
    ("H19", "the reader is a shell in a command substitution"),
    (
        "H20",
        "process substitutions and coprocesses that outlive their use",
    ),
    (
        "H21",
        "something a recipe left behind has duplicates of make's jobserver",
    ),
    ("H22", "the holder is in another pid namespace"),
    ("H23", "the holder will leave by itself"),
    ("slow-pipeline", "the writer of a pipeline takes its time"),
    ("slow-child", "a command takes its time and will answer"),
    (
        "sentinel",
        "a child holds a write end for life: its death is the message",
    ),
    ("result-pipe", "a forked child computes, then answers"),
    ("control-pipe", "one thread reads, another writes"),
    (
        "wake-pipe",
        "an event loop that is woken by its own pipe or eventfd",
    ),
    (
        "jobserver",
        "all parts of a build hold both ends of its jobserver",
    ),
    ("lifeline", "a child waits for the death of its parent"),
    (
        "helper-service",
        "resource tracker and forkserver wait for their users",
    ),
    ("idle-pool", "workers that wait for work"),
    (
        "log-pipeline",
        "a supervisor keeps the write end so that the logger survives restarts",
    ),
    ("terminal", "an idle shell on a terminal"),
    ("idle-socket", "idle stream sockets with a living peer"),
    (
        "tool-server",
        "an interpreter or language server that waits for its next request",
    ),
    ("broker", "many socketpairs, many holders, a living broker"),
    (
        "fifo-kept-open",
        "a FIFO that somebody keeps open for reading and writing on purpose",
    ),
    (
        "fifo-no-writer",
        "a FIFO that nobody has opened for writing yet",
    ),
    (
        "start-handshake",
        "a parent waits until its daemon says that it is ready",
    ),
    ("pipe-full", "the writer waits, not the reader"),
    (
        "fork-exec-window",
        "a child between its fork and its exec, which closes the end",
    ),
    ("about-to-return", "EOF or data is there already"),
    ("stopped-holder", "the writer is stopped"),
];
