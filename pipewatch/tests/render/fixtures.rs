//! Reports that are rendered, and what only the outside knows of them.

use std::{collections::BTreeMap, time::UNIX_EPOCH};

use pipewatch::{
    event::{Actor, Call, Kind, Mode},
    finding::{
        Act, Cause, Certainty, Channel, Confidence, Created, Details, Finding, FreedBy, FreedHow,
        Hang, HeldFd, Holder, Lost, Outcome, Reader, Reason, Relation, Report, Resolved, Started,
        Step, Stopped, Tally, Verdict, Via, ViaKind, Waits, What,
    },
    ids::{Comm, Fd, Ktime, Pid, PipeId, ProcKey, StackId, Tid},
    language::Language,
    stack::{Frame, FrameKind, Sight, Sights},
};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

/// When the waits of the fixtures begin.
pub const WAIT: Ktime = Ktime(86_400 * SECOND);

// ---- what only the outside knows -------------------------------------------

#[derive(Default)]
pub struct Outside {
    cmdlines: BTreeMap<Pid, Vec<String>>,
    cgroups: BTreeMap<Pid, String>,
    languages: BTreeMap<Pid, Language>,
    sights: Sights,
    path: Option<String>,
}

impl Details for Outside {
    fn cmdline(&self, process: ProcKey) -> Option<Vec<String>> {
        self.cmdlines.get(&process.pid).cloned()
    }

    fn cgroup(&self, process: ProcKey) -> Option<String> {
        self.cgroups.get(&process.pid).cloned()
    }

    fn language(&self, process: ProcKey) -> Option<Language> {
        self.languages.get(&process.pid).copied()
    }

    fn sights(&self) -> &Sights {
        &self.sights
    }

    fn path(&self, _: ProcKey, _: Fd) -> Option<String> {
        self.path.clone()
    }

    fn wall(&self, time: Ktime) -> u64 {
        let wait = humantime::parse_rfc3339("2026-11-23T04:11:10.117331Z").unwrap();
        let wait = wait.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        u64::try_from(wait).unwrap() + time.0 - WAIT.0
    }
}

impl Outside {
    pub fn with_cmdline(mut self, pid: u32, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        self.cmdlines.insert(Pid(pid), arguments.collect());
        self
    }

    pub fn with_cgroup(mut self, pid: u32, path: &str) -> Self {
        self.cgroups.insert(Pid(pid), path.to_owned());
        self
    }

    /// Where a thread was so many milliseconds before the wait.
    pub fn with_stack(mut self, milliseconds: u64, tid: u32, frames: &[Frame]) -> Self {
        self.sights.add(Sight::Act {
            time: Ktime(WAIT.0 - milliseconds * MS),
            tid: Tid(tid),
            frames: frames.to_vec(),
        });
        self
    }

    /// Where a process is.
    pub fn with_now(mut self, pid: u32, frames: &[Frame]) -> Self {
        let process = process(pid);
        let frames = frames.to_vec();
        self.sights.add(Sight::Now { process, frames });
        self
    }

    /// What a program is written in.
    pub fn with_language(mut self, pid: u32, language: Language) -> Self {
        self.languages.insert(Pid(pid), language);
        self
    }

    /// What a program calls its thread.
    pub fn with_thread(mut self, pid: u32, tid: u32, name: &str) -> Self {
        self.sights.add(Sight::Thread {
            process: process(pid),
            tid: Tid(tid),
            name: name.to_owned(),
        });
        self
    }
}

// ---- words for fixtures ------------------------------------------------------

pub fn process(pid: u32) -> ProcKey {
    ProcKey {
        pid: Pid(pid),
        start: u64::from(pid) * MS,
    }
}

pub fn actor(pid: u32, tid: u32, comm: &str) -> Actor {
    Actor {
        process: process(pid),
        tid: Tid(tid),
        comm: Comm::from(comm),
    }
}

/// An act so many milliseconds before the wait, with the stack of that number.
pub fn before(milliseconds: u64, actor: Actor, stack: Option<u32>) -> Act {
    Act {
        time: Ktime(WAIT.0 - milliseconds * MS),
        actor,
        stack: stack.map(StackId),
    }
}

