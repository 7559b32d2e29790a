//! x86_64: the registers of a system call, as ptrace shows them.

use nix::{sys::ptrace, unistd::Pid};

use super::{Before, Registers, is_interruption};

/// Calls that a stop of their thread ends with EINTR though no signal came, and that
/// have done nothing then.
const ENDED_BY_A_STOP: &[libc::c_long] = &[
    libc::SYS_epoll_wait,
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

/// `syscall`, the first two bytes of a word of text. `int $0x80` has numbers of its own.
const SYSCALL: u16 = 0x050f;

/// Where the instruction stands that made the call which the thread is in.
pub(super) fn call_site(registers: &Registers) -> u64 {
    registers.rip.wrapping_sub(2)
}

/// Whether text at the call site is the instruction for system calls of 64 bit.
pub(super) fn is_call(text: libc::c_long) -> bool {
    text as u16 == SYSCALL
}

/// Makes another call of the one that the thread is about to enter.
pub(super) fn swap(
    thread: Pid,
    entered: &Registers,
    number: libc::c_long,
    [first, second, third]: [u64; 3],
) -> nix::Result<()> {
    let swapped = Registers {
        orig_rax: number.cast_unsigned(),
        rdi: first,
        rsi: second,
        rdx: third,
        ..*entered
    };
    ptrace::setregs(thread, swapped)
}

/// What the call returned that the thread is about to leave.
pub(super) fn returned(registers: &Registers) -> i64 {
    registers.rax.cast_signed()
}

/// Lets the thread make the call that it had entered with these registers, as though
/// it had not yet. `-1` for a number: the kernel has nothing to restart.
pub(super) fn rewind(thread: Pid, entered: &Registers) -> nix::Result<()> {
    ptrace::setregs(thread, before_call(entered))
}

fn before_call(entered: &Registers) -> Registers {
    Registers {
        rip: call_site(entered),
        rax: entered.orig_rax,
        orig_rax: u64::MAX,
        ..*entered
    }
}

/// Whether a system call is what a thread does next that a stop has got out of one:
/// the codes by which the kernel knows that it is to restart it.
pub(super) fn calls_next(_: Pid, stopped: &Registers) -> bool {
    stopped.orig_rax.cast_signed() >= 0 && is_restart(stopped.rax.cast_signed())
}

/// `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND` and `ERESTART_RESTARTBLOCK`
/// (include/linux/errno.h).
fn is_restart(returned: i64) -> bool {
    matches!(returned, -512 | -513 | -514 | -516)
}

/// The registers with which a call begins anew that the stop has ended.
pub(super) fn anew(stopped: &Registers, _: Option<&Before>) -> Option<Registers> {
    let number = stopped.orig_rax.cast_signed();
    let ended = is_interruption(stopped.rax.cast_signed()) && ENDED_BY_A_STOP.contains(&number);
    ended.then(|| before_call(stopped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(number: i64, returned: i64) -> Registers {
        // SAFETY: numbers only, for which zero is a value.
        let zero: Registers = unsafe { std::mem::zeroed() };
        Registers {
            rip: 0x1002,
            rax: returned.cast_unsigned(),
            orig_rax: number.cast_unsigned(),
            ..zero
        }
    }

    #[test]
    fn a_call_begins_anew_only_if_a_stop_can_have_ended_it() {
        let interrupted = -i64::from(libc::EINTR);
        let anew = |number, returned| {
            let registers = anew(&stopped(number, returned), None)?;
            Some((registers.rip, registers.rax, registers.orig_rax))
        };
        let number = libc::SYS_epoll_wait.cast_unsigned();
        assert_eq!(
            anew(libc::SYS_epoll_wait, interrupted),
            Some((0x1000, number, u64::MAX))
        );
        assert_eq!(anew(libc::SYS_epoll_wait, 1), None);
        // A descriptor is closed whatever close returns.
        assert_eq!(anew(libc::SYS_close, interrupted), None);
        assert_eq!(anew(-1, interrupted), None);
    }

    #[test]
    fn a_thread_outside_of_a_call_does_not_call_next() {
        let next = |number, returned| calls_next(Pid::from_raw(1), &stopped(number, returned));
        assert!(next(libc::SYS_read, -512) && next(libc::SYS_nanosleep, -516));
        assert!(!next(libc::SYS_read, 5) && !next(-1, -512));
    }

    #[test]
    fn the_instruction_is_known_in_its_word() {
        let word = |bytes: [u8; 8]| i64::from_le_bytes(bytes);
        assert!(is_call(word([0x0f, 0x05, 0x48, 0x3d, 1, 2, 3, 4])));
        assert!(!is_call(word([0xcd, 0x80, 0x48, 0x3d, 1, 2, 3, 4])));
    }
}
