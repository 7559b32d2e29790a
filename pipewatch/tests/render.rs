//! What reports look like, for people and for programs.
//!
//! Each fixture is rendered at several widths and as NDJSON and compared with
//! the files in `tests/goldens`. `BLESS=1 cargo test -p pipewatch --test render`
//! renews them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::UNIX_EPOCH,
};

use pipewatch::{
    event::{Actor, Call, Kind, Mode},
    finding::{
        Act, Cause, Certainty, Channel, Confidence, Created, Details, Finding, FreedBy, FreedHow,
        Hang, HeldFd, Holder, Lost, Outcome, Reader, Reason, Relation, Report, Resolved, Started,
        Step, Stopped, Tally, Verdict, Via, ViaKind, What,
    },
    ids::{Comm, Fd, Ktime, Pid, PipeId, ProcKey, StackId, Tid},
    language::Language,
    render::{self, Format, Style},
    stack::{Frame, FrameKind, Sight, Sights},
};
use serde_json::Value;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// When the waits of the fixtures begin.
const WAIT: Ktime = Ktime(86_400 * SECOND);

// ---- what only the outside knows -------------------------------------------

#[derive(Default)]
struct Outside {
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
    fn with_cmdline(mut self, pid: u32, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        self.cmdlines.insert(Pid(pid), arguments.collect());
        self
    }

    fn with_cgroup(mut self, pid: u32, path: &str) -> Self {
        self.cgroups.insert(Pid(pid), path.to_owned());
        self
    }

    /// Where a thread was so many milliseconds before the wait.
    fn with_stack(mut self, milliseconds: u64, tid: u32, frames: &[Frame]) -> Self {
        self.sights.add(Sight::Act {
            time: Ktime(WAIT.0 - milliseconds * MS),
            tid: Tid(tid),
            frames: frames.to_vec(),
        });
        self
    }

    /// Where a process is.
    fn with_now(mut self, pid: u32, frames: &[Frame]) -> Self {
        let process = process(pid);
        let frames = frames.to_vec();
        self.sights.add(Sight::Now { process, frames });
        self
    }

    /// What a program is written in.
    fn with_language(mut self, pid: u32, language: Language) -> Self {
        self.languages.insert(Pid(pid), language);
        self
    }

    /// What a program calls its thread.
    fn with_thread(mut self, pid: u32, tid: u32, name: &str) -> Self {
        self.sights.add(Sight::Thread {
            process: process(pid),
            tid: Tid(tid),
            name: name.to_owned(),
        });
        self
    }
}

// ---- words for fixtures ------------------------------------------------------

fn process(pid: u32) -> ProcKey {
    ProcKey {
        pid: Pid(pid),
        start: u64::from(pid) * MS,
    }
}

fn actor(pid: u32, tid: u32, comm: &str) -> Actor {
    Actor {
        process: process(pid),
        tid: Tid(tid),
        comm: Comm::from(comm),
    }
}

/// An act so many milliseconds before the wait, with the stack of that number.
fn before(milliseconds: u64, actor: Actor, stack: Option<u32>) -> Act {
    Act {
        time: Ktime(WAIT.0 - milliseconds * MS),
        actor,
        stack: stack.map(StackId),
    }
}

fn step(act: Act, what: What, fds: &[u32]) -> Step {
    Step {
        act,
        what,
        fds: fds.iter().copied().map(Fd).collect(),
    }
}

fn held(fd: u32, mode: &str, cloexec: bool) -> HeldFd {
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

fn in_python(function: &str, file: &str, line: Option<u32>) -> Frame {
    Frame {
        kind: FrameKind::Python,
        function: Some(function.into()),
        file: Some(file.into()),
        line,
        ..Frame::default()
    }
}

fn in_module(function: &str, module: &str, address: u64) -> Frame {
    Frame {
        function: Some(function.into()),
        module: Some(module.into()),
        address: Some(address),
        ..Frame::default()
    }
}

// ---- fixtures -----------------------------------------------------------------

/// A thread in Popen, another one that forked meanwhile: the whole run.
fn race() -> (Vec<Report>, Outside) {
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
            events: 4_127,
            lost_events: 120,
            reason: Reason::Signal,
        }),
    ];
    (reports, outside)
}

