//! What led to a wait, in order of time.

use super::role::Holding;
use crate::{
    event::Kind,
    finding::{Reader, Step, ViaKind, What},
    ids::Fd,
    world::Pipe,
};

/// The pipe's creation, the acts that brought the end to its holders, closes
/// by the maker and the reader, the read.
pub(super) fn timeline<'a>(
    reader: &Reader,
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
        inheritance(holding, &mut steps);
    }
    let parties = [
        Some(reader.actor.process),
        created.map(|created| created.act.actor.process),
    ];
    let closes = pipe.into_iter().flat_map(Pipe::closes);
    let by_party = |step: &&Step| parties.contains(&Some(step.act.actor.process));
    steps.extend(closes.filter(by_party).cloned());
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

/// How one holder came by its end.
fn inheritance(holding: &Holding<'_>, steps: &mut Vec<Step>) {
    let mut child = holding.process.pid;
    // What is held now was handed on by the last act, and need not have been
    // the same before that.
    let mut fds: Vec<Fd> = holding.rows.iter().map(|row| row.end.fd).collect();
    for link in holding.via().into_iter().flat_map(|via| via.chain()) {
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
