//! The eBPF programs of pipewatch. They report facts and never judge: who made
//! a pipe, which ends a fork or exec handed on, what became of a descriptor,
//! which read went to sleep, and, asked through iterators, who holds what now.

#![no_std]
#![no_main]

mod asked;
mod emit;
mod file;
mod iter;
mod kernel;
mod maps;
mod probes;
mod python;
mod rows;
mod table;
mod task;

// bpf_probe_read_kernel and the iterator helpers are for GPL-compatible
// programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the verifier refuses a program with a reachable panic, so this
    // is never executed.
    unsafe { core::hint::unreachable_unchecked() }
}