pub fn step(act: Act, what: What, fds: &[u32]) -> Step {
    Step {
        act,
        what,
        fds: fds.iter().copied().map(Fd).collect(),
    }
}

pub fn held(fd: u32, mode: &str, cloexec: bool) -> HeldFd {
    let mode = Mode {
        read: mode.contains('r'),
        write: mode.contains('w'),
    };
    HeldFd {
        fd: Fd(fd),
        mode,
        cloexec,
    }
}

pub fn in_python(function: &str, file: &str, line: Option<u32>) -> Frame {
    Frame {
        kind: FrameKind::Python,
        function: Some(function.into()),
        file: Some(file.into()),
        line,
        ..Frame::default()
    }
}

pub fn in_module(function: &str, module: &str, address: u64) -> Frame {
    Frame {
        function: Some(function.into()),
        module: Some(module.into()),
        address: Some(address),
        ..Frame::default()
    }
}

// ---- fixtures -----------------------------------------------------------------

/// A thread in Popen, another one that forked meanwhile: the whole run.
pub fn race() -> (Vec<Report>, Outside) {
    let outside = race_outside();
    let hang = race_hang();
    let reports = vec![
        Report::Started(Started {
            time: Ktime(WAIT.0 - 20 * SECOND),
            version: "0.1.0".into(),
            kernel: "6.18.5".into(),
            arch: "x86_64".into(),
            backend: "tracepoint".into(),
            watching: Some(vec![Pid(912)]),
            threshold: SECOND,
            hides: false,
            limits: vec![
                "descriptors are followed by syscall tracepoints, which cost about 50 ns per call"
                    .into(),
            ],
        }),
        Report::Finding(Finding::Hang(Box::new(hang))),
        Report::Lost(Lost {
            time: WAIT.after(2 * SECOND),
            events: 120,
            rescanned: true,
        }),
        Report::Finding(Finding::Resolved(Resolved {
            alarmed: true,
            id: 1,
            time: WAIT.after(8_020 * MS),
            outcome: Outcome::Eof,
            blocked: 8_020 * MS,
            freed_by: Some(FreedBy {
                pid: Pid(25189),
                comm: Comm::from("python2.7"),
                how: FreedHow::Close,
            }),
            reader: actor(912, 934, "pusher_keep_ali"),
            fd: Fd(18),
        })),
        Report::Stopped(Stopped {
            time: WAIT.after(9 * SECOND),
            tally: Tally {
                hangs: 1,
                resolved: 1,
                answered: 0,
            },
            waits: Waits::default(),
            events: 4_127,
            lost_events: 120,
            hides: false,
            reason: Reason::Signal,
        }),
    ];
    (reports, outside)
}

/// The story: a thread is in `Popen`, and another one has started a `Process`.
pub fn race_outside() -> Outside {
    let python = "/usr/bin/python2.7";
    let libc = "/lib/x86_64-linux-gnu/libc.so.6";
    let subprocess = "/usr/lib/python2.7/subprocess.py";
    let forking = "/usr/lib/python2.7/multiprocessing/forking.py";
    let agent = "/srv/agent/agent.py";
    let popen = |line| {
        vec![
            in_module("posix_read", python, 0x55d0_4a11_20c4),
            in_module("call_function", python, 0x55d0_4a0d_9911),
            in_python("_execute_child", subprocess, Some(line)),
            in_python("__init__", subprocess, Some(394)),
            in_python("run_cmdline_with_file", agent, Some(88)),
            in_python("run", "/usr/lib/python2.7/threading.py", Some(754)),
        ]
    };
    let reading = [
        vec![in_module("read", libc, 0x7f3a_1c0f_41b0)],
        popen(1_025),
    ];
    let making = [vec![in_module("pipe2", libc, 0x7f3a_1c0f_4b6b)], popen(930)];
    let forked = [
        in_python("__init__", forking, None),
        in_python(
            "start",
            "/usr/lib/python2.7/multiprocessing/process.py",
            Some(130),
        ),
        in_python("start_updater", agent, Some(41)),
    ];
    let mut now = vec![in_python("update_for_ever", agent, Some(17))];
    now.extend(forked.clone());
    Outside::default()
        .with_cmdline(912, &["python2.7", "agent.py"])
        .with_cmdline(25189, &["python2.7", "agent.py"])
        .with_language(912, Language::Python)
        .with_thread(912, 934, "pusher_keep_alive")
        .with_stack(0, 934, &reading.concat())
        .with_stack(412, 934, &making.concat())
        .with_stack(409, 921, &forked)
        .with_now(25189, &now)
}

