//! pipewatch: why does this read not return? See ARCHITECTURE.md.

pub mod bpf;
pub mod cli;
pub mod clock;
pub mod correlate;
pub mod debug_log;
pub mod decode;
pub mod demo;
pub mod doctor;
pub mod driver;
pub mod engine;
pub mod event;
pub mod finding;
pub mod host;
pub mod ids;
pub mod input;
pub mod output;
pub mod problem;
pub mod procfs;
pub mod render;
pub mod replay;
pub mod rules;
pub mod signals;
pub mod source;
pub mod target;
pub mod trace_file;
pub mod world;
