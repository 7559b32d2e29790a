//! System calls, by three kinds of probe each: a tracepoint, which every kernel
//! has, but with any of which every call of the host takes a longer way; a probe
//! at the call's own function, by the function's type (fentry, fexit) or by a
//! breakpoint (kprobe, kretprobe), which cost other calls nothing. All do the
//! same (`fd`). User space attaches one of the three.

use aya_ebpf::{
    EbpfContext,
    macros::{fentry, fexit, kprobe, kretprobe, tracepoint},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext, TracePointContext},
};

use pipewatch_ebpf::offsets::REGS_ARG0;

use super::fd;
use crate::{kernel::load, maps::setting, task::first_argument};

/// What a probe at the beginning of a call is given.
pub trait Called: EbpfContext {
    /// The first argument of the call.
    #[inline(always)]
    fn first_argument(&self) -> u64 {
        first_argument()
    }
}

impl Called for TracePointContext {}

impl Called for ProbeContext {}

impl Called for FEntryContext {
    #[inline(always)]
    fn first_argument(&self) -> u64 {
        // SAFETY: the one argument is `struct pt_regs *`, typed.
        unsafe { load(self.arg(0), REGS_ARG0) }
    }
}

/// What a call returned, as a probe at its return is told.
trait Returned: EbpfContext {
    fn returned(&self) -> i64;
}

impl Returned for TracePointContext {
    #[inline(always)]
    fn returned(&self) -> i64 {
        // SAFETY: syscall_trace_exit is { u64 common, i32 nr, i64 ret }; the
        // verifier checks the bounds.
        unsafe { core::ptr::read_volatile(self.as_ptr().cast::<u8>().add(16).cast()) }
    }
}

impl Returned for FExitContext {
    #[inline(always)]
    fn returned(&self) -> i64 {
        // The one argument, `struct pt_regs *`, comes first.
        self.arg(1)
    }
}

impl Returned for RetProbeContext {
    #[inline(always)]
    fn returned(&self) -> i64 {
        let registers = self.as_ptr().cast::<i64>();
        // Two loads, since the verifier takes no offset into the context but a
        // literal.
        // SAFETY: x0 of aarch64 and ax of x86_64; `pt_regs` of both is longer, and
        // the verifier checks the bounds.
        let (first, ax) = unsafe {
            (
                core::ptr::read_volatile(registers),
                core::ptr::read_volatile(registers.add(10)),
            )
        };
        if setting!(RETURNS_IN_FIRST) == 1 {
            first
        } else {
            ax
        }
    }
}

/// Probes at the beginning of a call.
macro_rules! enter {
    ($handler:path: $call:literal, $tracepoint:ident, $fentry:ident, $kprobe:ident) => {
        #[doc = concat!("Entry of ", $call, ".")]
        #[tracepoint(category = "syscalls", name = $call)]
        pub fn $tracepoint(ctx: TracePointContext) -> u32 {
            $handler(&ctx);
            0
        }

        #[doc = concat!("Entry of ", $call, ".")]
        #[fentry]
        pub fn $fentry(ctx: FEntryContext) -> i32 {
            $handler(&ctx);
            0
        }

        #[doc = concat!("Entry of ", $call, ".")]
        #[kprobe]
        pub fn $kprobe(ctx: ProbeContext) -> u32 {
            $handler(&ctx);
            0
        }
    };
}

/// Probes at the return of a call.
macro_rules! exit {
    ($handler:expr; $call:literal, $tracepoint:ident, $fexit:ident, $kretprobe:ident) => {
        #[doc = concat!("Return of ", $call, ".")]
        #[tracepoint(category = "syscalls", name = $call)]
        pub fn $tracepoint(ctx: TracePointContext) -> u32 {
            handle(&ctx, $handler);
            0
        }

        #[doc = concat!("Return of ", $call, ".")]
        #[fexit]
        pub fn $fexit(ctx: FExitContext) -> i32 {
            handle(&ctx, $handler);
            0
        }

        #[doc = concat!("Return of ", $call, ".")]
        #[kretprobe]
        pub fn $kretprobe(ctx: RetProbeContext) -> u32 {
            handle(&ctx, $handler);
            0
        }
    };
}

#[inline(always)]
fn handle<C: Returned>(ctx: &C, handler: impl Fn(&C, i64)) {
    handler(ctx, ctx.returned());
}

exit!(fd::made_pipe; "pipe", exit_pipe, fexit_pipe, kretprobe_pipe);
exit!(fd::made_pipe; "pipe2", exit_pipe2, fexit_pipe2, kretprobe_pipe2);
exit!(fd::made_socketpair; "socketpair", exit_socketpair, fexit_socketpair, kretprobe_socketpair);
enter!(fd::closes: "close", enter_close, fentry_close, kprobe_close);
enter!(fd::replaces: "dup2", enter_dup2, fentry_dup2, kprobe_dup2);
enter!(fd::replaces: "dup3", enter_dup3, fentry_dup3, kprobe_dup3);
exit!(fd::duplicated; "dup", exit_dup, fexit_dup, kretprobe_dup);
exit!(fd::duplicated; "dup2", exit_dup2, fexit_dup2, kretprobe_dup2);
exit!(fd::duplicated; "dup3", exit_dup3, fexit_dup3, kretprobe_dup3);
exit!(fd::controlled; "fcntl", exit_fcntl, fexit_fcntl, kretprobe_fcntl);
exit!(fd::closed_range; "close_range",
    exit_close_range, fexit_close_range, kretprobe_close_range);
exit!(fd::unshared; "unshare", exit_unshare, fexit_unshare, kretprobe_unshare);