pub fn race_hang() -> Hang {
    let popen = actor(912, 934, "pusher_keep_ali");
    let made = before(412, popen, Some(2));
    let forked = before(409, actor(912, 921, "updater"), Some(3));
    Hang {
        id: 1,
        same_as: None,
        time: WAIT.after(1_003 * MS),
        verdict: Verdict::Leaked,
        cause: Cause::ForkRace,
        confidence: Confidence::Certain,
        certainty: Certainty::Exact,
        judged: true,
        reader: Reader {
            actor: popen,
            fd: Fd(18),
            call: Call::Read,
            since: WAIT,
        },
        channel: Channel {
            id: PipeId {
                dev: 14,
                inode: 20_491_606,
            },
            kind: Kind::Pipe,
            buffered: false,
            created: Some(Created {
                act: made,
                fds: [Fd(18), Fd(19)],
            }),
        },
        holders: vec![Holder {
            process: process(25189),
            parent: Pid(912),
            comm: Comm::from("python2.7"),
            fds: vec![held(18, "r", true), held(19, "w", true)],
            relation: Relation::Child,
            used: false,
            heir: true,
            execed: false,
            stopped: false,
            via: Via {
                kind: ViaKind::Fork,
                act: Some(forked),
            },
        }],
        timeline: vec![
            step(made, What::Pipe, &[18, 19]),
            step(forked, What::Fork { child: Pid(25189) }, &[18, 19]),
            step(before(8, popen, None), What::Close, &[19]),
            step(before(0, popen, Some(1)), What::Read(Call::Read), &[18]),
        ],
        why: "thread 921 (updater) forked python2.7 (pid 25189) while thread 934 \
              (pusher_keep_ali) had the pipe open for its own use, so the child has a copy of \
              the write end that nobody will ever close or write to. End of file comes when the \
              last copy is closed."
            .into(),
        hint: "to free the reader now, end process 25189. To mend it: fork before threads start, \
               or close what is not needed in the child right after the fork; close-on-exec acts \
               at exec only."
            .into(),
    }
}

pub const ID: &str = "3f1c8e0b7a6d5c4b3a2918070605f4e3d2c1b0a9f8e7d6c5b4a3928170605f4e";
pub const UID: &str = "7f3b6a1e-2c4d-4e5f-8a9b-0c1d2e3f4a5b";

