//! aarch64.

use pipewatch_ebpf::offsets::REGISTERS as COUNT;

/// How the names of the functions of system calls begin: `SYSCALL_DEFINEx` of
/// `arch/arm64/include/asm/syscall_wrapper.h`.
pub const FUNCTION: &str = "__arm64_sys_";

/// The registers of a system call as members of `pt_regs`: instruction, frame,
/// number, first four arguments. What is returned overwrites `regs[0]`, so `el0_svc_common`
/// has saved the first argument.
pub const REGISTERS: [&str; COUNT] = [
    "pc",
    "regs[29]",
    "syscallno",
    "orig_x0",
    "regs[1]",
    "regs[2]",
    "regs[3]",
];

/// Whether a function returns its value in the first register of `pt_regs`.
pub const RETURNS_IN_FIRST: bool = true;

/// The calls that poll.
pub const POLL: &[libc::c_long] = &[libc::SYS_ppoll];
/// The calls that select.
pub const SELECT: &[libc::c_long] = &[libc::SYS_pselect6];
/// The calls that wait for an epoll instance.
pub const EPOLL: &[libc::c_long] = &[libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
