//! What glibc's allocator keeps of memory that is free. Lists of everything on the host
//! are large for a moment, and so is the kernel's type information.

/// Lets what takes more than a megabyte go back to the host as soon as it is free, which
/// the allocator otherwise unlearns (mallopt(3): `M_MMAP_THRESHOLD` grows unless it is
/// set). Not less: who looks up names of code takes and frees some hundred kilobytes again
/// and again, and 200 hangs at once were told 150 ms later. To be called before there are
/// other threads.
pub fn return_what_is_large() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, while there is no other thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

/// Gives back to the host what is free now: little of it will be needed again.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases only memory that is free, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
