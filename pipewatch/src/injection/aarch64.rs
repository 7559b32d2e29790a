//! aarch64: the registers of a system call, as ptrace shows them.

use nix::{errno::Errno, sys::ptrace, unistd::Pid};

use super::{Before, Registers, is_interruption, text_at};

/// Calls that a stop of their thread ends with EINTR though no signal came, and that
/// have done nothing then.
const ENDED_BY_A_STOP: &[libc::c_long] = &[
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_io_uring_enter,
    // With a limit of time of the socket (`sock_intr_errno`, include/net/sock.h).
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_accept,
    libc::SYS_accept4,
];

/// `svc #0`, the first half of a word of text.
const SVC: u32 = 0xd400_0001;

/// `NT_ARM_SYSTEM_CALL` (include/uapi/linux/elf.h): the number of the call, which is in
/// no register once it has been entered.
const NT_ARM_SYSTEM_CALL: usize = 0x404;
/// `NO_SYSCALL` (arch/arm64/include/asm/ptrace.h).
const NO_CALL: libc::c_int = -1;

/// Where the instruction stands that made the call which the thread is in.
pub(super) fn call_site(registers: &Registers) -> u64 {
    registers.pc.wrapping_sub(4)
}

/// Whether text at the call site is the instruction for system calls.
pub(super) fn is_call(text: libc::c_long) -> bool {
    text as u32 == SVC
}

/// Makes another call of the one that the thread is about to enter.
pub(super) fn swap(
    thread: Pid,
    entered: &Registers,
    number: libc::c_long,
    arguments: [u64; 3],
) -> nix::Result<()> {
    // Either alone would be a call that nobody meant.
    let number = libc::c_int::try_from(number).map_err(|_| Errno::ENOSYS)?;
    set_number(thread, NO_CALL)?;
    let mut swapped = *entered;
    swapped.regs[..3].copy_from_slice(&arguments);
    ptrace::setregs(thread, swapped)?;
    set_number(thread, number)
}

/// What the call returned that the thread is about to leave.
pub(super) fn returned(registers: &Registers) -> i64 {
    registers.regs[0].cast_signed()
}

/// Lets the thread make the call that it had entered with these registers, as though
/// it had not yet. Without a number the kernel has nothing to restart.
pub(super) fn rewind(thread: Pid, entered: &Registers) -> nix::Result<()> {
    let registers = Registers {
        pc: call_site(entered),
        ..*entered
    };
    ptrace::setregs(thread, registers)?;
    set_number(thread, NO_CALL)
}

/// Whether a system call is what a thread does next that a stop has got out of one:
/// `do_signal` (arch/arm64/kernel/signal.c) goes back to the instruction before it
/// stops.
pub(super) fn calls_next(thread: Pid, stopped: &Registers) -> bool {
    text_at(thread, stopped.pc).is_ok_and(is_call)
}

/// The registers with which a call begins anew that the stop has ended. Its first
/// argument has been overwritten by what it returned.
pub(super) fn anew(stopped: &Registers, before: Option<&Before>) -> Option<Registers> {
    let before = before?;
    let ended = is_interruption(stopped.regs[0].cast_signed())
        && ENDED_BY_A_STOP.contains(&before.number)
        && stopped.regs[8] == before.number.cast_unsigned()
        && (stopped.sp, stopped.pc) == (before.stack, before.instruction);
    ended.then(|| {
        let mut registers = *stopped;
        registers.pc = call_site(stopped);
        registers.regs[0] = before.argument;
        registers
    })
}

fn set_number(thread: Pid, mut number: libc::c_int) -> nix::Result<()> {
    let number = libc::iovec {
        iov_base: (&raw mut number).cast(),
        iov_len: size_of_val(&number),
    };
    // SAFETY: the kernel reads as many bytes as `number` tells, from a variable that
    // outlives the call.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_SETREGSET,
            thread.as_raw(),
            NT_ARM_SYSTEM_CALL,
            &raw const number,
        )
    };
    Errno::result(done).map(drop)
}