/// The article's bad case: one fork, a child that might still answer.
pub fn fork() -> (Vec<Report>, Outside) {
    let parent = actor(41_007, 41_007, "python3");
    let made = before(2_034, parent, None);
    let forked = before(2_031, parent, None);
    let hang = Hang {
        id: 1,
        same_as: None,
        time: WAIT.after(1_000 * MS),
        cause: Cause::Fork,
        confidence: Confidence::Likely,
        certainty: Certainty::Inferred,
        judged: true,
        reader: Reader {
            actor: parent,
            fd: Fd(3),
            call: Call::Readv,
            since: WAIT,
        },
        channel: Channel {
            id: PipeId {
                dev: 14,
                inode: 881_203,
            },
            kind: Kind::Pipe,
            buffered: false,
            created: Some(Created {
                act: made,
                fds: [Fd(3), Fd(4)],
            }),
        },
        holders: vec![Holder {
            process: process(41_010),
            parent: Pid(41_007),
            comm: Comm::from("python3"),
            fds: vec![held(3, "r", false), held(4, "w", false)],
            relation: Relation::Child,
            used: false,
            heir: true,
            execed: false,
            stopped: true,
            via: Via {
                kind: ViaKind::Fork,
                act: Some(forked),
            },
        }],
        timeline: vec![
            step(made, What::Pipe, &[3, 4]),
            step(forked, What::Fork { child: Pid(41_010) }, &[3, 4]),
            step(before(1, parent, None), What::Close, &[4]),
            step(before(0, parent, None), What::Read(Call::Readv), &[3]),
        ],
        why: "the forked child python3 (pid 41010) holds the only write end and has not used it \
              since the fork 3.0 s ago. A child that is still computing its answer looks the \
              same until it writes; events were lost, so an earlier write may have been missed."
            .into(),
        hint: "close fd 4 in the child if it is not meant to write.".into(),
        ..race_hang()
    };
    let data = Report::Finding(Finding::Resolved(Resolved {
        alarmed: true,
        id: 1,
        time: WAIT.after(3 * SECOND),
        outcome: Outcome::Data,
        blocked: 3 * SECOND,
        freed_by: None,
        reader: parent,
        fd: Fd(3),
    }));
    (
        vec![Report::Finding(Finding::Hang(Box::new(hang))), data],
        Outside::default()
            .with_cgroup(41_007, &format!("/kubepods/pod{UID}/{ID}"))
            .with_cgroup(41_010, "/init.scope"),
    )
}

/// A shell pipeline, as `-v` tells of it.
pub fn waiting() -> (Vec<Report>, Outside) {
    let hang = Hang {
        id: 2,
        verdict: Verdict::Waiting,
        cause: Cause::Unknown,
        confidence: Confidence::Likely,
        reader: Reader {
            actor: actor(5_001, 5_001, "cat"),
            fd: Fd(0),
            call: Call::Read,
            since: WAIT,
        },
        channel: Channel {
            created: None,
            ..race_hang().channel
        },
        holders: vec![Holder {
            process: process(5_000),
            parent: Pid(4_990),
            comm: Comm::from("sleep"),
            fds: vec![held(1, "w", false)],
            relation: Relation::Sibling,
            used: true,
            heir: false,
            execed: true,
            stopped: false,
            via: Via {
                kind: ViaKind::Unknown,
                act: None,
            },
        }],
        timeline: Vec::new(),
        why: "sleep (pid 5000) has the write end as its standard output and is meant to write."
            .into(),
        hint: String::new(),
        ..race_hang()
    };
    let started = Report::Started(Started {
        time: Ktime(WAIT.0 - SECOND),
        version: "0.1.0".into(),
        kernel: "6.18.5".into(),
        arch: "x86_64".into(),
        backend: "tracepoint".into(),
        watching: None,
        threshold: 250 * MS,
        hides: false,
        limits: Vec::new(),
    });
    (
        vec![started, Report::Finding(Finding::Hang(Box::new(hang)))],
        Outside::default(),
    )
}

