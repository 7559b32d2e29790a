//! A race like the one of the demo, whose names can be changed, and what the page says
//! of it and of others.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::{
    lanes::{End, Lanes, Line},
    *,
};
use crate::{
    event::{Actor, Call, Kind, Mode},
    finding::{
        Act, Cause, Certainty, Channel, Confidence, Created, FreedBy, FreedHow, HeldFd, Holder,
        Lost, Outcome, Reader, Reason, Relation, Step, Tally, Via, ViaKind, Waits, What,
    },
    ids::{Comm, Fd, Pid, PipeId, ProcKey, Tid},
    language::Language,
    stack::{Frame, Sight, Sights},
};

const MS: u64 = 1_000_000;
/// When the wait begins.
const WAIT: Ktime = Ktime(1_000_000 * MS);

/// What others decide: all of it is this word.
struct Outside {
    word: String,
    sights: Sights,
}

impl Outside {
    fn new(word: &str) -> Self {
        let frame = Frame {
            function: Some(word.to_owned()),
            file: Some(format!("/{word}")),
            line: Some(7),
            module: Some(format!("/lib/{word}")),
            ..Frame::default()
        };
        let process = process(7);
        let mut sights = Sights::default();
        sights.add(Sight::Act {
            time: WAIT,
            tid: Tid(8),
            frames: vec![frame.clone()],
        });
        sights.add(Sight::Now {
            process: self::process(20),
            frames: vec![frame],
        });
        sights.add(Sight::Thread {
            process,
            tid: Tid(8),
            name: word.to_owned(),
        });
        Self {
            word: word.to_owned(),
            sights,
        }
    }
}

impl Details for Outside {
    fn cmdline(&self, _: ProcKey) -> Option<Vec<String>> {
        Some(vec![format!("/bin/{}", self.word), self.word.clone()])
    }

    fn cgroup(&self, _: ProcKey) -> Option<String> {
        None
    }

    fn language(&self, _: ProcKey) -> Option<Language> {
        Some(Language::Compiled)
    }

    fn sights(&self) -> &Sights {
        &self.sights
    }

    fn path(&self, _: ProcKey, _: Fd) -> Option<String> {
        Some(format!("/tmp/{}", self.word))
    }

    fn wall(&self, time: Ktime) -> u64 {
        1_700_000_000_000 * MS + time.0
    }
}

fn process(pid: u32) -> ProcKey {
    ProcKey {
        pid: Pid(pid),
        start: 1,
    }
}

fn actor(pid: u32, tid: u32, comm: &str) -> Actor {
    Actor {
        process: process(pid),
        tid: Tid(tid),
        comm: Comm::from(comm),
    }
}

/// So many milliseconds from the begin of the wait.
fn at(milliseconds: i64, actor: Actor) -> Act {
    let time = WAIT.0.saturating_add_signed(milliseconds * 1_000_000);
    Act {
        time: Ktime(time),
        actor,
        stack: None,
    }
}

fn step(act: Act, what: What, fds: &[u32]) -> Step {
    let fds = fds.iter().copied().map(Fd).collect();
    Step { act, what, fds }
}

fn holder(pid: u32, comm: &str, fds: &[(u32, bool)], act: Act) -> Holder {
    let held = |&(fd, write): &(u32, bool)| HeldFd {
        fd: Fd(fd),
        mode: Mode {
            read: !write,
            write,
        },
        cloexec: false,
    };
    Holder {
        process: process(pid),
        parent: Pid(7),
        comm: Comm::from(comm),
        fds: fds.iter().map(held).collect(),
        relation: Relation::Child,
        used: false,
        heir: true,
        execed: false,
        stopped: false,
        via: Via {
            kind: ViaKind::Fork,
            act: Some(act),
        },
    }
}

