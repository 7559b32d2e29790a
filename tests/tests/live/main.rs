//! pipewatch against the real kernel and real processes; needs root and BPF.

mod attach;
mod command;
mod end;
mod expect;
mod hang;
mod healthy;
mod text;
mod trace;
