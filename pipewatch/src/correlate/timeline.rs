//! What led to a wait, in order of time.

use super::role::Holding;
use crate::{
    event::Kind,
    finding::{Reader, Step, ViaKind, What},
    ids::{Fd, Pid},
    world::{Pipe, Provenance},
};

/// The pipe's creation, the acts that brought the end to these holders, the forks by which the
/// reader came by its own (`via`), closes by the maker and the reader, the
/// ends of those who were to write, the read.
pub(super) fn timeline<'a>(
    reader: &Reader,
    via: Option<&Provenance>,
    kind: Kind,
    pipe: Option<&Pipe>,
    holdings: impl Iterator<Item = &'a Holding<'a>>,
) -> Vec<Step> {
    let created = pipe.and_then(Pipe::created);
    let mut steps = Vec::new();
    if let Some(created) = created {
        steps.push(Step {
            act: created.act,
            what: match kind {
                Kind::Pipe | Kind::Fifo => What::Pipe,
                Kind::Socketpair { .. } => What::Socketpair,
            },
            fds: created.fds.to_vec(),
        });
    }
    for holding in holdings {
        let fds = holding.rows.iter().map(|row| row.end.fd).collect();
        let via = holding.via().map(AsRef::as_ref);
        inheritance(holding.process.pid, fds, via, &mut steps);
    }
    let mut own = Vec::new();
    inheritance(reader.actor.process.pid, vec![reader.fd], via, &mut own);
    let is_fork = |step: &Step| matches!(step.what, What::Fork { .. });
    steps.extend(own.into_iter().filter(is_fork));
    let parties = [
        Some(reader.actor.process),
        created.map(|created| created.act.actor.process),
    ];
    let closes = pipe.into_iter().flat_map(Pipe::closes);
    let counts =
        |step: &&Step| step.what == What::Exit || parties.contains(&Some(step.act.actor.process));
    steps.extend(closes.filter(counts).cloned());
    steps.push(Step {
        act: reader.act(),
        what: What::Read(reader.call),
        fds: vec![reader.fd],
    });
    steps.sort_by_key(|step| step.act.time);
    // Several holders may share the beginning of their story.
    steps.dedup_by(|next, step| {
        let same = (next.act, next.what) == (step.act, step.what);
        if same && step.fds.is_empty() {
            step.fds = std::mem::take(&mut next.fds);
        }
        same
    });
    steps
}

/// How a process came by its ends, which it has at these numbers.
fn inheritance(process: Pid, fds: Vec<Fd>, via: Option<&Provenance>, steps: &mut Vec<Step>) {
    // What is held now was handed on by the last act, and need not have been
    // the same before that.
    let (mut child, mut fds) = (process, fds);
    for link in via.into_iter().flat_map(Provenance::chain) {
        let Some(act) = link.act else { continue };
        let what = match link.kind {
            ViaKind::Fork => What::Fork { child },
            ViaKind::Exec => What::Exec,
            ViaKind::Dup => What::Dup,
            ViaKind::Created | ViaKind::Opened | ViaKind::Passed | ViaKind::Unknown => continue,
        };
        let fds = std::mem::take(&mut fds);
        steps.push(Step { act, what, fds });
        if link.kind == ViaKind::Fork {
            child = act.actor.process.pid;
        }
    }
}