/// Thread 8 of process 7 makes a pipe and waits; thread 9 forks process 20 meanwhile.
fn race(id: WaitId, name: &str) -> Hang {
    let (maker, forker) = (actor(7, 8, name), actor(7, 9, name));
    let (made, forked) = (at(-9, maker), at(-5, forker));
    Hang {
        id,
        same_as: None,
        time: WAIT.after(1_000 * MS),
        verdict: Verdict::Leaked,
        cause: Cause::ForkRace,
        confidence: Confidence::Certain,
        certainty: Certainty::Exact,
        judged: true,
        reader: Reader {
            actor: maker,
            fd: Fd(3),
            call: Call::Read,
            since: WAIT,
        },
        channel: Channel {
            id: PipeId { dev: 1, inode: 99 },
            kind: Kind::Fifo,
            buffered: false,
            created: Some(Created {
                act: made,
                fds: [Fd(3), Fd(4)],
            }),
        },
        holders: vec![holder(20, name, &[(3, false), (4, true)], forked)],
        timeline: vec![
            step(made, What::Pipe, &[3, 4]),
            step(forked, What::Fork { child: Pid(20) }, &[3, 4]),
            step(at(-1, maker), What::Close, &[4]),
            step(at(0, maker), What::Read(Call::Read), &[3]),
        ],
        why: format!("{name} has it"),
        hint: format!("end {name}"),
    }
}

fn hung(hang: Hang) -> Report {
    Report::Finding(Finding::Hang(Box::new(hang)))
}

fn updated(hang: Hang) -> Report {
    Report::Finding(Finding::Update(Box::new(hang)))
}

fn resolution(id: WaitId) -> Resolved {
    Resolved {
        id,
        time: WAIT.after(4_000 * MS),
        outcome: Outcome::Eof,
        blocked: 4_000 * MS,
        freed_by: Some(FreedBy {
            pid: Pid(20),
            comm: Comm::from("updater"),
            how: FreedHow::Exit,
        }),
        reader: actor(7, 8, "starter"),
        fd: Fd(3),
        alarmed: true,
    }
}

fn resolved(id: WaitId) -> Report {
    Report::Finding(Finding::Resolved(resolution(id)))
}

fn started() -> Report {
    Report::Started(Started {
        time: Ktime(WAIT.0 - 2_000 * MS),
        version: "0.1.0".to_owned(),
        kernel: "6.1".to_owned(),
        arch: "x86_64".to_owned(),
        backend: "kprobe".to_owned(),
        watching: None,
        threshold: 1_000 * MS,
        hides: false,
        limits: vec!["a limit".to_owned()],
    })
}

fn stopped() -> Report {
    Report::Stopped(Stopped {
        time: WAIT.after(9_000 * MS),
        tally: Tally::default(),
        waits: Waits::default(),
        events: 5,
        lost_events: 0,
        hides: false,
        reason: Reason::Signal,
    })
}

fn document(reports: impl IntoIterator<Item = Report>, word: &str) -> Document {
    let outside = Outside::new(word);
    let mut document = Document::default();
    for report in reports {
        document.take(&report, &outside);
    }
    document
}

fn page(reports: impl IntoIterator<Item = Report>) -> String {
    document(reports, "word").page()
}

/// All tags, without what stands in them and between them.
fn tags(page: &str) -> Vec<&str> {
    let tags = page.split('<').skip(1);
    tags.map(|tag| tag.split([' ', '>']).next().unwrap_or_default())
        .collect()
}

fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let values = page.split(attribute).skip(1);
    values.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn all_of_a_report_is_on_the_page() {
    let page = page([started(), hung(race(1, "updater")), resolved(1), stopped()]);
    for text in [
        "1 hang, resolved",
        "every process of this host",
        "a limit",
        "pid 7 gets no end of file from read(3): updater (pid 20) holds the write end, fd 4",
        "resolved after 4.0 s: end of file, updater (pid 20) ended",
        "fork-race",
        "updater has it",
        "end updater In C or Rust: ",
        "FIFO /tmp/word, inode 99",
        "inherited by fork, made by thread 9 (updater) of pid 7, 4.0 ms after the pipe was made",
        "/bin/word word",
        "<code>word</code> <span class=\"place\">/word:7</span>",
        // The text for a terminal.
        "HANG #1: pid 7",
        "RESOLVED #1 after 4.0 s",
        "stopped after 11 s by a signal",
    ] {
        assert!(page.contains(text), "no {text:?} in {page}");
    }
}

