//! One look at a host with 100,000 descriptors in 200 processes: by pipewatch, and by
//! what else there is.

use std::{
    fs, io,
    process::{Command, Stdio},
    time::Instant,
};

use pipewatch_tests::pipewatch;

use super::{
    crowd::Crowd,
    table::{head, median, row},
};

const PROCESSES: u32 = 200;
/// Two descriptors each.
const PIPES: u32 = 250;
const ROUNDS: usize = 5;

/// A way to look, and what does it.
type Look = (&'static str, fn() -> io::Result<()>);

const LOOKS: [Look; 4] = [
    ("`pipewatch snapshot --all`", || {
        run(pipewatch(&["snapshot", "--all"]))
    }),
    ("a walk of `/proc/*/fd`", walk),
    ("`lsof -n -P`", || {
        let mut lsof = Command::new("lsof");
        lsof.args(["-n", "-P"]);
        run(lsof)
    }),
    ("`lsfd`", || run(Command::new("lsfd"))),
];

/// Measures each way.
pub fn measure() -> io::Result<()> {
    let _crowd = Crowd::of(PROCESSES, PIPES)?;
    let mut samples = vec![Vec::new(); LOOKS.len()];
    for _ in 0..ROUNDS {
        for ((_, look), samples) in LOOKS.iter().zip(&mut samples) {
            let begun = Instant::now();
            look()?;
            samples.push(begun.elapsed().as_secs_f64());
        }
    }
    head(&["100,000 descriptors in 200 processes", "time", "ratio"]);
    let own = median(&samples[0]);
    for ((name, _), samples) in LOOKS.iter().zip(&samples) {
        let time = median(samples);
        row(&[
            (*name).to_owned(),
            format!("{time:.3} s"),
            format!("×{:.1}", time / own),
        ]);
    }
    Ok(())
}

fn run(mut command: Command) -> io::Result<()> {
    // Its status tells what it has found, and not whether it could look.
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}

fn walk() -> io::Result<()> {
    let mut seen = 0_u64;
    for process in fs::read_dir("/proc")? {
        // Others come and go.
        let Ok(descriptors) = fs::read_dir(process?.path().join("fd")) else {
            continue;
        };
        let names = descriptors.flatten().map(|fd| fs::read_link(fd.path()));
        seen += names.flatten().count() as u64;
    }
    if seen < u64::from(2 * PROCESSES * PIPES) {
        return Err(io::Error::other(format!("only {seen} descriptors")));
    }
    Ok(())
}
