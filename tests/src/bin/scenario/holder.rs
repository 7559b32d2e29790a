//! A forked child keeps both ends, untouched, while it does something else that a
//! release of its write end must not disturb. The reader helps it to end that once it
//! has its end of file, so what the child says then was not over before.

use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::Options;
use crate::fact::{read_and_say, say};
use crate::sys::{self, Pipe};

/// What the child does.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// Reads from another pipe
    Read,
    /// The same, while a signal handler runs a thousand times a second
    ReadAmidSignals,
    /// Polls another pipe, without a limit of time
    Poll,
    /// The same by select
    Select,
    /// The same by epoll
    Epoll,
    /// Waits on a futex, with a limit of time that does not come
    Futex,
    /// Waits for a signal
    Sigwait,
    /// Sleeps for as long as --hold-ms tells
    Nanosleep,
    /// Polls nothing, for as long
    PollTimeout,
    /// Waits on a futex that nobody wakes, for as long
    FutexTimeout,
    /// One thread waits, three others compute, call and wait
    Threads,
    /// Makes one system call after the other
    Calls,
    /// Makes none
    Computes,
    /// Writes into the pipe, then reads from another one
    Writes,
    /// Reads from another pipe, in strict seccomp mode
    Strict,
    /// The same, with a filter that permits everything
    Filter,
    /// The same, with a filter that kills for close and dup3
    KillFilter,
    /// Closes all but the write end and another pipe, which it reads
    Bare,
    /// Two children read from another pipe
    Two,
}

/// What both sides see.
struct Shared {
    futex: AtomicU32,
    counts: [AtomicU64; 3],
}

pub fn run(options: &Options, how: How) {
    options.wait_for_go();
    let shared = share();
    let clock = (how.is_timed()).then(|| reference(options.hold()));
    let other = sys::pipe();
    let pipe = sys::pipe();
    let child = |_| {
        let Some(child) = sys::fork() else {
            let result = how.live(options, pipe, other, shared);
            say("lived", json!({ "result": result }));
            sys::quit()
        };
        child
    };
    let children: Vec<Pid> = (0..how.children()).map(child).collect();
    sys::close(pipe.w);
    if how == How::Writes {
        sys::read(pipe.r);
    }
    let pids: Vec<i32> = children.iter().map(|child| child.as_raw()).collect();
    say(
        "holding",
        json!({ "pids": pids, "fd": pipe.w, "read": pipe.r }),
    );
    read_and_say(pipe);
    shared.futex.store(1, SeqCst);
    futex(&shared.futex, libc::FUTEX_WAKE, i32::MAX as u32, None);
    for child in &children {
        sys::write(other.w, b"x");
        if how == How::Sigwait {
            kill(*child, Signal::SIGUSR1).expect("a child");
        }
    }
    children.into_iter().chain(clock).for_each(sys::reap);
}

/// A child without the pipe that tells when a wait which began anew could not be over
/// yet: it can do so a second after its begin at the earliest, when it is a hang.
fn reference(hold: Duration) -> Pid {
    let Some(child) = sys::fork() else {
        thread::sleep(hold + Duration::from_secs(1));
        say("too-late", json!({}));
        sys::quit()
    };
    child
}

impl How {
    fn is_timed(self) -> bool {
        matches!(
            self,
            Self::Nanosleep | Self::PollTimeout | Self::FutexTimeout
        )
    }

    fn children(self) -> usize {
        if self == Self::Two { 2 } else { 1 }
    }

    /// What came of it, as the system call returned it: less than zero for an error.
    fn live(self, options: &Options, pipe: Pipe, other: Pipe, shared: &Shared) -> i64 {
        let limit = libc::timespec {
            tv_sec: options.hold().as_secs() as libc::time_t,
            tv_nsec: options.hold().subsec_nanos().into(),
        };
        match self {
            Self::Read | Self::Two => read(other.r),
            Self::Bare => {
                let rest = (3..100).filter(|fd| ![pipe.w, other.r].contains(fd));
                for fd in rest {
                    // Whatever is there has come from whoever started this program.
                    let _ = nix::unistd::close(fd);
                }
                read(other.r)
            }
            Self::ReadAmidSignals => {
                tick();
                read(other.r)
            }
            Self::Poll => poll(Some(other.r), -1),
            Self::PollTimeout => poll(None, options.hold().as_millis() as i32),
            Self::Select => select(other.r),
            Self::Epoll => epoll(other.r),
            Self::Futex => {
                let never = libc::timespec {
                    tv_sec: 3600,
                    tv_nsec: 0,
                };
                // Whoever uses a futex looks again.
                let wait = || futex(&shared.futex, libc::FUTEX_WAIT, 0, Some(&never));
                let again = -i64::from(libc::EAGAIN);
                match wait() {
                    result if result == again && shared.futex.load(SeqCst) == 1 => 0,
                    result => result,
                }
            }
            Self::FutexTimeout => {
                let nobody = AtomicU32::new(0);
                futex(&nobody, libc::FUTEX_WAIT, 0, Some(&limit))
            }
            Self::Nanosleep => nanosleep(&limit),
            Self::Sigwait => {
                let mut set = SigSet::empty();
                set.add(Signal::SIGUSR1);
                set.thread_block().expect("a mask");
                // SAFETY: the set is one, and the rest may be null.
                result(unsafe { libc::sigwaitinfo(set.as_ref(), ptr::null_mut()) }.into())
            }
            Self::Threads => threads(other, shared),
            Self::Calls => calls(shared),
            Self::Computes => loop {
                shared.counts[0].fetch_add(1, SeqCst);
            },
            Self::Writes => {
                sys::write(pipe.w, b"y");
                read(other.r)
            }
            Self::Strict => {
                seccomp_strict();
                read(other.r)
            }
            Self::Filter => {
                filter(&[statement(RETURN, libc::SECCOMP_RET_ALLOW)]);
                read(other.r)
            }
            Self::KillFilter => {
                let kills_for = |call: libc::c_long, further: u8| libc::sock_filter {
                    jt: further,
                    ..statement(JUMP_IF, call as u32)
                };
                filter(&[
                    statement(LOAD, 0),
                    kills_for(libc::SYS_close, 2),
                    kills_for(libc::SYS_dup3, 1),
                    statement(RETURN, libc::SECCOMP_RET_ALLOW),
                    statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
                ]);
                read(other.r)
            }
        }
    }
}

