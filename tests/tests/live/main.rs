//! pipewatch against the real kernel and real processes; needs root and BPF.

mod attach;
mod command;
mod doctor;
mod end;
mod expect;
mod hang;
mod healthy;
mod hostile;
mod page;
mod procfs;
mod release;
mod remains;
mod text;
mod trace;
