//! What a command leaves behind when it ends: pipewatch ends with it, or ends it because of a
//! hang, and says who lives on.

use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};

use tokio::{
    io::unix::AsyncFd,
    time::{sleep, timeout},
};

use super::Session;
use crate::{
    event::TaskRow,
    ids::{Comm, Pid},
    listing::list,
    output::say,
    problem::Problem,
    procfs,
    render::printable,
    target::Running,
};

/// Who ends with the command may take so long for that.
const PATIENCE: Duration = Duration::from_millis(100);
/// A command that is asked to end may take so long for that.
const GRACE: Duration = Duration::from_secs(1);

impl Session {
    /// The watched processes that outlive the command.
    pub(super) async fn left_behind(&mut self) -> Result<BTreeMap<Pid, Comm>, Problem> {
        if self.living()?.is_empty() {
            return Ok(BTreeMap::new());
        }
        sleep(PATIENCE).await;
        self.living()
    }

    /// Asks the command to end, as its caller waits for pipewatch, and would for the hang;
    /// who outlives it, as far as it ends.
    pub(super) async fn end(
        &mut self,
        command: &Running,
        ended: &AsyncFd<OwnedFd>,
    ) -> Result<BTreeMap<Pid, Comm>, Problem> {
        let pid = command.pid();
        command.signal(libc::SIGTERM);
        say(format_args!(
            "pipewatch: sent SIGTERM to the command (pid {pid})"
        ));
        if timeout(GRACE, ended.readable()).await.is_ok() {
            return self.left_behind().await;
        }
        say(format_args!(
            "pipewatch: the command (pid {pid}) goes on in spite of that\n\
             hint: to end it: kill -KILL {pid}"
        ));
        Ok(BTreeMap::new())
    }

    fn living(&mut self) -> Result<BTreeMap<Pid, Comm>, Problem> {
        let tasks = self.host.source.tasks()?;
        let source = &self.host.source;
        let watched = tasks
            .iter()
            .filter(|row| row.is_alive() && source.is_watched(row.actor.process.pid));
        // The name of a process is that of its first thread, if that lives.
        let is_first = |row: &&TaskRow| row.actor.tid.0 == row.actor.process.pid.0;
        let named = watched.clone().chain(watched.filter(is_first));
        Ok(named
            .map(|row| (row.actor.process.pid, row.actor.comm))
            .collect())
    }
}

/// Says that the command was only watched for a while.
pub(super) fn goes_on(command: Pid) {
    say(format_args!(
        "pipewatch: the command (pid {command}) goes on, and is not watched any more\n\
         hint: to watch it again: pipewatch -p {command}"
    ));
}

/// Says who lives on, and who of them keeps the output of the command open: whoever reads
/// that to its end waits for these.
pub(super) fn tell(left: &BTreeMap<Pid, Comm>) {
    if left.is_empty() {
        return;
    }
    say(format_args!(
        "pipewatch: the command has ended, and watching with it; it left behind {}\n\
         hint: to go on: pipewatch {}",
        names(left),
        left.keys()
            .map(|pid| format!("-p {pid}"))
            .collect::<Vec<_>>()
            .join(" "),
    ));
    let outputs = procfs::outputs();
    let keeps =
        |(pid, comm): (&Pid, &Comm)| procfs::writes_to_any(*pid, &outputs).then_some((*pid, *comm));
    let keep: BTreeMap<Pid, Comm> = left.iter().filter_map(keeps).collect();
    if !keep.is_empty() {
        say(format_args!(
            "pipewatch: who reads the output of the command to its end waits on, as {} {} it open\n\
             hint: redirect the output (>/dev/null 2>&1) of what is to stay in the background",
            names(&keep),
            if keep.len() == 1 { "keeps" } else { "keep" },
        ));
    }
}

/// Processes by their names, some of many.
fn names(processes: &BTreeMap<Pid, Comm>) -> String {
    let name = |(pid, comm): (&Pid, &Comm)| format!("{comm} (pid {pid})");
    let names: Vec<String> = processes.iter().map(name).collect();
    printable(&list("", "", &names))
}