#[test]
fn links_lead_to_what_is_there_once() {
    let mut many = race(2, "updater");
    many.holders
        .push(holder(21, "other", &[(5, true)], at(-4, actor(7, 9, "x"))));
    let reports = [hung(race(1, "updater")), hung(many), resolved(2), stopped()];
    let page = page(reports);
    assert_links(&page);
    assert!(page.contains("\"#hang-1-read\"") && page.contains("\"#hang-2-holder-2\""));
}

/// Each link leads to something, and what is there has a name of its own.
fn assert_links(page: &str) {
    let names = values(page, " id=\"");
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "{names:?}");
    for link in values(page, " href=\"") {
        let name = link.strip_prefix('#').expect("a link within the page");
        assert!(unique.contains(name), "{link} leads nowhere");
    }
}

#[test]
fn names_of_others_are_only_text() {
    let plain = page([hung(race(1, "updater")), resolved(1)]);
    for word in [
        "<script>a()</script>",
        "\"><svg onload=a()>",
        "' onfocus='a()' '",
        "</style></pre>",
        "]]>--><!--",
        "&lt;b&gt;&#x3c;",
        "a\0\u{1b}[2J\r\n\t\u{9b}\u{202e}\u{2028}\u{feff}\u{fffd}",
    ] {
        let comm: String = word.chars().take(5).collect();
        let reports = [hung(race(1, &comm)), resolved(1)];
        let page = document(reports, word).page();
        assert_eq!(tags(&page), tags(&plain), "{word:?}");
        let odd = |c: &char| {
            c.is_control() && *c != '\n' || matches!(c, '\u{202e}' | '\u{2028}' | '\u{feff}')
        };
        assert_eq!(page.chars().find(odd), None, "{word:?}");
        let attributes = |page: &str| page.matches("=\"").count();
        assert_eq!(attributes(&page), attributes(&plain), "{word:?}");
    }
}

#[test]
fn a_run_without_hangs_says_so() {
    let mut healthy = race(1, "updater");
    healthy.verdict = Verdict::Waiting;
    let reports = [started(), hung(healthy), resolved(1)];
    assert!(page(reports.clone()).contains("nothing hangs so far"));
    let page = page(reports.into_iter().chain([stopped()]));
    assert!(page.contains("nothing hung"), "{page}");
    assert!(!page.contains("class=\"hang\""), "{page}");
}

#[test]
fn what_is_still_open_lasts_until_the_run_ends() {
    let reports = [started(), hung(race(1, "updater"))];
    let early = page(reports.clone());
    assert!(early.contains("1 hang, 1 still open") && early.contains("still waits, 1.0 s"));
    assert!(early.contains("still watching"));
    let page = page(reports.into_iter().chain([stopped()]));
    assert!(page.contains("1 hang, 1 still open"), "{page}");
    assert!(page.contains("still waits, 9.0 s"), "{page}");
}

#[test]
fn updates_and_losses_are_told() {
    let mut other = race(1, "updater");
    other.holders = vec![holder(
        21,
        "other",
        &[(4, true)],
        at(-3, actor(20, 20, "x")),
    )];
    let lost = Report::Lost(Lost {
        time: WAIT.after(1_500 * MS),
        events: 12,
        rescanned: true,
    });
    let first = || hung(race(1, "updater"));
    let updates = [updated(race(1, "updater")), updated(other.clone())];
    let page_ = page([first(), lost].into_iter().chain(updates));
    for text in [
        "12 events",
        "UPDATE #1",
        "(1 update is left out)",
        "other (pid 21)",
    ] {
        assert!(page_.contains(text), "no {text:?} in {page_}");
    }
    other.verdict = Verdict::Waiting;
    assert!(page([first(), updated(other)]).contains("healthy after all"));
}

#[test]
fn what_is_open_and_the_last_hangs_are_kept() {
    let open = [hung(race(1, "updater"))];
    let over = (2..=251).flat_map(|id| [hung(race(id, "updater")), resolved(id)]);
    let page = page(open.into_iter().chain(over));
    assert_eq!(page.matches("<section class=\"hang\"").count(), HANGS);
    assert!(page.contains("51 hangs are left out"));
    let has = |id: WaitId| page.contains(&format!("id=\"hang-{id}\""));
    assert!(has(1) && has(251) && !has(2) && !has(52) && has(53));
    assert!(page.contains("251 hangs, 1 still open"));
}

