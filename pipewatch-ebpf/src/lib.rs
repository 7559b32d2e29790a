//! What the kernel side of pipewatch and user space agree on: the records that
//! probes and iterators emit ([`abi`]), and the kernel structure members whose
//! offsets user space looks up in the running kernel's BTF ([`offsets`]).
//!
//! The programs themselves are the binary of this package and are compiled for
//! a BPF target only; see `cargo xtask ebpf`.

#![no_std]

pub mod abi;
pub mod offsets;