/// The workers of a process that has died: all wait for the pipe that all of them hold.
pub fn pool() -> (Vec<Report>, Outside) {
    let maker = actor(500, 500, "pool");
    let workers = [501, 502, 503, 504];
    let forked = |worker: u32| before(600 - u64::from(worker), maker, None);
    let holder = |worker: u32, relation| Holder {
        process: process(worker),
        parent: Pid(1),
        comm: Comm::from("pool"),
        fds: vec![held(4, "w", true), held(3, "r", true)],
        relation,
        used: false,
        heir: true,
        execed: false,
        stopped: false,
        via: Via {
            kind: ViaKind::Fork,
            act: Some(forked(worker)),
        },
    };
    let hang = |reader: u32, workers: &[u32]| {
        let others = workers.iter().filter(|worker| **worker != reader);
        let others = others.map(|worker| holder(*worker, Relation::Unrelated));
        let forks = workers.iter().map(|&worker| {
            let what = What::Fork { child: Pid(worker) };
            step(forked(worker), what, &[3, 4])
        });
        let reader = actor(reader, reader, "pool");
        let read = step(before(0, reader, None), What::Read(Call::Read), &[3]);
        Hang {
            cause: Cause::Fork,
            reader: Reader {
                actor: reader,
                fd: Fd(3),
                call: Call::Read,
                since: WAIT,
            },
            holders: others
                .chain([holder(reader.process.pid.0, Relation::Itself)])
                .collect(),
            timeline: forks.chain([read]).collect(),
            why: "the process that made the pipe has ended, and nobody else is to write.".into(),
            hint: "end all of them.".into(),
            ..race_hang()
        }
    };
    let another = Hang {
        id: 2,
        same_as: Some(1),
        ..hang(502, &workers)
    };
    let changed = Hang {
        time: WAIT.after(9 * SECOND),
        ..hang(501, &workers[..3])
    };
    let changed_too = Hang {
        id: 2,
        same_as: Some(1),
        time: WAIT.after(9 * SECOND),
        ..hang(502, &workers[..3])
    };
    let reports = [
        Finding::Hang(Box::new(hang(501, &workers))),
        Finding::Hang(Box::new(another)),
        Finding::Update(Box::new(changed)),
        Finding::Update(Box::new(changed_too)),
    ];
    let outside = workers
        .into_iter()
        .fold(Outside::default(), |outside, worker| {
            outside.with_cmdline(worker, &["/usr/bin/pool", "--workers", "4"])
        });
    (reports.map(Report::Finding).into(), outside)
}

/// A named FIFO, of which little history is known.
pub fn fifo() -> (Vec<Report>, Outside) {
    let hang = Hang {
        id: 3,
        same_as: None,
        time: WAIT.after(185 * SECOND),
        cause: Cause::Unknown,
        certainty: Certainty::Inferred,
        judged: true,
        reader: Reader {
            actor: actor(700, 700, "collector"),
            fd: Fd(5),
            call: Call::Read,
            since: WAIT,
        },
        channel: Channel {
            id: PipeId {
                dev: 25,
                inode: 1_184,
            },
            kind: Kind::Fifo,
            buffered: false,
            created: None,
        },
        holders: vec![Holder {
            process: process(650),
            parent: Pid(1),
            comm: Comm::from("launcher"),
            fds: vec![held(7, "rw", false)],
            relation: Relation::Unrelated,
            used: false,
            heir: false,
            execed: true,
            stopped: false,
            via: Via {
                kind: ViaKind::Exec,
                act: None,
            },
        }],
        timeline: vec![step(
            before(0, actor(700, 700, "collector"), None),
            What::Read(Call::Read),
            &[5],
        )],
        why: "launcher (pid 650) keeps the FIFO open for writing and has not written since \
              pipewatch came. How it opened it was not seen."
            .into(),
        hint: "open the FIFO for writing only while there is something to write.".into(),
        ..race_hang()
    };
    let outside = Outside {
        path: Some("/run/collector/events.fifo".into()),
        ..Outside::default()
    };
    (
        vec![
            Report::Finding(Finding::Hang(Box::new(hang))),
            Report::Finding(Finding::Resolved(Resolved {
                alarmed: true,
                id: 3,
                time: WAIT.after(7_800 * SECOND),
                outcome: Outcome::ReaderGone,
                blocked: 7_800 * SECOND,
                freed_by: None,
                reader: actor(700, 700, "collector"),
                fd: Fd(5),
            })),
            Report::Lost(Lost {
                time: WAIT.after(7_801 * SECOND),
                events: 1,
                rescanned: false,
            }),
        ],
        outside.with_cmdline(700, &["/usr/sbin/collector", "--label", "two words", ""]),
    )
}

