//! What must hold whatever happens: the world equals the kernel's tables after
//! every event, loss is mended by looking, nothing is kept of what is gone,
//! nothing panics, and every report is true.
//!
//! A history that breaks one of these is printed in the words of a story.

#[allow(dead_code, reason = "each test uses the part it needs")]
mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use model::{
    INIT, Kernel, OWN, Watched,
    session::{BEGIN, MS, Session},
    verbs::act,
};
use pipewatch::{
    engine::Engine,
    event::{Actor, Call, Doing, End, EndRow, Event, Fact, Kind, Mode, Sleep, Snapshot, TaskRow},
    finding::{Confidence, ViaKind},
    ids::{Fd, FileId, Ktime, Pid, PipeId, ProcKey, TableId, Tid},
    input::Input,
    rules::Rules,
    world::{Pipe, Slot, World},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{RngAlgorithm, RngSeed, TestCaseResult},
};

/// The first process of every history.
const ROOT: Pid = Pid(10);

/// Everything is to be reported, and soon.
const RULES: Rules = Rules {
    threshold: 300 * MS,
    min_confidence: Confidence::Likely,
    healthy: true,
    own: OWN,
    ends_command: false,
};

/// The same cases on every run, unless `PROPTEST_CASES` or `PROPTEST_RNG_SEED` asks for
/// others.
fn proptest_config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let many = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if many { asked.cases } else { 400 },
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: match asked.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed @ RngSeed::Fixed(_) => fixed,
        },
        max_shrink_iters: 10_000,
        ..asked
    }
}

// ---- histories --------------------------------------------------------------

/// Something one of the live threads does, if it can, and the milliseconds
/// until the next step.
#[derive(Clone)]
struct Step {
    by: Index,
    deed: String,
    then: u64,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.deed)
    }
}

/// What is reported.
fn deed() -> impl Strategy<Value = String> {
    let (id, fd) = (11..24, 3..9);
    let id = || id.clone();
    let fd = || fd.clone();
    let maybe = |word| prop_oneof![Just(""), Just(word)];
    let plain = |verb: &'static str| Just(verb.to_owned());
    let with_id = move |verb| id().prop_map(move |id| format!("{verb} {id}"));
    let with_fd = move |verb| fd().prop_map(move |fd| format!("{verb} {fd}"));
    let range = prop_oneof![Just(""), Just(" mark"), Just(" unshare")];
    prop_oneof![
        8 => (id(), maybe(" sharing")).prop_map(|(id, how)| format!("fork {id}{how}")),
        3 => id().prop_map(|id| format!("thread {id} worker")),
        4 => plain("exec program"),
        2 => plain("leave"),
        1 => plain("exit"),
        1 => with_id("kill"),
        2 => with_id("reap"),
        9 => (fd(), fd(), maybe(" cloexec")).prop_map(|(r, w, how)| format!("pipe {r} {w}{how}")),
        6 => (fd(), fd(), maybe(" cloexec")).prop_map(|(a, b, how)| format!("dup {a} {b}{how}")),
        1 => with_fd("overwrite"),
        8 => with_fd("close"),
        2 => (fd(), fd(), range).prop_map(|(a, b, how)| format!("close_range {a} {b}{how}")),
        1 => with_fd("cloexec").prop_map(|deed| deed + " on"),
        1 => with_fd("cloexec").prop_map(|deed| deed + " off"),
        2 => plain("unshare"),
        2 => (fd(), fd()).prop_map(|(a, b)| format!("socketpair {a} {b}")),
        5 => with_fd("read"),
        3 => with_fd("poll"),
        3 => with_fd("write"),
        1 => with_id("signal"),
        1 => with_id("signal").prop_map(|deed| deed + " eintr"),
    ]
}

/// What no probe reports.
fn unseen() -> impl Strategy<Value = String> {
    prop_oneof![
        (3..9).prop_map(|fd| format!("send {fd}")),
        (3..9).prop_map(|fd| format!("receive {fd}")),
        (3..9).prop_map(|fd| format!("open fifo rw {fd}")),
        (3..9).prop_map(|fd| format!("open fifo w {fd}")),
    ]
}

