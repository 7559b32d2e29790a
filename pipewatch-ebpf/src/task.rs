//! Tasks: who they are, whether they are watched, which system call they are in.

use core::{mem::MaybeUninit, ptr::read_volatile};

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{
        bpf_get_current_comm, bpf_get_current_task, bpf_get_current_task_btf, bpf_task_pt_regs,
    },
};
use pipewatch_ebpf::{
    abi::{COMM_LEN, COUNTER_MAP_FULL, Record, Task},
    offsets::{
        REGS_ARG0, REGS_ARG1, REGS_ARG2, REGS_ARG3, REGS_FRAME, REGS_IP, REGS_NR, TASK_COMM,
        TASK_FILES, TASK_FLAGS, TASK_LEADER, TASK_PID, TASK_STACK, TASK_START, TASK_STATE,
        TASK_TGID, syscalls::SET_WORDS, types,
    },
};

use crate::{
    emit::{count, words_to_comm},
    kernel::{Ptr, cast, follow, load, probe},
    maps::{POLLS, READS, WATCHED, setting},
};

/// `PF_EXITING` of `include/linux/sched.h`.
pub const PF_EXITING: u32 = 0x4;
/// `PF_IO_WORKER`.
pub const PF_IO_WORKER: u32 = 0x10;
/// `PF_KTHREAD`.
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// `TASK_INTERRUPTIBLE`.
pub const INTERRUPTIBLE: u32 = 0x1;
/// `__TASK_STOPPED | __TASK_TRACED`.
pub const STOPPED: u32 = 0x4 | 0x8;

/// Whether process `tgid` is watched.
#[inline(always)]
pub fn watched(tgid: u32) -> bool {
    if setting!(WATCH_ALL) == 1 {
        return tgid != setting!(SELF_TGID);
    }
    WATCHED.get_ptr(tgid).is_some()
}

/// Whether the current process is watched.
#[inline(always)]
pub fn current_watched() -> bool {
    watched((bpf_get_current_pid_tgid() >> 32) as u32)
}

/// Adds a process to the watched ones.
#[inline(always)]
pub fn watch(tgid: u32, start: u64) {
    if setting!(WATCH_ALL) != 1 && WATCHED.insert(tgid, start, 0).is_err() {
        count(COUNTER_MAP_FULL);
    }
}

/// The current task, by type if the kernel can.
#[inline(always)]
pub fn current() -> Ptr {
    if setting!(TYPED_TASKS) == 1 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_current_task_btf() as Ptr }
    } else {
        // SAFETY: the same.
        unsafe { bpf_get_current_task() as Ptr }
    }
}

/// The same task, from which pointers are loaded. From a task that the verifier trusts, it
/// searches all types of the kernel by name for each of them, to see whether it trusts that too
/// (`btf_nested_type_is_trusted`, 6.3), which took a fifth of the start.
#[inline(always)]
pub fn distrusted(task: Ptr) -> Ptr {
    cast(task as u64, types::TASK)
}

/// Identity of a task.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
pub unsafe fn identity(task: Ptr) -> Task {
    // SAFETY: typed, and so is the group leader loaded from it.
    unsafe {
        let leader = follow(distrusted(task), TASK_LEADER);
        Task {
            tgid: load(task, TASK_TGID),
            tid: load(task, TASK_PID),
            start: load(leader, TASK_START),
        }
    }
}

/// Fills in the members of a record that tell who did it: the current task.
#[inline(always)]
pub fn by_current(record: &mut Record) {
    let task = current();
    // SAFETY: `current` is typed.
    unsafe {
        record.task = identity(task);
        record.table = load(distrusted(task), TASK_FILES);
    }
    record.comm = current_comm();
}

/// The system call that the current task, which is not the kernel's own, is in.
#[inline(always)]
pub fn current_call() -> Syscall {
    // SAFETY: `current` is typed.
    unsafe { syscall_of(current()) }
}

/// The first argument of that call alone.
#[inline(always)]
pub fn first_argument() -> u64 {
    // SAFETY: `current` is typed, and so are the registers.
    unsafe { load(registers_of(current()), REGS_ARG0) }
}

/// Fills in the members of a record that tell whom it is about: any task.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
pub unsafe fn about(record: &mut Record, task: Ptr) {
    // SAFETY: typed.
    unsafe {
        record.task = identity(task);
        record.table = load(distrusted(task), TASK_FILES);
        record.comm = comm(task);
    }
}