/// The holders change: the first one left, its own child remains.
pub fn update() -> (Vec<Report>, Outside) {
    let mut changed = race_hang();
    let forked = Act {
        time: WAIT.after(4 * SECOND),
        actor: actor(25189, 25189, "python2.7"),
        stack: None,
    };
    changed.time = WAIT.after(12 * SECOND);
    changed.holders = vec![Holder {
        process: process(25_300),
        parent: Pid(1),
        relation: Relation::Unrelated,
        via: Via {
            kind: ViaKind::Fork,
            act: Some(forked),
        },
        ..changed.holders.remove(0)
    }];
    changed.why = "python2.7 (pid 25189) is gone, but had forked python2.7 (pid 25300), which has \
                   a copy of the same write end."
        .into();
    let mut nobody = changed.clone();
    nobody.time = WAIT.after(13 * SECOND);
    nobody.holders.clear();
    nobody.why = "the write end is open, but in no fd table any more.".into();
    (
        vec![
            Report::Finding(Finding::Update(Box::new(changed))),
            Report::Finding(Finding::Update(Box::new(nobody))),
        ],
        race_outside(),
    )
}

/// Several holders of all kinds, more than are told of at length.
pub fn holders() -> (Vec<Report>, Outside) {
    let mut hang = race_hang();
    let first = hang.holders[0].clone();
    let when = before(100, actor(25_190, 25_195, "worker"), Some(2));
    let via = |kind| Via {
        kind,
        act: Some(when),
    };
    hang.holders.push(Holder {
        process: process(25_190),
        comm: Comm::from("sh"),
        fds: vec![held(63, "w", false)],
        relation: Relation::Descendant,
        execed: true,
        via: via(ViaKind::Exec),
        ..first.clone()
    });
    hang.holders.push(Holder {
        process: process(912),
        parent: Pid(1),
        fds: (20..40).map(|fd| held(fd, "w", true)).collect(),
        relation: Relation::Itself,
        used: true,
        heir: false,
        via: via(ViaKind::Dup),
        ..first.clone()
    });
    hang.holders.push(Holder {
        process: process(880),
        parent: Pid(1),
        relation: Relation::Parent,
        via: Via {
            kind: ViaKind::Created,
            act: Some(when),
        },
        ..first.clone()
    });
    for (pid, relation) in [(25_200, Relation::Ancestor), (25_201, Relation::Sibling)] {
        hang.holders.push(Holder {
            process: process(pid),
            relation,
            ..first.clone()
        });
    }
    hang.timeline.insert(3, step(when, What::Exec, &[63]));
    hang.timeline.insert(
        4,
        step(before(50, when.actor, Some(2)), What::Dup, &[19, 20]),
    );
    (
        vec![Report::Finding(Finding::Hang(Box::new(hang)))],
        race_outside(),
    )
}

/// Names chosen to play tricks on whoever reads them.
pub fn hostile() -> (Vec<Report>, Outside) {
    let mut hang = race_hang();
    let mut not_utf8 = [0; 16];
    not_utf8[..6].copy_from_slice(b"a\xffb\x1b[m");
    hang.reader.actor.comm = Comm::new(not_utf8);
    hang.holders[0].comm = Comm::from("x\nHANG #2\t\u{202e}y");
    hang.channel.kind = Kind::Fifo;
    let frames = [in_module("f\u{1b}]0;owned\u{7}", "/tmp/\u{200b}lib.so", 0)];
    let mut outside = race_outside()
        .with_cmdline(
            912,
            &["python2.7", "-c", "print(1)\nprint('\u{1b}[2J')", "\\d"],
        )
        .with_cmdline(
            25189,
            &["java", &"-Xlong:option=é漢字\r".repeat(400), "Main"],
        )
        .with_thread(912, 934, "a\u{fffd}b\u{1b}[m")
        .with_thread(912, 921, "a\nb\u{202e}c")
        .with_stack(0, 934, &frames);
    outside.path = Some("/tmp/a\u{85}b \u{2028}c".into());
    (
        vec![Report::Finding(Finding::Hang(Box::new(hang)))],
        outside,
    )
}

pub fn fixtures() -> Vec<(&'static str, (Vec<Report>, Outside))> {
    vec![
        ("race", race()),
        ("fork", fork()),
        ("waiting", waiting()),
        ("fifo", fifo()),
        ("update", update()),
        ("holders", holders()),
        ("pool", pool()),
        ("hostile", hostile()),
    ]
}