fn history(deed: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<Step>> {
    let then = prop_oneof![4 => Just(0), 1 => 1_u64..3_000];
    let step = (any::<Index>(), deed, then);
    vec(
        step.prop_map(|(by, deed, then)| Step { by, deed, then }),
        1..60,
    )
}

fn any_deed() -> impl Strategy<Value = String> {
    prop_oneof![12 => deed(), 1 => unseen()]
}

/// Any deed, and events that are lost.
fn deed_or_loss() -> impl Strategy<Value = String> {
    prop_oneof![24 => any_deed(), 1 => (1..6).prop_map(|events| format!("lose {events}"))]
}

/// Leaves out whatever would use an id again, for which no host has the time
/// between a snapshot's beginning and its end.
fn with_new_ids(mut steps: Vec<Step>, ids: &mut BTreeSet<String>) -> Vec<Step> {
    steps.retain(|step| match step.deed.split(' ').collect::<Vec<_>>()[..] {
        ["fork" | "thread", id, ..] => ids.insert(id.to_owned()),
        _ => true,
    });
    steps
}

/// A kernel in which `ROOT` runs, and is watched.
fn kernel() -> Kernel {
    let mut kernel = Kernel::new(BEGIN);
    begin(&mut kernel);
    kernel
}

fn begin(kernel: &mut Kernel) {
    let forked = kernel.fork(Tid(INIT.0), ROOT, false);
    forked.expect("init forks");
    kernel.watched = Watched::Only([ROOT].into());
}

/// Takes a step if it is possible, and tells it.
fn perform(kernel: &mut Kernel, step: &Step) -> Option<String> {
    let threads: Vec<Tid> = kernel.threads().map(|(tid, _)| tid).collect();
    let threads: Vec<Tid> = threads.into_iter().filter(|tid| tid.0 != INIT.0).collect();
    if threads.is_empty() {
        return None;
    }
    let by = *step.by.get(&threads);
    let words: Vec<&str> = step.deed.split_whitespace().collect();
    let at = kernel.now.since(BEGIN) / MS;
    act(kernel, by, &words).ok()?;
    Some(format!("{at}ms {by} {}", words.join(" ")))
}

/// Takes all steps, and tells what the probes reported.
fn perform_all(kernel: &mut Kernel, steps: &[Step]) -> (Vec<Event>, String) {
    let told: Vec<String> = steps
        .iter()
        .filter_map(|step| perform(kernel, step))
        .collect();
    (std::mem::take(&mut kernel.events), told.join("\n"))
}

fn kill_all(kernel: &mut Kernel) {
    let processes: Vec<Pid> = kernel
        .tasks()
        .iter()
        .map(|row| row.actor.process.pid)
        .collect();
    for pid in processes {
        // Init stays, and some are dead already.
        let _ = kernel.kill(Tid(INIT.0), pid);
    }
}

// ---- the world against the kernel -------------------------------------------

fn adopt(world: &mut World, kernel: &Kernel) {
    let snapshot = Snapshot {
        tasks: kernel.tasks(),
        ends: kernel.ends(),
        of: None,
    };
    world.adopt(
        &snapshot.only(|process| kernel.is_watched(process.pid)),
        None,
    );
}

/// The ends the world knows of a table, by descriptor and channel.
fn known(kernel: &Kernel, world: &World, table: TableId) -> BTreeMap<(Fd, PipeId), Slot> {
    let table = world.table(table);
    let slots = kernel
        .pipes_ever()
        .flat_map(|pipe| table.into_iter().flat_map(move |table| table.of_pipe(pipe)));
    slots
        .map(|slot| ((slot.end.fd, slot.end.pipe), slot.clone()))
        .collect()
}

/// Every watched table holds exactly the same descriptors.
fn same_descriptors(kernel: &Kernel, world: &World) -> Result<(), String> {
    // That its peer is closed is not told of a socket that is known.
    let facts = |end: End| (end.fd, end.pipe, end.file, end.mode, end.cloexec);
    for (tid, table) in kernel.threads().filter(|(tid, _)| tid.0 != INIT.0) {
        let known = known(kernel, world, table);
        let known = known.values().filter(|slot| kernel.exists(slot.end.pipe));
        let known: Vec<_> = known.map(|slot| facts(slot.end)).collect();
        let fds = kernel.table(table).keys();
        let truth = fds.filter_map(|fd| kernel.end(table, *fd));
        let truth = truth.flat_map(End::by_channel);
        let mut truth: Vec<_> = truth.map(facts).collect();
        truth.sort_by_key(|(fd, pipe, ..)| (*fd, *pipe));
        if known != truth {
            return Err(format!("thread {tid} holds {truth:?}, not {known:?}"));
        }
    }
    Ok(())
}

/// Every descriptor is known to have come by the acts it came by.
fn same_history(kernel: &Kernel, world: &World) -> Result<(), String> {
    for (tid, table) in kernel.threads().filter(|(tid, _)| tid.0 != INIT.0) {
        for ((fd, _), slot) in known(kernel, world, table) {
            let acts: Vec<(ViaKind, Ktime)> = slot
                .via
                .chain()
                .map(|link| (link.kind, link.act.map_or(Ktime(0), |act| act.time)))
                .collect();
            let truth = &kernel.table(table)[&fd].history;
            if acts != *truth {
                return Err(format!(
                    "fd {fd} of thread {tid} came by {truth:?}, not {acts:?}"
                ));
            }
        }
    }
    Ok(())
}

/// What is said to be a pipe's creation is that, wherever it is said.
fn true_creations(kernel: &Kernel, world: &World) -> Result<(), String> {
    let created = |id| world.pipe(id).and_then(Pipe::created);
    for (tid, table) in kernel.threads() {
        for ((fd, _), slot) in known(kernel, world, table) {
            let Some((ViaKind::Created, truth)) = kernel.table(table)[&fd].history.last() else {
                continue;
            };
            let in_chain = slot
                .via
                .chain()
                .last()
                .filter(|link| link.kind == ViaKind::Created);
            let in_chain = in_chain.and_then(|link| link.act).map(|act| act.time);
            let of_pipe = created(slot.end.pipe).map(|created| created.act.time);
            for said in [in_chain, of_pipe].into_iter().flatten() {
                if said != *truth {
                    return Err(format!(
                        "the pipe at fd {fd} of {tid} is from {truth:?}, not {said:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Nothing is kept.
fn nothing_left(kernel: &Kernel, world: &World) -> Result<(), String> {
    let pipe = kernel.pipes_ever().find(|pipe| world.pipe(*pipe).is_some());
    match pipe {
        Some(pipe) => Err(format!("{pipe:?} is still known")),
        None if !world.is_empty() => Err("a thread is still known".to_owned()),
        None => Ok(()),
    }
}

fn judged(result: Result<(), String>, told: &str) -> TestCaseResult {
    result.map_err(|problem| TestCaseError::fail(format!("{problem}\nafter\n{told}\n")))
}

proptest! {
    #![proptest_config(proptest_config())]

    #[test]
    fn the_world_follows_every_event(steps in history(deed())) {
        let mut kernel = kernel();
        let mut world = World::new(OWN);
        adopt(&mut world, &kernel);
        let mut told = String::new();
        for step in &steps {
            told.extend(perform(&mut kernel, step).map(|deed| deed + "\n"));
            std::mem::take(&mut kernel.events).iter().for_each(|event| world.apply(event));
            judged(same_descriptors(&kernel, &world), &told)?;
            judged(same_history(&kernel, &world), &told)?;
            judged(true_creations(&kernel, &world), &told)?;
        }
    }

    #[test]
    fn nothing_is_kept_of_what_is_gone(steps in history(any_deed())) {
        let mut kernel = kernel();
        let mut world = World::new(OWN);
        adopt(&mut world, &kernel);
        let (events, told) = perform_all(&mut kernel, &steps);
        kill_all(&mut kernel);
        events.iter().chain(&kernel.events).for_each(|event| world.apply(event));
        judged(nothing_left(&kernel, &world), &told)?;
    }

    #[test]
    fn events_may_repeat_what_a_snapshot_shows(
        unseen in history(any_deed()),
        queued in history(deed()),
    ) {
        let mut kernel = kernel();
        let mut ids = BTreeSet::new();
        let (_, before) = perform_all(&mut kernel, &with_new_ids(unseen, &mut ids));
        let (events, since) = perform_all(&mut kernel, &with_new_ids(queued, &mut ids));
        let mut world = World::new(OWN);
        adopt(&mut world, &kernel);
        events.iter().for_each(|event| world.apply(event));
        let told = format!("{before}\nwatch\n{since}\nattach");
        judged(same_descriptors(&kernel, &world), &told)?;
        judged(true_creations(&kernel, &world), &told)?;
    }

    #[test]
    fn a_look_mends_what_loss_broke(
        seen in history(any_deed()),
        kept in vec(any::<bool>(), 1..40),
        later in history(deed()),
    ) {
        let mut kernel = kernel();
        let mut world = World::new(OWN);
        adopt(&mut world, &kernel);
        let (events, told) = perform_all(&mut kernel, &seen);
        let kept = events.iter().zip(kept.iter().cycle()).filter(|(_, kept)| **kept);
        kept.for_each(|(event, _)| world.apply(event));
        adopt(&mut world, &kernel);
        judged(same_descriptors(&kernel, &world), &told)?;
        judged(true_creations(&kernel, &world), &told)?;

        let (events, since) = perform_all(&mut kernel, &later);
        events.iter().for_each(|event| world.apply(event));
        let told = format!("{told}\n# rescanned\n{since}");
        judged(same_descriptors(&kernel, &world), &told)?;
        judged(true_creations(&kernel, &world), &told)?;

        kill_all(&mut kernel);
        kernel.events.iter().for_each(|event| world.apply(event));
        judged(nothing_left(&kernel, &world), &told)?;
    }

    #[test]
    fn every_report_is_true_and_every_wait_ends(steps in history(deed_or_loss())) {
        let mut session = Session::new(RULES);
        begin(&mut session.kernel);
        judged(session.attach(), "")?;
        let mut told = String::new();
        for step in &steps {
            match step.deed.strip_prefix("lose ") {
                Some(events) => session.lose(events.parse().expect("a number")),
                None => told.extend(perform(&mut session.kernel, step).map(|deed| deed + "\n")),
            }
            judged(session.happened().map(drop), &told)?;
            let until = session.kernel.now.after(step.then * MS);
            judged(pass_time(&mut session, until), &told)?;
        }
        kill_all(&mut session.kernel);
        judged(session.happened().map(drop), &told)?;
        let until = session.kernel.now.after(6_000 * MS);
        judged(pass_time(&mut session, until), &told)?;
        prop_assert_eq!(session.open_waits(), 0, "not resolved after\n{}", told);
        prop_assert!(session.engine.is_idle(), "not idle after\n{}", told);
    }

    #[test]
    fn a_loss_accuses_nobody(mut steps in history(deed_or_loss())) {
        // Processes that share a table, of which next to no program has any, have no
        // history once one is gone unseen.
        steps.retain(|step| !step.deed.ends_with("sharing"));
        let [mut seen, mut lossy] = [Session::new(RULES), Session::new(RULES)];
        let mut told = String::new();
        for session in [&mut seen, &mut lossy] {
            begin(&mut session.kernel);
            judged(session.attach(), "")?;
        }
        for step in &steps {
            if let Some(events) = step.deed.strip_prefix("lose ") {
                lossy.lose(events.parse().expect("a number"));
                told += &format!("{}ms {}\n", lossy.kernel.now.since(BEGIN) / MS, step.deed);
                continue;
            }
            let deed = perform(&mut seen.kernel, step);
            perform(&mut lossy.kernel, step);
            told.extend(deed.map(|deed| deed + "\n"));
            for session in [&mut seen, &mut lossy] {
                judged(session.happened().map(drop), &told)?;
                let until = session.kernel.now.after(step.then * MS);
                judged(pass_time(session, until), &told)?;
            }
        }
        for session in [&mut seen, &mut lossy] {
            let until = session.kernel.now.after(6_000 * MS);
            judged(pass_time(session, until), &told)?;
        }
        let accused: Vec<_> = lossy.accused.difference(&seen.accused).collect();
        prop_assert!(accused.is_empty(), "{:?} after\n{}", accused, told);
    }

    #[test]
    fn nonsense_does_no_harm(input in vec(nonsense(), 1..80)) {
        let mut engine = Engine::new(RULES);
        for input in &input {
            engine.take(input);
            engine.take_arms();
        }
    }

    #[test]
    fn disorder_does_no_harm(
        steps in history(any_deed()),
        order in vec(any::<Index>(), 1..200),
    ) {
        let mut kernel = kernel();
        let mut world = World::new(OWN);
        adopt(&mut world, &kernel);
        let (events, told) = perform_all(&mut kernel, &steps);
        if !events.is_empty() {
            order.iter().for_each(|index| world.apply(index.get(&events)));
        }
        adopt(&mut world, &kernel);
        judged(same_descriptors(&kernel, &world), &told)?;
    }
}

fn pass_time(session: &mut Session, until: Ktime) -> Result<(), String> {
    while session.kernel.now < until {
        session.advance(until)?;
    }
    Ok(())
}

// ---- nonsense ---------------------------------------------------------------

/// Whatever the engine can be told, true or not.
fn nonsense() -> impl Strategy<Value = Input> {
    let asleep = (actor(), table(), sleep());
    prop_oneof![
        12 => event().prop_map(Input::Event),
        4 => asleep.prop_map(|(actor, table, sleep)| Input::Sleeping { actor, table, sleep }),
        1 => (snapshot(), option(time())).prop_map(|(snapshot, lost)| Input::Adopt { snapshot, lost }),
        1 => (vec(task(), 0..8), time()).prop_map(|(tasks, now)| Input::Tasks { tasks, now }),
        3 => (snapshot(), time()).prop_map(|(snapshot, now)| Input::Look { snapshot, now }),
    ]
}

/// Mostly small, so that things meet; sometimes as large as can be.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![30 => 0_u32..5, 1 => Just(u32::MAX)]
}

fn time() -> impl Strategy<Value = Ktime> {
    prop_oneof![20 => (0_u64..20_000).prop_map(|ms| Ktime(ms * MS)), 1 => Just(Ktime(u64::MAX))]
}

fn option<T: std::fmt::Debug + Clone>(
    some: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(some)
}

fn fd() -> impl Strategy<Value = Fd> {
    number().prop_map(Fd)
}

fn table() -> impl Strategy<Value = TableId> {
    number().prop_map(|id| TableId(id.into()))
}

fn file() -> impl Strategy<Value = FileId> {
    number().prop_map(|id| FileId(id.into()))
}

fn process() -> impl Strategy<Value = ProcKey> {
    (number(), 0_u64..2).prop_map(|(pid, start)| ProcKey {
        pid: Pid(pid),
        start,
    })
}

fn actor() -> impl Strategy<Value = Actor> {
    (process(), number()).prop_map(|(process, tid)| Actor {
        process,
        tid: Tid(tid),
        comm: "any".into(),
    })
}

fn end() -> impl Strategy<Value = End> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (fd(), 0_u64..4, file(), number(), flags).prop_map(
        |(fd, inode, file, head, (read, write, cloexec, fifo))| End {
            fd,
            pipe: PipeId { dev: 14, inode },
            address: inode,
            file,
            mode: Mode { read, write },
            cloexec,
            kind: if fifo { Kind::Fifo } else { Kind::Pipe },
            head: Some(head),
        },
    )
}

fn sleep() -> impl Strategy<Value = Sleep> {
    (time(), end(), 0_u64..3).prop_map(|(since, end, nvcsw)| Sleep {
        since,
        end,
        call: Call::Read,
        nvcsw,
        previous: None,
    })
}

fn fact() -> impl Strategy<Value = Fact> {
    let yes = any::<bool>;
    let stack = None;
    let doing = prop_oneof![
        Just(Doing::Call),
        Just(Doing::Exec),
        Just(Doing::Exit),
        Just(Doing::Kernel)
    ];
    let woken = (number(), 0_u64..3, number(), yes(), doing);
    prop_oneof![
        (process(), number(), table()).prop_map(move |(child, tid, child_table)| Fact::Fork {
            child,
            child_tid: Tid(tid),
            child_table,
            stack,
        }),
        (table(), end()).prop_map(|(table, end)| Fact::Entry { table, end }),
        table().prop_map(|table| Fact::Walked { table }),
        Just(Fact::Exec),
        Just(Fact::Unshare),
        yes().prop_map(|last| Fact::Exit { last }),
        (end(), fd(), option(file())).prop_map(move |(read, write_fd, write_file)| Fact::Create {
            read,
            write_fd,
            write_file,
            stack,
        }),
        end().prop_map(|end| Fact::Close { end }),
        (fd(), fd(), yes()).prop_map(|(first, last, mark_only)| Fact::CloseRange {
            first,
            last,
            mark_only,
        }),
        (end(), fd()).prop_map(move |(end, from)| Fact::Dup { end, from, stack }),
        end().prop_map(|end| Fact::SetCloexec { end }),
        woken.prop_map(|(tid, nvcsw, writers, buffered, doing)| Fact::Wake {
            sleeper: Tid(tid),
            nvcsw,
            address: u64::from(tid % 4),
            writers,
            buffered,
            doing,
        }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    (time(), actor(), table(), fact()).prop_map(|(time, actor, table, fact)| Event {
        time,
        actor,
        table,
        fact,
    })
}

fn task() -> impl Strategy<Value = TaskRow> {
    let asleep = (option(0_u64..3), option(sleep()));
    let row = (actor(), table(), number(), any::<bool>(), asleep);
    row.prop_map(|(actor, table, parent, stopped, (asleep, sleep))| TaskRow {
        actor,
        table,
        parent: Pid(parent),
        stopped,
        asleep,
        sleep,
        multiplexed: None,
        waits_for: None,
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let held = (actor(), table(), end(), number(), any::<bool>());
    let held = held.prop_map(|(actor, table, end, writers, buffered)| EndRow {
        actor,
        table,
        end,
        writers,
        buffered,
        ring: false,
    });
    (vec(task(), 0..8), vec(held, 0..8)).prop_map(|(tasks, ends)| Snapshot {
        tasks,
        ends,
        of: None,
    })
}
