//! Frames of Python code, by a walk through the interpreter's structures in the
//! memory of the current process. The interpreter keeps them in order at any
//! system call, since it leaves its lock, if at all, with its frames in place.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_probe_read_user},
};
use pipewatch_ebpf::{
    abi::{DIRECT, FRAMES, Layout, MEMORY_WORDS, Python, PythonStack, mark},
    offsets::{ABSENT, DENTRY_NAME, FILE_DENTRY, MM_CODE, MM_STACK, TASK_MM, TASK_TLS},
};
use zerocopy::FromBytes;

use crate::{
    emit::{send_frames, stack},
    kernel::{Ptr, follow, load, offset, probe, probe_at},
    maps::{PYTHONS, THREADS, setting},
    task::{current, distrusted},
};

/// Threads of a process that are looked through for the current one.
const MAX_THREADS: u32 = 512;
/// What `pthread_self` returns is where the thread pointer points to, or on arm64
/// less than this before it (`struct pthread` of glibc and musl); the next thread's
/// is as far away as its stack is large.
const THREAD_SIZE: u64 = 4096;

/// Reads the current process's memory; what is unreadable yields zero.
#[inline(always)]
fn user<T: FromBytes>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and fills all of `value`, with zeros
    // if it fails (5.5 and later, `bpf_probe_read_user_common`), of which any
    // `FromBytes` can consist.
    unsafe {
        let into = value.as_mut_ptr().cast::<c_void>();
        bpf_probe_read_user(into, size_of::<T>() as u32, address as *const c_void);
        value.assume_init()
    }
}

/// Tells where the current thread is: frames of Python, as those of the record with
/// this `time`, if its process is a CPython that user space knows; otherwise the id
/// that is returned, of its native stack, or a negative number. An interpreter's native
/// stack tells little beside, and costs as much.
#[inline(always)]
pub fn place<C: EbpfContext>(ctx: &C, time: u64) -> i32 {
    if setting!(WITH_STACKS) == 1 && offset(TASK_TLS) != ABSENT as usize && python_frames(time) != 0
    {
        return -1;
    }
    stack(ctx)
}

/// Whether the name of a program's file begins as those of CPython do.
#[inline(always)]
pub fn is_python(file: Ptr) -> bool {
    const NAME: u64 = u64::from_le_bytes(*b"python\0\0");
    let dentry: u64 = probe(file, FILE_DENTRY);
    let name: u64 = probe(dentry as Ptr, DENTRY_NAME);
    let beginning: u64 = probe_at(name as *const u64);
    // Little-endian, as this target is.
    beginning << 16 == NAME << 16
}

/// Where the program of the current process lies.
#[inline(always)]
fn layout() -> Layout {
    // SAFETY: `current` is typed, and so is what is loaded from it.
    unsafe {
        let mm = follow(distrusted(current()), TASK_MM);
        Layout {
            code: load(mm, MM_CODE),
            stack: load(mm, MM_STACK),
        }
    }
}

/// Tells the current thread's frames; zero if it is not known to have any. A global
/// function, which the verifier looks at once: for the reason that `probes::walk` tells.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn python_frames(time: u64) -> u32 {
    let Some(python) = PYTHONS.get_ptr(layout()) else {
        return 0;
    };
    // SAFETY: a value of the map, which is preallocated: never unmapped. If another takes
    // its place meanwhile, what is found has no mark that fits.
    let python: Python = unsafe { *python };
    let Some(thread) = thread(&python) else {
        return 0;
    };
    let mut frame: u64 = user(thread + u64::from(python.frame));
    if python.inner != DIRECT {
        frame = user(frame + u64::from(python.inner));
    }
    let mut count = 0;
    // What has been read of it, from where on, and how far from there frames begin.
    let (mut start, mut reach) = (0, 0);
    send_frames(|stack: &mut PythonStack| {
        stack.time = time;
        stack.tid = u64::from(bpf_get_current_pid_tgid() as u32);
        let mut i = 0;
        while i < FRAMES {
            stack.frames[i].code = 0;
            // To read nothing would cost a page fault.
            if frame == 0 {
                break;
            }
            if frame.wrapping_sub(start) > reach {
                // As much as may be of use, since it is the calls that cost, but nothing
                // of the page before, which may not be there.
                reach = frame & u64::from(python.before);
                start = frame - reach;
                read(&mut stack.memory, start, reach + u64::from(python.span));
            }
            let at = frame.wrapping_sub(start);
            let word = |offset: u16| word(&stack.memory, at + u64::from(offset));
            let code = word(python.code);
            if code == 0 {
                break;
            }
            stack.frames[i].code = code;
            let names = user(code + u64::from(python.names));
            stack.frames[i].mark = mark(names, python.fourth);
            stack.frames[i].place = word(python.place);
            frame = word(python.back);
            i += 1;
        }
        count = i as u32;
    });
    count
}

/// Reads so many bytes of the process's memory; what is unreadable yields zero.
#[inline(always)]
fn read(into: &mut [u64; MEMORY_WORDS], from: u64, size: u64) {
    let size = size as u32 & (size_of_val(into) as u32 - 1);
    // SAFETY: fewer bytes than `into` has; see `user`.
    unsafe {
        let into = into.as_mut_ptr().cast::<c_void>();
        bpf_probe_read_user(into, size, from as *const c_void);
    }
}

/// The word at an offset into what was read.
#[inline(always)]
fn word(memory: &[u64; MEMORY_WORDS], offset: u64) -> u64 {
    // SAFETY: initialized, aligned, and within the array, as the verifier sees too.
    unsafe {
        let word = memory.as_ptr().add((offset / 8) as usize % MEMORY_WORDS);
        word.read_volatile()
    }
}

/// The current thread's `PyThreadState`, of the first interpreter of its process.
/// Others may change the list meanwhile, which at worst costs the stack.
#[inline(always)]
fn thread(python: &Python) -> Option<u64> {
    let own: u64 = probe(current(), TASK_TLS);
    let is_own = |thread: u64| {
        let id: u64 = user(thread + u64::from(python.thread_id));
        own.wrapping_sub(id) < THREAD_SIZE
    };
    let tid = bpf_get_current_pid_tgid() as u32;
    if let Some(known) = THREADS.get_ptr(tid) {
        // SAFETY: a value of the map, which is preallocated: never unmapped.
        let thread = unsafe { *known };
        if is_own(thread) {
            return Some(thread);
        }
    }
    let interpreter: u64 = user(python.interpreters);
    if interpreter == 0 {
        return None;
    }
    let mut thread: u64 = user(interpreter + u64::from(python.threads));
    let mut seen = 0;
    while seen < MAX_THREADS && thread != 0 {
        if is_own(thread) {
            let _ = THREADS.insert(tid, thread, 0);
            return Some(thread);
        }
        thread = user(thread + u64::from(python.next));
        seen += 1;
    }
    None
}
