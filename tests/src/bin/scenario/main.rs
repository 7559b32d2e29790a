//! `scenario NAME` enacts one situation with real system calls and prints, one
//! JSON object per line, what happens and when: `ready` first, then, after a
//! line on standard input, the shape itself. `scenario list` tells all shapes
//! of the tests, `scenario enact SHAPE` enacts one of them.

mod churn;
mod exec_status;
mod fact;
mod factory;
mod fork_race;
mod holder;
mod pair;
mod ring;
mod storm;
mod sys;
mod window;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    name: Name,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
struct Options {
    /// How long the child that holds the pipe does so
    #[arg(long, default_value_t = 2000, global = true)]
    hold_ms: u64,
    /// Do not wait for the line on standard input
    #[arg(long, global = true)]
    now: bool,
}

#[derive(Subcommand)]
enum Name {
    /// Print every shape and what is to be said of it, one JSON object per line
    List,
    /// Become the program that enacts a shape
    Enact {
        /// Its name, as `scenario list` prints it
        shape: String,
    },
    /// The write end is closed, the read returns at once
    Good,
    /// A forked child keeps both ends, then closes the write end
    ForkNoClose,
    /// A forked child closes its read end at once and holds the write end for
    /// life: its end is the message
    Sentinel,
    /// A forked child keeps both ends and does something until the reader has its end of file
    Hold {
        /// What
        how: holder::How,
    },
    /// A forked child keeps both ends, computes, then answers
    SlowAnswer,
    /// Another thread forks between a thread's pipe() and its close()
    ForkRace,
    /// 50 threads fork 200 children in one second, one of which leaks
    Storm,
    /// Forks, pipes, duplicates and closes without a pause, on all cores
    Churn,
    /// As fork-no-close, while other threads open and close descriptors
    ForkAmidChurn,
    /// As sentinel, while other threads open and close descriptors
    SentinelAmidChurn,
    /// The same as fork-race inside the standard library's Command, whose "did
    /// exec work?" channel is a socketpair
    ExecStatusRust,
    /// As fork-no-close, read by an io_uring
    RingRead,
    /// The same by one of the ring's workers
    RingReadAsync,
    /// The write end is in no table, only registered with a ring
    InFlightRing,
}

impl Options {
    fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    fn wait_for_go(&self) {
        fact::say("ready", serde_json::json!({ "pid": std::process::id() }));
        if !self.now {
            let mut line = String::new();
            std::io::stdin()
                .read_line(&mut line)
                .expect("the line that says go");
        }
    }
}

fn main() -> ExitCode {
    let Cli { name, options } = Cli::parse();
    match name {
        Name::List => factory::list(),
        Name::Enact { shape } => return factory::enact(&shape),
        Name::Good => pair::good(&options),
        Name::ForkNoClose => pair::fork_no_close(&options),
        Name::Sentinel => pair::sentinel(&options),
        Name::Hold { how } => holder::run(&options, how),
        Name::SlowAnswer => pair::slow_answer(&options),
        Name::ForkRace => fork_race::run(&options),
        Name::Storm => storm::run(&options),
        Name::Churn => churn::run(&options),
        Name::ForkAmidChurn => churn::amid(|| pair::fork_no_close(&options)),
        Name::SentinelAmidChurn => churn::amid(|| pair::sentinel(&options)),
        Name::ExecStatusRust => exec_status::run(&options),
        Name::RingRead => ring::read(&options, ring::Flags::empty()),
        Name::RingReadAsync => ring::read(&options, ring::Flags::ASYNC),
        Name::InFlightRing => ring::register(&options),
    }
    ExitCode::SUCCESS
}
