//! pipewatch: why does this read not return? See ARCHITECTURE.md.

pub mod bpf;
pub mod correlate;
pub mod decode;
pub mod engine;
pub mod event;
pub mod finding;
pub mod ids;
pub mod problem;
pub mod render;
pub mod world;
