//! Events that no program saw, because the kernel did not run it: it runs none by
//! kprobe or tracepoint on a CPU that is in the midst of another one or of a change
//! to a map (`trace_call_bpf`), and no other program twice at the same time
//! (`__bpf_prog_enter_recur`, `__bpf_trace_run`). Kernels that can be preempted
//! there, as Debian's from 6.18 on, do so now and then, and count it.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::{Ebpf, programs::Program};
use aya_obj::generated::{bpf_cmd, bpf_prog_info};

/// What these two do not report is seen by looking.
const LOOKED_AT: [&str; 2] = ["switch", "waking"];

/// The programs that must not be skipped.
pub(super) struct Skipped {
    programs: Vec<OwnedFd>,
}

/// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    program: u32,
    size: u32,
    info: u64,
}

impl Skipped {
    /// Those that are loaded.
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        let is_asked = |program: &Program| !matches!(program, Program::Iter(_));
        let programs = ebpf
            .programs()
            .filter(|(name, program)| !LOOKED_AT.contains(name) && is_asked(program))
            .filter_map(|(_, program)| {
                let fd = program.fd().ok()?;
                fd.as_fd().try_clone_to_owned().ok()
            });
        Self {
            programs: programs.collect(),
        }
    }

    /// How many events they missed so far; 0 where the kernel does not count them
    /// (before 5.12; those of kprobes and tracepoints, before 6.7).
    pub(super) fn count(&self) -> u64 {
        self.programs.iter().map(misses).sum()
    }
}

fn misses(program: &OwnedFd) -> u64 {
    // SAFETY: a structure of numbers.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let request = GetInfo {
        program: program.as_raw_fd().cast_unsigned(),
        size: size_of::<bpf_prog_info>() as u32,
        info: (&raw mut info).addr() as u64,
    };
    // SAFETY: the kernel reads `request`, whose size it is told, and writes no more
    // to `info` than the size in there.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_OBJ_GET_INFO_BY_FD,
            &raw const request,
            size_of::<GetInfo>(),
        )
    };
    if result == 0 {
        info.recursion_misses
    } else {
        0
    }
}