/// The story: a thread is in `Popen`, and another one has started a `Process`.
fn race_outside() -> Outside {
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

fn race_hang() -> Hang {
    let popen = actor(912, 934, "pusher_keep_ali");
    let made = before(412, popen, Some(2));
    let forked = before(409, actor(912, 921, "updater"), Some(3));
    Hang {
        id: 1,
        time: WAIT.after(1_003 * MS),
        verdict: Verdict::Leaked,
        cause: Cause::ForkRace,
        confidence: Confidence::Certain,
        certainty: Certainty::Exact,
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
        hint: "fork before threads start, or close what is not needed in the child right after \
               the fork; close-on-exec acts at exec only. Now: ending pid 25189 lets the read \
               return."
            .into(),
    }
}

const ID: &str = "3f1c8e0b7a6d5c4b3a2918070605f4e3d2c1b0a9f8e7d6c5b4a3928170605f4e";
const UID: &str = "7f3b6a1e-2c4d-4e5f-8a9b-0c1d2e3f4a5b";

/// The article's bad case: one fork, a child that might still answer.
fn fork() -> (Vec<Report>, Outside) {
    let parent = actor(41_007, 41_007, "python3");
    let made = before(2_034, parent, None);
    let forked = before(2_031, parent, None);
    let hang = Hang {
        id: 1,
        time: WAIT.after(1_000 * MS),
        cause: Cause::Fork,
        confidence: Confidence::Likely,
        certainty: Certainty::Inferred,
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
fn waiting() -> (Vec<Report>, Outside) {
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
        limits: Vec::new(),
    });
    (
        vec![started, Report::Finding(Finding::Hang(Box::new(hang)))],
        Outside::default(),
    )
}

/// A named FIFO, of which little history is known.
fn fifo() -> (Vec<Report>, Outside) {
    let hang = Hang {
        id: 3,
        time: WAIT.after(185 * SECOND),
        cause: Cause::Unknown,
        certainty: Certainty::Inferred,
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
            heir: true,
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
fn update() -> (Vec<Report>, Outside) {
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
fn holders() -> (Vec<Report>, Outside) {
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
fn hostile() -> (Vec<Report>, Outside) {
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

fn fixtures() -> Vec<(&'static str, (Vec<Report>, Outside))> {
    vec![
        ("race", race()),
        ("fork", fork()),
        ("waiting", waiting()),
        ("fifo", fifo()),
        ("update", update()),
        ("holders", holders()),
        ("hostile", hostile()),
    ]
}

fn rendered(reports: &[Report], outside: &Outside, format: Format, style: &Style) -> String {
    let mut out = Vec::new();
    for report in reports {
        render::write(report, outside, format, style, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

fn text(reports: &[Report], outside: &Outside, width: usize) -> String {
    let style = Style {
        width,
        colour: false,
    };
    rendered(reports, outside, Format::Text, &style)
}

fn records(reports: &[Report], outside: &Outside) -> Vec<Value> {
    let style = Style {
        width: 0,
        colour: false,
    };
    let lines = rendered(reports, outside, Format::Json, &style);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

// ---- goldens -------------------------------------------------------------------

fn check_golden(file: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/goldens")
        .join(file);
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 makes it", path.display()));
    assert!(
        expected == actual,
        "{} differs; BLESS=1 renews it\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    );
}

#[test]
fn text_is_as_in_the_goldens() {
    for (name, (reports, outside)) in fixtures() {
        for width in [60, 80, 120] {
            check_golden(
                &format!("{name}.{width}.txt"),
                &text(&reports, &outside, width),
            );
        }
    }
}

#[test]
fn colours_are_as_in_the_golden() {
    let style = Style {
        width: 80,
        colour: true,
    };
    let (mut reports, outside) = race();
    reports.extend(fork().0);
    check_golden(
        "colour.txt",
        &rendered(&reports, &outside, Format::Text, &style),
    );
}

#[test]
fn ndjson_is_as_in_the_goldens() {
    for (name, (reports, outside)) in fixtures() {
        let style = Style {
            width: 80,
            colour: true,
        };
        let lines = rendered(&reports, &outside, Format::Json, &style);
        check_golden(&format!("{name}.ndjson"), &lines);
    }
}

#[test]
fn no_golden_is_left_over() {
    let expected: BTreeSet<String> = fixtures()
        .iter()
        .flat_map(|(name, _)| {
            ["60.txt", "80.txt", "120.txt", "ndjson"].map(|end| format!("{name}.{end}"))
        })
        .chain(["colour.txt".to_owned()])
        .collect();
    let found: BTreeSet<String> =
        fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
    assert_eq!(found.difference(&expected).next(), None);
}

// ---- text ------------------------------------------------------------------------

#[test]
fn no_line_is_longer_than_the_width_unless_a_single_word_is() {
    for (name, (reports, outside)) in fixtures() {
        for width in 40..=140 {
            for line in text(&reports, &outside, width).lines() {
                let columns = textwrap::core::display_width(line);
                assert!(
                    columns <= width || is_single_word(line),
                    "{name} at {width}: {columns} columns: {line:?}"
                );
            }
        }
    }
}

/// Whether a line has one word in its text column, whatever is left of it.
fn is_single_word(line: &str) -> bool {
    line.trim()
        .rsplit("  ")
        .next()
        .is_some_and(|last| !last.contains(' '))
        || line.split_whitespace().count() <= 2
}

#[test]
fn a_width_of_nothing_is_survived() {
    let (reports, outside) = race();
    assert_eq!(text(&reports, &outside, 0), text(&reports, &outside, 40));
}

#[test]
fn numbers_stay_with_their_units_and_names() {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    for (name, (reports, outside)) in fixtures() {
        for width in 40..=140 {
            let text = text(&reports, &outside, width);
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2) {
                let last = bare(pair[0].split(' ').next_back().unwrap_or_default());
                let first = bare(pair[1].split_whitespace().next().unwrap_or_default());
                let named = ["fd", "fds", "pid", "thread"].contains(&&*last) && is_number(&first);
                let counted = is_number(&last) && ["s", "ms", "min", "h", "ns"].contains(&&*first);
                assert!(!named && !counted, "{name} at {width}: {pair:?}");
            }
        }
    }
}

#[test]
fn only_printable_characters_are_shown() {
    for (name, (reports, outside)) in fixtures() {
        for width in [40, 80, 140] {
            let text = text(&reports, &outside, width);
            let odd = text.chars().find(|c| {
                c.is_control() && *c != '\n'
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{a0}')
            });
            assert_eq!(odd, None, "{name} at {width}");
        }
    }
}

#[test]
fn what_could_play_tricks_is_escaped_and_nothing_else() {
    let (reports, outside) = hostile();
    let text = text(&reports, &outside, 120);
    for shown in [
        r"x\nHANG #2\t\u{202e}y (pid 25189)",
        r"a�b\x1b[m",
        r"print(1)\nprint('\x1b[2J')",
        r"\d",
        r"f\x1b]0;owned\x07 (in \u{200b}lib.so)",
        r"thread 921 (a\nb\u{202e}c)",
        r"/tmp/a\u{85}b \u{2028}c",
        "é漢字",
    ] {
        assert!(text.contains(shown), "{shown} is missing in\n{text}");
    }
}

#[test]
fn a_long_command_line_is_shortened_in_its_middle() {
    let (reports, outside) = hostile();
    for width in 40..=140 {
        let text = text(&reports, &outside, width);
        let line = text.lines().find(|line| line.contains("java")).unwrap();
        assert!(line.contains('…') && line.ends_with(" Main"), "{line:?}");
    }
}

fn resolved_line(width: usize, change: impl FnOnce(&mut Resolved)) -> String {
    let mut resolved = Resolved {
        alarmed: true,
        id: 7,
        time: WAIT,
        outcome: Outcome::Eof,
        blocked: 8 * SECOND,
        freed_by: Some(FreedBy {
            pid: Pid(25189),
            comm: Comm::from("python3"),
            how: FreedHow::Close,
        }),
        reader: actor(912, 934, "pusher_keep_ali"),
        fd: Fd(18),
    };
    change(&mut resolved);
    text(
        &[Report::Finding(Finding::Resolved(resolved))],
        &Outside::default(),
        width,
    )
}

#[test]
fn durations_are_for_people() {
    let cases = [
        (0, "0 µs"),
        (52_999, "52 µs"),
        (MS, "1 ms"),
        (850 * MS, "850 ms"),
        (SECOND - 1, "999 ms"),
        (SECOND, "1.0 s"),
        (9_990 * MS, "9.9 s"),
        (12_700 * MS, "12 s"),
        (59 * SECOND, "59 s"),
        (185 * SECOND, "3 min 5 s"),
        (7_800 * SECOND, "2 h 10 min"),
        (90_000 * SECOND, "1 d 1 h"),
        (u64::MAX, "213503 d 23 h"),
    ];
    for (nanoseconds, expected) in cases {
        let line = resolved_line(200, |resolved| resolved.blocked = nanoseconds);
        assert!(
            line.starts_with(&format!("RESOLVED #7 after {expected}: ")),
            "{line}"
        );
    }
}

#[test]
fn resolved_is_one_line_that_says_as_much_as_fits() {
    let widths = [
        (
            140,
            "RESOLVED #7 after 8.0 s: end of file, python3 (pid 25189) closed its copy; \
               thread 934 (pusher_keep_ali) of pid 912 no longer waits for fd 18\n",
        ),
        (
            80,
            "RESOLVED #7 after 8.0 s: end of file, python3 (pid 25189) closed its copy\n",
        ),
        (
            60,
            "RESOLVED #7 after 8.0 s: end of file, pid 25189 closed it\n",
        ),
        (40, "RESOLVED #7 after 8.0 s: end of file\n"),
    ];
    for (width, expected) in widths {
        assert_eq!(resolved_line(width, |_| ()), expected);
    }
}

#[test]
fn resolved_tells_every_outcome_and_act() {
    let outcomes = [
        (Outcome::Eof, "end of file"),
        (Outcome::Data, "somebody wrote after all"),
        (Outcome::Interrupted, "interrupted"),
        (Outcome::ReaderGone, "the reader has ended"),
    ];
    for (outcome, words) in outcomes {
        let line = resolved_line(80, |resolved| {
            resolved.outcome = outcome;
            resolved.freed_by = None;
        });
        assert!(line.contains(words), "{line}");
    }
    let acts = [
        (FreedHow::Close, "closed"),
        (FreedHow::Exit, "ended"),
        (FreedHow::Exec, "ran another"),
    ];
    for (how, words) in acts {
        let line = resolved_line(80, |resolved| {
            resolved.freed_by.as_mut().unwrap().how = how;
        });
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn stopped_tells_every_reason_in_one_line_of_80() {
    let reasons = [
        (Reason::Signal, "signal"),
        (Reason::Duration, "time"),
        (Reason::Hang, "first hang"),
        (Reason::Ended, "ended"),
    ];
    for (reason, word) in reasons {
        let stopped = Stopped {
            time: WAIT,
            tally: Tally {
                hangs: 2,
                resolved: 1,
                answered: 1,
            },
            events: 12_345,
            lost_events: 0,
            reason,
        };
        let line = text(&[Report::Stopped(stopped)], &Outside::default(), 80);
        assert!(
            line.contains(word) && line.contains("by an answer"),
            "{line}"
        );
        assert!(line.lines().count() <= 2, "{line}");
    }
}

// ---- NDJSON ------------------------------------------------------------------------

fn assert_fields(object: &Value, names: &str) {
    let expected: BTreeSet<&str> = names.split_whitespace().collect();
    let found = object.as_object().unwrap().keys().map(String::as_str);
    assert_eq!(found.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn every_record_has_the_fields_of_the_contract() {
    for (_, (reports, outside)) in fixtures() {
        for record in records(&reports, &outside) {
            assert_record(&record);
        }
    }
}

fn assert_record(record: &Value) {
    match record["type"].as_str().unwrap() {
        "started" => assert_fields(
            record,
            "type time schema version kernel arch backend watching threshold_ms limits",
        ),
        "hang" | "update" => assert_hang(record),
        "resolved" => assert_fields(record, "type time id outcome blocked_ms freed_by"),
        "lost" => assert_fields(record, "type time events rescanned"),
        "stopped" => assert_fields(
            record,
            "type time hangs resolved open events lost_events reason",
        ),
        // Of `pipewatch release`.
        "released" => assert_fields(
            record,
            "type time pid comm fd stand_in pipe went_on readers holders",
        ),
        other => panic!("{other}"),
    }
    let time = record["time"].as_str().unwrap();
    assert_eq!(time.len(), "2026-11-23T04:11:10.117331Z".len(), "{time}");
    humantime::parse_rfc3339(time).unwrap();
}

fn assert_hang(record: &Value) {
    assert_fields(
        record,
        "type time id verdict cause confidence certainty reader pipe holders timeline why hint",
    );
    assert_fields(
        &record["reader"],
        "pid tid comm thread_name cmdline cgroup container pod fd call blocked_ms stack",
    );
    assert_fields(&record["pipe"], "inode kind path buffered created");
    if !record["pipe"]["created"].is_null() {
        assert_fields(
            &record["pipe"]["created"],
            "time pid tid comm thread_name cgroup container pod fds stack",
        );
    }
    for holder in record["holders"].as_array().unwrap() {
        assert_fields(
            holder,
            "pid ppid comm cmdline cgroup container pod fds relation used execed via stack",
        );
        assert_fields(
            &holder["via"],
            "kind time pid tid comm thread_name cgroup container pod stack",
        );
        for held in holder["fds"].as_array().unwrap() {
            assert_fields(held, "fd mode cloexec");
        }
    }
    for step in record["timeline"].as_array().unwrap() {
        let child = if step["what"] == "fork" { "child" } else { "" };
        assert_fields(
            step,
            &format!("time pid tid comm thread_name what fds stack {child}"),
        );
    }
    for frame in record["reader"]["stack"].as_array().unwrap() {
        assert_fields(frame, "kind function file line module address");
    }
}

#[test]
fn every_fact_is_in_the_record() {
    let (reports, outside) = race();
    let all = records(&reports, &outside);
    assert_eq!(all[0]["schema"], "pipewatch/1");
    assert_eq!(all[0]["watching"]["pids"], serde_json::json!([912]));
    let hang = &all[1];
    assert_eq!(hang["time"], "2026-11-23T04:11:11.120331Z");
    assert_eq!(hang["reader"]["blocked_ms"], 1_003);
    assert_eq!(hang["reader"]["stack"][3]["line"], 1_025);
    assert_eq!(hang["reader"]["stack"][3]["kind"], "python");
    assert_eq!(hang["reader"]["thread_name"], "pusher_keep_alive");
    assert_eq!(hang["holders"][0]["stack"][0]["line"], 17);
    assert_eq!(hang["reader"]["stack"][1]["address"], "0x55d04a1120c4");
    assert_eq!(hang["pipe"]["buffered"], 0);
    assert_eq!(hang["holders"][0]["fds"][1]["mode"], "w");
    assert_eq!(hang["holders"][0]["via"]["tid"], 921);
    assert_eq!(hang["timeline"][1]["child"], 25_189);
    assert_eq!(all[4]["open"], 0);
    let (reports, outside) = waiting();
    assert_eq!(records(&reports, &outside)[0]["watching"], "all");
}

#[test]
fn the_unknown_is_null_and_bytes_survive_as_text() {
    let (reports, outside) = fifo();
    let hang = &records(&reports, &outside)[0];
    assert_eq!(hang["pipe"]["kind"], "fifo");
    assert_eq!(hang["pipe"]["path"], "/run/collector/events.fifo");
    assert_eq!(hang["pipe"]["created"], Value::Null);
    assert_eq!(hang["holders"][0]["cmdline"], Value::Null);
    assert_eq!(hang["holders"][0]["via"]["time"], Value::Null);
    assert_eq!(hang["holders"][0]["fds"][0]["mode"], "rw");
    let (reports, outside) = hostile();
    let hang = &records(&reports, &outside)[0];
    assert_eq!(hang["reader"]["comm"], "a\u{fffd}b\u{1b}[m");
    assert_eq!(hang["holders"][0]["comm"], "x\nHANG #2\t\u{202e}y");
}

#[test]
fn advice_fits_cause_and_language() {
    let advised = |verdict, cause, language, words: &str| {
        let mut hang = race_hang();
        (hang.verdict, hang.cause) = (verdict, cause);
        let outside = Outside::default().with_language(912, language);
        let plain = hang.hint.clone();
        let reports = [Report::Finding(Finding::Hang(Box::new(hang)))];
        let hint = records(&reports, &outside)[0]["hint"].clone();
        let hint = hint.as_str().unwrap();
        let advice = hint.strip_prefix(&plain).unwrap();
        assert!(advice.contains(words), "{hint}");
        assert_eq!(advice.is_empty(), words.is_empty(), "{hint}");
    };
    use Cause::{Dup, Exec, Fork, ForkRace};
    use Language::{Compiled, Go, Node, Python};
    use Verdict::{Leaked, Orphaned, SelfHeld};
    advised(Leaked, ForkRace, Python, "before threads");
    advised(Leaked, Fork, Compiled, "posix_spawn");
    advised(Leaked, Fork, Go, "");
    advised(Leaked, Exec, Python, "close_fds");
    advised(Leaked, Exec, Compiled, "O_CLOEXEC");
    advised(Leaked, Exec, Node, "stdio");
    advised(Leaked, Dup, Python, "");
    advised(Orphaned, Exec, Go, "WaitDelay");
    advised(Orphaned, Exec, Node, "detached");
    advised(Orphaned, Exec, Python, "DEVNULL");
    advised(SelfHeld, Fork, Python, "");
}

#[test]
fn bytes_in_the_pipe_are_counted_only_if_there_are_none() {
    let mut hang = race_hang();
    hang.channel.buffered = true;
    let reports = [Report::Finding(Finding::Hang(Box::new(hang)))];
    assert_eq!(
        records(&reports, &Outside::default())[0]["pipe"]["buffered"],
        Value::Null
    );
}

// ---- documentation -------------------------------------------------------------------

/// The fenced blocks of docs/output.md in one language.
fn documented(language: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/output.md");
    let document = fs::read_to_string(path).unwrap();
    document
        .split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn documented_records_have_the_fields_of_the_contract() {
    let examples = documented("json");
    let types: BTreeSet<String> = examples
        .iter()
        .map(|example| {
            let record: Value = serde_json::from_str(example).unwrap();
            assert_record(&record);
            record["type"].as_str().unwrap().to_owned()
        })
        .collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let expected = ["hang", "lost", "released", "resolved", "started", "stopped"];
    assert_eq!(types, expected);
}

#[test]
fn documented_text_is_what_is_rendered() {
    let examples = documented("text");
    for (reports, outside) in [race(), update(), waiting()] {
        let text = text(&reports, &outside, 80);
        assert!(
            examples.iter().any(|example| text.contains(example)),
            "docs/output.md shows nothing of\n{text}"
        );
    }
}