/// Memory that a fork does not copy.
fn share() -> &'static Shared {
    // SAFETY: a new mapping, which is never unmapped, and zero in all its bytes, which
    // is a value of each member.
    unsafe {
        let memory = libc::mmap(
            ptr::null_mut(),
            size_of::<Shared>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(memory, libc::MAP_FAILED);
        &*memory.cast()
    }
}

fn result(returned: i64) -> i64 {
    if returned == -1 {
        -i64::from(Errno::last_raw())
    } else {
        returned
    }
}

fn read(fd: i32) -> i64 {
    let mut byte = 0_u8;
    // SAFETY: one byte, which is there.
    result(unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } as i64)
}

fn poll(fd: Option<i32>, timeout: i32) -> i64 {
    let mut set = libc::pollfd {
        fd: fd.unwrap_or(-1),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: a set of one, which is there.
    result(unsafe { libc::poll(&raw mut set, 1, timeout) }.into())
}

fn select(fd: i32) -> i64 {
    // SAFETY: a set of descriptors is bits, which zero clears, and the others and the
    // limit of time may be null.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::FD_SET(fd, &raw mut set);
        let none = ptr::null_mut();
        result(libc::select(fd + 1, &raw mut set, none, none, ptr::null_mut()).into())
    }
}

fn epoll(fd: i32) -> i64 {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    // SAFETY: one event to register, and room for one that comes.
    unsafe {
        let set = libc::epoll_create1(0);
        assert_eq!(
            libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &raw mut event),
            0
        );
        result(libc::epoll_wait(set, &raw mut event, 1, -1).into())
    }
}

fn futex(word: &AtomicU32, what: i32, value: u32, limit: Option<&libc::timespec>) -> i64 {
    let limit = limit.map_or(ptr::null(), |limit| limit);
    // SAFETY: the word lives, and the limit is a time or null.
    result(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), what, value, limit) })
}

fn nanosleep(time: &libc::timespec) -> i64 {
    // SAFETY: a time; the rest of it need not be told.
    result(unsafe { libc::nanosleep(time, ptr::null_mut()) }.into())
}

/// A handler of signals that come a thousand times a second.
fn tick() {
    extern "C" fn handle(_: i32) {}
    let period = libc::timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: a handler that does nothing, and a timer. `signal` restarts what its
    // handler interrupts.
    unsafe {
        libc::signal(libc::SIGALRM, handle as *const () as libc::sighandler_t);
        assert_eq!(
            libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()),
            0
        );
    }
}

/// Each of the three counts on after the reader has got its end of file.
fn threads(other: Pipe, shared: &Shared) -> i64 {
    let count = |count: &AtomicU64, work: fn()| {
        while shared.futex.load(SeqCst) < 2 {
            work();
            count.fetch_add(1, SeqCst);
        }
    };
    let works: [fn(); 3] = [
        || (),
        || {
            let _ = std::os::unix::process::parent_id();
        },
        || thread::sleep(Duration::from_millis(1)),
    ];
    thread::scope(|scope| {
        for (counter, work) in shared.counts.iter().zip(works) {
            scope.spawn(move || count(counter, work));
        }
        let result = read(other.r);
        let counts = || shared.counts.each_ref().map(|counter| counter.load(SeqCst));
        let then = counts();
        while counts().iter().zip(then).any(|(now, then)| *now == then) {
            thread::yield_now();
        }
        shared.futex.store(2, SeqCst);
        result
    })
}

/// How many of the calls returned what they do not, until there is an end of file.
fn calls(shared: &Shared) -> i64 {
    let parent = std::os::unix::process::parent_id();
    let mut wrong = 0;
    while shared.futex.load(SeqCst) == 0 {
        wrong += i64::from(std::os::unix::process::parent_id() != parent);
    }
    wrong
}

fn seccomp_strict() {
    // SAFETY: numbers only.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
    assert_eq!(done, 0, "strict seccomp");
}

/// `BPF_LD | BPF_W | BPF_ABS`: at 0 is the number of the call.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const JUMP_IF: u16 = 0x15;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;

fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn filter(program: &[libc::sock_filter]) {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: a program of that length, which the kernel copies.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
            0
        );
    }
}
