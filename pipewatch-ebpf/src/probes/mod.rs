//! One module per kind of fact.

mod calls;
mod fd;
mod process;
mod read;
mod walk;
