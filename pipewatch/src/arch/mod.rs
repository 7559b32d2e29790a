//! What differs from one architecture to the next: which system calls there are,
//! how the kernel names their functions, and where it keeps their registers. One
//! object serves all, since it is told these.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("pipewatch knows x86_64 and aarch64 only");