/// The fd table of a task, as a number, which is all that a global function takes:
/// what is loaded from a typed task is a typed pointer.
#[inline(always)]
pub fn table_of(task: Ptr) -> u64 {
    probe(task, TASK_FILES)
}

/// Name of the current task.
#[inline(always)]
fn current_comm() -> [u8; COMM_LEN] {
    let mut name = [MaybeUninit::<u64>::uninit(); 2];
    // SAFETY: the helper writes as much as it is told, zeros if it fails.
    unsafe {
        bpf_get_current_comm((&raw mut name).cast(), COMM_LEN as u32);
        words_to_comm(name.map(|word| word.assume_init()))
    }
}

/// Name of a task.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
unsafe fn comm(task: Ptr) -> [u8; COMM_LEN] {
    // SAFETY: typed, and so is what is in the midst of its name.
    unsafe { words_to_comm([load(task, TASK_COMM), load(task.add(8), TASK_COMM)]) }
}

/// `task->flags`.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
pub unsafe fn flags(task: Ptr) -> u32 {
    // SAFETY: typed.
    unsafe { load(task, TASK_FLAGS) }
}

/// `task->__state`.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
pub unsafe fn state(task: Ptr) -> u32 {
    // SAFETY: typed.
    unsafe { load(task, TASK_STATE) }
}

/// Number and first arguments of the system call a task is in.
pub struct Syscall {
    /// Number; meaningless unless the task is in a system call.
    pub nr: u64,
    /// First four arguments.
    pub args: [u64; 4],
    /// Frame pointer of the function that called.
    pub frame: u64,
}

impl Syscall {
    /// Whether it can sleep in a read of its first argument.
    #[inline(always)]
    pub fn is_read(&self) -> bool {
        is_in(&raw const READS, self.nr)
    }

    /// Whether it waits for several descriptors.
    #[inline(always)]
    pub fn is_poll(&self) -> bool {
        is_in(&raw const POLLS, self.nr)
    }
}

/// Whether `nr` is in a set, one of the static ones.
#[inline(always)]
fn is_in(set: *const [u32; SET_WORDS], nr: u64) -> bool {
    // Cut to the array before it is read and compared after that: the verifier of
    // 5.10 does not take a comparison of the number for a bound of the index.
    let (word, bit) = ((nr / 32) as usize % SET_WORDS, nr % 32);
    // SAFETY: below the array's length.
    let bits = unsafe { read_volatile(set.cast::<u32>().add(word)) };
    (bits >> bit) & 1 == 1 && nr < 32 * SET_WORDS as u64
}

/// The system call a task is in, from the registers saved at kernel entry.
///
/// A task that entered by an exception or interrupt has an error code or a
/// negative number where a system call has its number: user faults carry bit 2 on
/// x86_64 (`orig_ax`), so none looks like `read` (0); aarch64 (`syscallno`, of 32
/// bits) puts -1 there (`kernel_entry`). A worker that the kernel made for
/// a process (io_uring, vhost) never was in user space: all its registers are
/// zero (`copy_thread`), which must not look like a `read` of descriptor 0.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`, and not be a
/// kernel thread.
#[inline(always)]
pub unsafe fn syscall_of(task: Ptr) -> Syscall {
    // SAFETY: typed, and so are the registers the helper returns.
    unsafe {
        let regs = registers_of(task);
        let in_user_space = load::<u64>(regs, REGS_IP) != 0;
        Syscall {
            nr: if in_user_space {
                u64::from(load::<u32>(regs, REGS_NR))
            } else {
                u64::MAX
            },
            args: [
                load(regs, REGS_ARG0),
                load(regs, REGS_ARG1),
                load(regs, REGS_ARG2),
                load(regs, REGS_ARG3),
            ],
            frame: load(regs, REGS_FRAME),
        }
    }
}

/// What the kernel saved of a task's registers when it entered the kernel.
///
/// # Safety
///
/// `task` must be known to the verifier as a `task_struct`.
#[inline(always)]
unsafe fn registers_of(task: Ptr) -> Ptr {
    if setting!(TYPED_TASKS) == 1 {
        // SAFETY: typed.
        unsafe { bpf_task_pt_regs(task as *mut _) as Ptr }
    } else {
        (probe::<u64>(task, TASK_STACK) + u64::from(setting!(STACK_REGS))) as Ptr
    }
}
