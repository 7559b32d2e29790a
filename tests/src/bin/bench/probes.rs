//! How much of an operation is spent in pipewatch's probes, as the kernel counts it. Unlike
//! the time of the whole, that differs little from run to run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, thread,
    time::Duration,
};

use aya::{
    programs::{ProgramInfo, loaded_programs},
    sys::{Stats, enable_stats},
};
use pipewatch_tests::Watcher;

use super::{
    table::{head, median, row},
    worker::{OPERATIONS, Worker},
};

const ROUNDS: usize = 9;
/// What is seen less often for an operation is none of its own.
const RARE: f64 = 0.1;
/// Between operations, and before the first.
const SETTLING: Duration = Duration::from_millis(500);

/// Runs of a program, and nanoseconds in all.
#[derive(Clone, Copy, Default)]
struct Spent {
    runs: f64,
    time: f64,
}

/// By the names of programs.
type Programs = BTreeMap<String, Spent>;

/// Measures all operations of a process that is watched, with stacks.
pub fn measure() -> io::Result<()> {
    let mut alone = vec![Vec::new(); OPERATIONS.len()];
    let mut spent = vec![Vec::new(); OPERATIONS.len()];
    let mut worker = Worker::fork()?;
    let pid = worker.pid().to_string();
    for _ in 0..ROUNDS {
        for (operation, (_, times, _)) in OPERATIONS.iter().enumerate() {
            alone[operation].push(worker.run(operation, *times)?);
        }
        let others: BTreeSet<u32> = loaded_programs().flatten().map(|it| it.id()).collect();
        let _watcher = Watcher::start(&["-p", &pid]);
        let _counting = enable_stats(Stats::RunTime).map_err(io::Error::other)?;
        for (operation, (_, times, _)) in OPERATIONS.iter().enumerate() {
            thread::sleep(SETTLING);
            let before = programs(&others);
            worker.run(operation, *times)?;
            spent[operation].push(difference(programs(&others), &before, f64::from(*times)));
        }
    }
    head(&[
        "operation, this process watched",
        "nothing attached",
        "in probes",
        "for each operation",
    ]);
    for (operation, (name, ..)) in OPERATIONS.iter().enumerate() {
        let base = median(&alone[operation]);
        let rounds = &spent[operation];
        let medians: Programs = rounds[0]
            .keys()
            .map(|name| (name.clone(), median_of(rounds, name)))
            .filter(|(_, spent)| spent.runs >= RARE)
            .collect();
        let time = medians.values().fold(0.0, |sum, spent| sum + spent.time);
        let parts = medians.iter().map(|(name, Spent { runs, time })| {
            format!("{name} {runs:.1} times {:.0} ns", time / runs)
        });
        row(&[
            (*name).to_owned(),
            format!("{base:.0} ns"),
            format!("{time:.0} ns (×{:.2})", 1.0 + time / base),
            parts.collect::<Vec<_>>().join(", "),
        ]);
    }
    Ok(())
}

/// What all programs but some have spent so far.
fn programs(others: &BTreeSet<u32>) -> Programs {
    let mine = loaded_programs().flatten();
    let mine = mine.filter(|program: &ProgramInfo| !others.contains(&program.id()));
    let spent = |program: ProgramInfo| {
        let spent = Spent {
            runs: program.run_count() as f64,
            time: program.run_time().as_nanos() as f64,
        };
        (program.name_as_str().unwrap_or("?").to_owned(), spent)
    };
    mine.map(spent).collect()
}

fn difference(after: Programs, before: &Programs, times: f64) -> Programs {
    let since = |(name, after): (String, Spent)| {
        let before = before.get(&name).copied().unwrap_or_default();
        let spent = Spent {
            runs: (after.runs - before.runs) / times,
            time: (after.time - before.time) / times,
        };
        (name, spent)
    };
    after.into_iter().map(since).collect()
}

fn median_of(rounds: &[Programs], name: &str) -> Spent {
    let each = |of: fn(&Spent) -> f64| {
        let values = rounds
            .iter()
            .filter_map(|programs| programs.get(name).map(of));
        median(&values.collect::<Vec<f64>>())
    };
    Spent {
        runs: each(|spent| spent.runs),
        time: each(|spent| spent.time),
    }
}
