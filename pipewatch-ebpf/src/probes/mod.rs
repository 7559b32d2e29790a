//! One module per kind of fact.

mod calls;
mod fd;
mod process;
mod read;
mod walk;

pub use read::is_read;
