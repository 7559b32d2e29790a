//! `pipewatch release`: makes a holder close a write end that it will never use, so that
//! the read ends for which it was kept open. What is judged idle is closed, and no other
//! descriptor, unless that is asked for.

mod subject;
mod words;

use std::{
    io::{self, IsTerminal as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use self::subject::{Case, Subject};
use crate::{
    clock::{self, Wall},
    driver,
    finding::{Reader, Released, StillHeld},
    ids::{Fd, Pid},
    output::{self, say},
    plan::{Plan, Target},
    problem::Problem,
    procfs,
    render::{self, Format, Style},
    source::Backend,
};

/// So long a reader may take to be seen to go on.
const GOING_ON: Duration = Duration::from_secs(2);
/// How often it is looked at.
const LOOKING: Duration = Duration::from_millis(2);

/// What the user wants.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The holder.
    pub pid: Pid,
    /// Its write end.
    pub fd: Fd,
    /// Whatever the judgement, and the filters of the holder.
    pub force: bool,
    /// Do not ask.
    pub yes: bool,
    /// How the host is to be seen.
    pub backend: Backend,
    /// How the outcome is told.
    pub format: Format,
}

/// Does it; whether all who waited went on.
///
/// # Errors
///
/// It is refused, or fails: nothing was closed, unless the problem says so.
pub fn release(request: &Request) -> Result<bool, Problem> {
    let subject = Subject::find(request)?;
    let mut case = subject.judge(request)?;
    let style = Style {
        width: output::width(),
        colour: false,
    };
    say(render::plan(&case.release, &style).trim_end());
    if !request.yes {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let Request { pid, fd, .. } = request;
            return Err(Problem::new(
                "there is no terminal to ask at whether to close it; nothing was closed",
                format!("to close it without being asked: pipewatch release {pid} {fd} --yes"),
            ));
        }
        if !is_agreed(request)? {
            return Err(Problem::new(
                "not agreed to, nothing was closed",
                "answer y to close it",
            ));
        }
        // A person takes time, in which things happen.
        case = subject.judge(request)?;
    }
    subject.close(request, &case)?;
    let released = outcome(request, &case)?;
    let mut out = io::stdout().lock();
    let written = render::outcome(
        (&case.release, &released),
        Wall::new().of(released.time),
        request.format,
        &style,
        &mut out,
    );
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Problem::new(
            format!("it was closed, but that cannot be written: {error}"),
            "is there space left where output goes?",
        )),
        Ok(()) | Err(_) => Ok(released.waiting.is_empty()),
    }
}

fn plan(request: &Request) -> Plan {
    Plan {
        target: Target::All,
        backend: request.backend,
        stacks: None,
        ..Plan::default()
    }
}

fn is_agreed(request: &Request) -> Result<bool, Problem> {
    let Request { pid, fd, .. } = request;
    let mut answer = String::new();
    let asked = write!(io::stderr(), "Close fd {fd} of pid {pid}? [y/N] ");
    asked
        .and_then(|()| io::stdin().read_line(&mut answer))
        .map_err(|error| Problem::new(format!("cannot ask: {error}"), "use --yes"))?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// What came of it: who went on, and if not all did, who else holds a write end.
fn outcome(request: &Request, case: &Case) -> Result<Released, Problem> {
    let end = Instant::now() + GOING_ON;
    let gone_on = || {
        case.readers()
            .all(|(reader, asleep)| has_gone_on(reader, asleep))
    };
    while !gone_on() && Instant::now() < end {
        thread::sleep(LOOKING);
    }
    let mut released = Released {
        time: clock::now(),
        waiting: Vec::new(),
        others: Vec::new(),
    };
    let release = &case.release;
    // Who polls wakes up for others too.
    if gone_on()
        && !release
            .readers
            .iter()
            .any(|reader| reader.call.is_multiplexed())
    {
        return Ok(released);
    }
    let tables = driver::tables(&plan(request))?;
    let held = tables.ends.iter();
    let held = held.filter(|row| row.end.pipe == release.id && row.end.mode.write);
    released.others = held
        .map(|row| StillHeld {
            pid: row.actor.process.pid,
            comm: row.actor.comm,
            fd: row.end.fd,
        })
        .collect();
    for (reader, asleep) in case.readers() {
        let polls_still = reader.call.is_multiplexed() && !released.others.is_empty();
        if polls_still || !has_gone_on(reader, asleep) {
            released.waiting.push(reader.clone());
        }
    }
    Ok(released)
}

/// Whether a thread does not sleep any more as it did then.
fn has_gone_on(reader: &Reader, asleep: u64) -> bool {
    procfs::condition(reader.actor.tid).is_none_or(|now| {
        // Who is stopped, or traced, sleeps on.
        let awake = matches!(now.state, b'R' | b'D' | b'Z' | b'X');
        awake || now.nvcsw != asleep
    })
}
