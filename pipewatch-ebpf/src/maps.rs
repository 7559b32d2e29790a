//! The maps shared with user space, and the read-only settings it fills in
//! before loading.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, bpf_map_def, bpf_map_type::BPF_MAP_TYPE_STACK_TRACE},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use pipewatch_ebpf::{
    abi::{Armed, COUNTERS as COUNTER_COUNT, Layout, MAX_ASKED, Python, Record},
    offsets::{COUNT, syscalls, types},
};

/// Records for user space. The loader sets the size.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 22, 0);

/// What happened to records, by `abi::COUNTER_*`.
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_COUNT, 0);

/// Process ids that are watched. The kernel side adds children at fork and
/// removes processes at exit.
#[map]
pub static WATCHED: HashMap<u32, u64> = HashMap::with_max_entries(32_768, 0);

/// The latest sleep in a read of each watched thread, by thread id.
#[map]
pub static SLEEPS: HashMap<u32, Record> = HashMap::with_max_entries(16_384, 0);

/// Readers whose wake-up user space waits for, by thread id.
#[map]
pub static ARMED: HashMap<u32, Armed> = HashMap::with_max_entries(4_096, 0);

/// CPython processes whose frames are told, by what a forked child has in common with
/// its parent, and loses when it executes something else.
#[map]
pub static PYTHONS: LruHashMap<Layout, Python> = LruHashMap::with_max_entries(4_096, 0);

/// Where the `PyThreadState` of a thread was, by thread id: it stays there as long as
/// the thread lives, and a process may have many.
#[map]
pub static THREADS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(4_096, 0);

/// Addresses of the channels, and of the fd tables, that user space asks for the ends of.
#[map]
pub static ASKED: HashMap<u64, u8> = HashMap::with_max_entries(MAX_ASKED, BPF_F_NO_PREALLOC);

/// A row that is written next.
#[map]
pub static ROW: Array<Record> = Array::with_max_entries(1, 0);

/// User stacks by id. Ids are never reused while loaded: a collision costs the
/// newer stack (a negative id) and never shows a wrong one. Defined by hand, as aya's type
/// has room for 127 frames in each, and so takes twice the memory; and mutable, as that puts it
/// into the same section as the others.
#[map]
pub static mut STACKS: bpf_map_def = bpf_map_def {
    type_: BPF_MAP_TYPE_STACK_TRACE,
    key_size: size_of::<u32>() as u32,
    value_size: size_of::<[u64; NATIVE_FRAMES]>() as u32,
    max_entries: 4_096,
    map_flags: 0,
    id: 0,
    pinning: 0,
};

/// How many frames of a user stack are kept, the innermost ones.
const NATIVE_FRAMES: usize = 64;

/// How far the buffer had been written when user space was last woken since much was
/// unread.
pub static mut WOKEN_AT: u64 = 0;

/// A start value that no other constant has: LLVM merges constants with equal
/// bytes, and an overridden static that was merged with, say, a map key of 0
/// would change the key.
const fn unique<const N: usize>(tag: u32) -> [u32; N] {
    let mut values = [0; N];
    let mut i = 0;
    while i < N {
        values[i] = tag + i as u32;
        i += 1;
    }
    values
}

/// Offsets of `offsets::FIELDS`.
#[unsafe(no_mangle)]
pub static OFFSETS: [u32; COUNT] = unique(0xdead_0000);

/// The kernel's numbers of `offsets::types`; all zero if it takes no casts.
#[unsafe(no_mangle)]
pub static TYPES: [u32; types::NAMES.len()] = unique(0xdead_5000);

/// The set of calls that sleep in a read of their first argument.
#[unsafe(no_mangle)]
pub static READS: [u32; syscalls::SET_WORDS] = unique(0xdead_3000);

/// The set of calls that wait for several descriptors.
#[unsafe(no_mangle)]
pub static POLLS: [u32; syscalls::SET_WORDS] = unique(0xdead_4000);

/// Numbers of `offsets::syscalls`.
#[unsafe(no_mangle)]
pub static SYSCALLS: [u32; syscalls::COUNT] = unique(0xdead_1000);

/// 1: every process is watched, [`WATCHED`] is not used.
#[unsafe(no_mangle)]
pub static WATCH_ALL: u32 = 0xdead_2000;

/// pipewatch's own process id, which is never reported.
#[unsafe(no_mangle)]
pub static SELF_TGID: u32 = 0xdead_2001;

/// 1: user stacks are recorded.
#[unsafe(no_mangle)]
pub static WITH_STACKS: u32 = 0xdead_2002;

/// 1: programs log what they do, for whoever debugs pipewatch itself.
#[unsafe(no_mangle)]
pub static VERBOSE: u32 = 0xdead_2003;

/// 1: a function returns its value in the first register of `pt_regs` (aarch64).
#[unsafe(no_mangle)]
pub static RETURNS_IN_FIRST: u32 = 0xdead_2005;

/// From this many unread bytes on user space is woken.
#[unsafe(no_mangle)]
pub static WAKE_BYTES: u32 = 0xdead_2004;

/// 1: the kernel has `bpf_get_current_task_btf` (5.11) and `bpf_task_pt_regs`
/// (5.15).
#[unsafe(no_mangle)]
pub static TYPED_TASKS: u32 = 0xdead_2005;

/// Where the registers of a task in a system call lie, from the beginning of its
/// stack, if not [`TYPED_TASKS`].
#[unsafe(no_mangle)]
pub static STACK_REGS: u32 = 0xdead_2006;

/// Zero, which only user space and the verifier know.
#[unsafe(no_mangle)]
pub static ZERO: u64 = 0xdead_2007;

/// Reads a setting.
///
/// The loader changes its bytes, so the compiler must not fold it.
macro_rules! setting {
    ($name:ident) => {
        // SAFETY: a static of this program, always readable.
        unsafe { core::ptr::read_volatile(&raw const $crate::maps::$name) }
    };
}
pub(crate) use setting;