#[test]
fn hangs_with_much_to_tell_take_limited_room() {
    let mut crowd = race(0, "updater");
    let forker = actor(7, 9, "updater");
    // The forks of those that have a lane are in the middle.
    for pid in 21..400 {
        let forked = at(-4, forker);
        crowd
            .holders
            .push(holder(pid, "idle", &[(4, true)], forked));
        let fork = step(forked, What::Fork { child: Pid(pid) }, &[4]);
        let end = crowd.timeline.len() - 2;
        crowd
            .timeline
            .insert(if pid % 2 == 0 { 2 } else { end }, fork);
    }
    let hangs = (1..=250).map(|id| {
        hung(Hang {
            id,
            ..crowd.clone()
        })
    });
    let document = document(hangs, &"word ".repeat(200));
    let page = document.page();
    assert!(page.len() < BYTES + (1 << 20), "{} bytes", page.len());
    assert_links(&page);
    let kept = document.hangs.len();
    assert!((10..50).contains(&kept), "{kept}");
    assert!(page.contains("more processes hold the write end"));
    assert!(page.contains("more events are in the list below"));
}

/// A line as `fd MODE first-last end`.
fn line(line: &Line) -> String {
    let fd = line.fd.map_or("?".to_owned(), |fd| fd.to_string());
    let mode = if line.mode.write { "w" } else { "r" };
    let begin = if line.seen_to_begin { "" } else { "?" };
    let end = match line.end {
        End::Open => "",
        End::Closed => "x",
        End::Unseen(_) => "?",
    };
    format!("{fd}{mode} {begin}{}-{}{end}", line.first, line.last)
}

fn lines(lanes: &Lanes) -> Vec<(u32, Vec<String>)> {
    let lines = |process: &lanes::Process| process.ends_held.iter().map(line).collect();
    let processes = lanes.processes.iter();
    processes
        .map(|process| (process.pid.0, lines(process)))
        .collect()
}

fn expect(lanes: &Lanes, expected: &[(u32, &[&str])]) {
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let expected: Vec<(u32, Vec<String>)> = expected
        .iter()
        .map(|(pid, lines)| (*pid, owned(lines)))
        .collect();
    assert_eq!(lines(lanes), expected);
}

#[test]
fn ends_live_from_the_pipe_or_the_fork_to_the_close() {
    let hang = race(1, "updater");
    let lanes = Lanes::new(&hang, None, WAIT.after(9_000 * MS));
    expect(
        &lanes,
        &[(7, &["3r 0-5", "4w 0-2x"]), (20, &["3r 1-5", "4w 1-5"])],
    );
    assert_eq!((lanes.told, lanes.last), (4, 5));
    let lanes = Lanes::new(&hang, Some(&resolution(1)), WAIT);
    expect(
        &lanes,
        &[(7, &["3r 0-5", "4w 0-2x"]), (20, &["3r 1-5x", "4w 1-5x"])],
    );
    assert!(lanes.freed.is_some() && lanes.processes[1].ends);
    // Somebody else was the last.
    let resolved = Resolved {
        freed_by: None,
        ..resolution(1)
    };
    let lanes = Lanes::new(&hang, Some(&resolved), WAIT);
    expect(
        &lanes,
        &[(7, &["3r 0-5", "4w 0-2x"]), (20, &["3r 1-5", "4w 1-4?"])],
    );
    assert_eq!(lanes.freed, None);
}

/// A shell that redirects its output and leaves a command in the background.
fn orphan(held: &[u32]) -> Hang {
    let (reader, shell) = (actor(7, 7, "sh"), actor(20, 20, "sh"));
    let sleep = actor(21, 21, "sleep");
    let fds: Vec<(u32, bool)> = held.iter().map(|fd| (*fd, true)).collect();
    let executed = at(1, sleep);
    Hang {
        reader: Reader {
            actor: reader,
            ..race(1, "sh").reader
        },
        holders: vec![holder(21, "sleep", &fds, executed)],
        timeline: vec![
            step(at(-9, reader), What::Pipe, &[3, 4]),
            step(at(-8, reader), What::Fork { child: Pid(20) }, &[]),
            step(at(-7, reader), What::Close, &[4]),
            step(at(-6, shell), What::Dup, &[]),
            step(at(-5, shell), What::Fork { child: Pid(21) }, &[]),
            step(at(0, reader), What::Read(Call::Read), &[3]),
            step(executed, What::Exec, held),
        ],
        ..race(1, "sh")
    }
}

