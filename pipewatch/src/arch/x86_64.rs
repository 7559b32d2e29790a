//! x86_64.

use pipewatch_ebpf::offsets::REGISTERS as COUNT;

/// How the names of the functions of system calls begin: `SYSCALL_DEFINEx` of
/// `arch/x86/include/asm/syscall_wrapper.h`.
pub const FUNCTION: &str = "__x64_sys_";

/// The registers of a system call as members of `pt_regs`: instruction, frame,
/// number, first four arguments.
pub const REGISTERS: [&str; COUNT] = ["ip", "bp", "orig_ax", "di", "si", "dx", "r10"];

/// Whether a function returns its value in the first register of `pt_regs`; it
/// is `ax` here.
pub const RETURNS_IN_FIRST: bool = false;

/// The calls that poll.
pub const POLL: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_ppoll];
/// The calls that select.
pub const SELECT: &[libc::c_long] = &[libc::SYS_select, libc::SYS_pselect6];
/// The calls that wait for an epoll instance.
pub const EPOLL: &[libc::c_long] = &[
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];
