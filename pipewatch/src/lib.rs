//! pipewatch: why does this read not return? See ARCHITECTURE.md.

pub mod bpf;
pub mod cli;
pub mod clock;
pub mod correlate;
pub mod decode;
pub mod demo;
pub mod doctor;
pub mod driver;
pub mod engine;
pub mod event;
pub mod finding;
pub mod ids;
pub mod output;
pub mod problem;
pub mod procfs;
pub mod render;
pub mod signals;
pub mod target;
pub mod world;