#[test]
fn a_duplicate_has_the_number_that_it_is_handed_on_with() {
    let shells = ["3r 1-4?", "4w 1-4?", "1w 3-4?"];
    let lanes = Lanes::new(&orphan(&[1]), None, WAIT);
    expect(
        &lanes,
        &[
            (7, &["3r 0-7", "4w 0-2x"]),
            (20, &shells),
            (21, &["3r 4-4?", "4w 4-4?", "1w 4-7"]),
        ],
    );
    // Which of the two it is, nobody knows.
    let lanes = Lanes::new(&orphan(&[1, 2]), None, WAIT);
    let (_, last) = lines(&lanes).pop().expect("a process");
    assert_eq!(
        last,
        ["3r 4-4?", "4w 4-4?", "?w 4-4?", "1w ?6-7", "2w ?6-7"]
    );
}

#[test]
fn a_reader_that_was_forked_has_what_it_reads_and_perhaps_the_rest() {
    let (shell, reader) = (actor(7, 7, "sh"), actor(30, 30, "cat"));
    let forked = at(-8, shell);
    let hang = Hang {
        reader: Reader {
            actor: reader,
            fd: Fd(0),
            ..race(1, "sh").reader
        },
        holders: vec![holder(20, "sleep", &[(4, true)], forked)],
        timeline: vec![
            step(at(-9, shell), What::Pipe, &[3, 4]),
            step(forked, What::Fork { child: Pid(20) }, &[4]),
            step(at(-7, shell), What::Fork { child: Pid(30) }, &[]),
            step(at(-6, shell), What::Close, &[4]),
            step(at(0, reader), What::Read(Call::Read), &[0]),
        ],
        ..race(1, "sh")
    };
    expect(
        &Lanes::new(&hang, None, WAIT),
        &[
            (7, &["3r 0-2?", "4w 0-3x"]),
            (20, &["4w 1-5"]),
            (30, &["3r 2-2?", "4w 2-2?", "0r ?4-5"]),
        ],
    );
}

#[test]
fn what_was_there_before_is_open_to_the_left() {
    let mut hang = race(1, "updater");
    hang.channel.created = None;
    hang.timeline.drain(..3);
    hang.holders[0].via.act = None;
    let lanes = Lanes::new(&hang, None, WAIT);
    expect(&lanes, &[(7, &["3r ?0-1"]), (20, &["3r ?1-1", "4w ?1-1"])]);
    assert_eq!(lanes.made, None);
    hang.verdict = Verdict::InFlight;
    hang.holders.clear();
    let lanes = Lanes::new(&hang, None, WAIT);
    expect(&lanes, &[(7, &["3r ?0-1"]), (0, &["?w ?1-1"])]);
}

#[test]
fn a_socket_that_is_not_read_is_written_to() {
    let mut hang = race(1, "updater");
    hang.timeline[0].what = What::Socketpair;
    let maker = |hang: &Hang| lines(&Lanes::new(hang, None, WAIT)).remove(0).1;
    assert_eq!(maker(&hang), ["3r 0-4", "4w 0-2x"]);
}

/// The policy lets no style apply but the one with this hash.
#[test]
fn the_policy_permits_the_style() {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hash = Sha256::digest(STYLE.as_bytes());
    let base64: String = hash
        .chunks(3)
        .flat_map(|bytes| {
            let bits = bytes
                .iter()
                .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            let bits = bits << (8 * (3 - bytes.len()));
            let digit = move |place: usize| char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            (0..4).map(move |place| {
                if place <= bytes.len() {
                    digit(place)
                } else {
                    '='
                }
            })
        })
        .collect();
    assert!(
        POLICY.contains(&format!("'sha256-{base64}'")),
        "it is {base64}"
    );
}
