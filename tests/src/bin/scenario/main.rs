//! `scenario NAME` enacts one situation with real system calls and prints, one
//! JSON object per line, what happens and when: `ready` first, then, after a
//! line on standard input, the shape itself.

mod fact;
mod fork_race;
mod pair;
mod storm;
mod sys;
mod window;

use std::time::Duration;

use clap::{Parser, ValueEnum};

#[derive(Parser)]
struct Args {
    name: Name,
    /// How long the child that holds the pipe does so
    #[arg(long, default_value_t = 2000)]
    hold_ms: u64,
    /// Do not wait for the line on standard input
    #[arg(long)]
    now: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// The write end is closed, the read returns at once
    Good,
    /// A forked child keeps both ends, then closes the write end
    ForkNoClose,
    /// A forked child closes its read end at once and holds the write end for
    /// life: its end is the message
    Sentinel,
    /// A forked child keeps both ends, computes, then answers
    SlowAnswer,
    /// Another thread forks between a thread's pipe() and its close()
    ForkRace,
    /// 50 threads fork 200 children in one second, one of which leaks
    Storm,
}

impl Args {
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

fn main() {
    let args = Args::parse();
    match args.name {
        Name::Good => pair::good(&args),
        Name::ForkNoClose => pair::fork_no_close(&args),
        Name::Sentinel => pair::sentinel(&args),
        Name::SlowAnswer => pair::slow_answer(&args),
        Name::ForkRace => fork_race::run(&args),
        Name::Storm => storm::run(&args),
    }
}
