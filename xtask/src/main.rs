//! The chores of this repository, as `cargo xtask COMMAND`.

mod accuracy;
mod bench;
mod ci;
mod dist;
mod ebpf;
mod exec;
mod frame;
mod fuzz;
mod packages;
mod release;
mod run;
mod soak;
mod strip;
mod test;
mod tidy;
mod toolchain;
mod traces;
mod vm;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// The chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build pipewatch and run it, through sudo unless root; without arguments, run its demo
    Run {
        /// What pipewatch is given, as in `cargo xtask run -- --pid 4711`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run all tests; without the privilege to use BPF, all but the live ones, and say so
    Test {
        /// What `cargo test --workspace` is given besides
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Enact every shape of a hang and every healthy wait, as root, and write into docs/accuracy.md
    /// what pipewatch said of each
    Accuracy,
    /// Enact every shape, or those named, and record the traces in tests/traces
    Traces {
        /// Names of shapes, as `scenario list` prints them
        names: Vec<String>,
    },
    /// Rebuild the committed eBPF object from source, setting up the tool chain this takes
    Ebpf {
        /// Build nothing: only check that sources, object and hash belong together
        #[arg(long, conflicts_with = "verify")]
        check: bool,
        /// Write nothing: build, and compare with the committed object byte by byte
        #[arg(long)]
        verify: bool,
    },
    /// Measure what pipewatch costs, all of it or what is named, as root, and write the tables into
    /// docs/performance.md
    Bench {
        /// Some of it
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(bench::NAMES))]
        names: Vec<String>,
    },
    /// Enact every shape while events are lost, let a mixed load run under one pipewatch, as root,
    /// and write the tables into docs/reliability.md
    Soak {
        /// How long the load runs
        #[arg(long, default_value_t = 60)]
        minutes: u32,
    },
    /// Run the live tests in virtual machines, kernel by kernel and backend by backend; all of them
    /// renew docs/kernels.md
    Vm(vm::Options),
    /// Give whatever reads bytes that others may have made up what a fuzzer makes up
    Fuzz(fuzz::Options),
    /// Make what others install, in target/dist: static programs, Debian packages, the source
    Dist(dist::Options),
    /// Check which module uses which, and the house rules that no lint knows
    Tidy,
    /// Everything a change must pass
    Ci,
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Run { args } => run::run(&workspace, args),
        Command::Test { args } => test::run(&workspace, &args),
        Command::Accuracy => accuracy::run(&workspace),
        Command::Traces { names } => traces::run(&workspace, &names),
        Command::Ebpf { check: true, .. } => ebpf::check(&workspace),
        Command::Ebpf { verify: true, .. } => ebpf::verify(&workspace),
        Command::Ebpf { .. } => ebpf::rebuild(&workspace),
        Command::Bench { names } => bench::run(&workspace, &names),
        Command::Soak { minutes } => soak::run(&workspace, minutes),
        Command::Vm(options) => vm::run(&workspace, &options),
        Command::Fuzz(options) => fuzz::run(&workspace, &options),
        Command::Dist(options) => dist::run(&workspace, &options),
        Command::Tidy => tidy::run(&workspace),
        Command::Ci => ci::run(&workspace),
    }
}
