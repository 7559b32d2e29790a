//! What reports look like, for people and for programs.
//!
//! Each fixture is rendered at several widths and as NDJSON and compared with
//! the files in `tests/goldens`. `BLESS=1 cargo test -p pipewatch --test render`
//! renews them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixtures;
mod top;

use std::{collections::BTreeSet, fs, path::PathBuf};

use pipewatch::{
    finding::{
        Cause, Finding, FreedBy, FreedHow, Hang, Holder, Outcome, Reason, Report, Resolved,
        Started, Stopped, Tally, Verdict, Waits,
    },
    ids::{Comm, Fd, Pid},
    language::Language,
    render::{self, Format, Style},
};
use serde_json::Value;

use self::fixtures::*;

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
        (MS, "1.0 ms"),
        (10 * MS - 1, "9.9 ms"),
        (10 * MS, "10 ms"),
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
        (Reason::Ended, "all watched"),
        (Reason::CommandEnded, "the command"),
    ];
    for (reason, word) in reasons {
        let stopped = Stopped {
            time: WAIT,
            tally: Tally {
                hangs: 2,
                resolved: 1,
                answered: 1,
            },
            waits: Waits::default(),
            events: 12_345,
            lost_events: 0,
            hides: false,
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

#[test]
fn the_end_tells_of_waits_that_are_no_hangs() {
    let told = |reason, open, unjudged, hides| {
        let stopped = Stopped {
            time: WAIT,
            tally: Tally::default(),
            waits: Waits { open, unjudged },
            events: 5,
            lost_events: 0,
            hides,
            reason,
        };
        text(&[Report::Stopped(stopped)], &Outside::default(), 200)
    };
    for (open, unjudged, words) in [
        (0, 0, "0 hangs\n"),
        (1, 0, "0 hangs; 1 wait looks healthy\n"),
        (3, 0, "0 hangs; 3 waits look healthy\n"),
        (
            3,
            1,
            "0 hangs; 2 waits look healthy, 1 cannot be judged (-v tells why)\n",
        ),
        (1, 1, "0 hangs; 1 wait cannot be judged (-v tells why)\n"),
        (2, 2, "0 hangs; 2 waits cannot be judged (-v tells why)\n"),
    ] {
        let looked = told(Reason::Looked, open, unjudged, false);
        assert_eq!(looked, format!("STOPPED after one look: {words}"));
    }
    assert_eq!(
        told(Reason::Signal, 1, 0, false),
        "STOPPED by a signal: 0 hangs, 0 resolved, 0 open; 1 wait looks healthy; 5 events, 0 \
         lost\n"
    );
    assert_eq!(
        told(Reason::Looked, 0, 0, true),
        "STOPPED after one look: 0 hangs among the processes that may be looked into\n"
    );
}

#[test]
fn who_may_not_look_everywhere_does_not_say_so() {
    let started = |hides| {
        let started = Started {
            time: WAIT,
            version: String::new(),
            kernel: String::new(),
            arch: String::new(),
            backend: "procfs".to_owned(),
            watching: None,
            threshold: 1_000_000_000,
            hides,
            limits: Vec::new(),
        };
        text(&[Report::Started(started)], &Outside::default(), 80)
    };
    assert!(started(false).starts_with("WATCHING every process of this host for reads"));
    assert!(started(true).starts_with("WATCHING every process that may be looked into for reads"));
}

#[test]
fn a_wait_that_was_not_judged_is_not_said_to_be_healthy() {
    let mut hang = Hang {
        verdict: Verdict::Waiting,
        ..race_hang()
    };
    for (judged, word) in [
        (true, "WAITING #1, healthy: "),
        (false, "WAITING #1, not judged: "),
    ] {
        hang.judged = judged;
        let report = Report::Finding(Finding::Hang(Box::new(hang.clone())));
        let told = text(&[report], &Outside::default(), 80);
        assert!(told.starts_with(word), "{told}");
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
            "type time hangs resolved open waits unjudged events lost_events reason",
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
        "type time id same_as verdict cause confidence certainty reader pipe holders timeline why hint",
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
fn of_a_long_timeline_both_ends_are_told() {
    let mut hang = race_hang();
    // Forks one after the other are told as one step.
    let fork = hang.timeline[1].clone();
    let close = hang.timeline[2].clone();
    hang.timeline = [vec![fork; 3], vec![close; 24]].concat();
    let rows = |hang: &Hang| {
        let reports = [Report::Finding(Finding::Hang(Box::new(hang.clone())))];
        text(&reports, &Outside::default(), 120)
    };
    let closes = |text: &str| text.matches("closes").count();
    let whole = rows(&hang);
    assert!(!whole.contains(" more"), "{whole}");
    hang.timeline.extend_from_within(3..8);
    let cut = rows(&hang);
    assert_eq!(closes(&whole) - closes(&cut), 1, "{cut}");
    assert!(cut.contains(" 6 more\n"), "{cut}");
}

fn hint(hang: &Hang, outside: &Outside) -> String {
    let reports = [Report::Finding(Finding::Hang(Box::new(hang.clone())))];
    let record = &records(&reports, outside)[0];
    record["hint"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_release_would_refuse_is_not_advised() {
    let command = |change: &dyn Fn(&mut Hang)| {
        let mut hang = race_hang();
        change(&mut hang);
        let hint = hint(&hang, &Outside::default());
        let rest = hint.strip_prefix(&hang.hint).unwrap().trim_start();
        rest.to_owned()
    };
    let with = |others: u32| {
        command(&|hang| {
            for pid in 1..=others {
                let process = process(pid);
                let holder = hang.holders[0].clone();
                hang.holders.push(Holder { process, ..holder });
            }
        })
    };
    let one = "now: pipewatch release 25189 19";
    assert_eq!(with(0), one);
    assert_eq!(
        with(2),
        format!("{one}; pipewatch release 1 19; pipewatch release 2 19")
    );
    assert_eq!(with(3), "");
    assert_eq!(command(&|hang| hang.verdict = Verdict::Orphaned), one);
    assert_eq!(command(&|hang| hang.verdict = Verdict::SelfHeld), "");
    assert_eq!(command(&|hang| hang.verdict = Verdict::InFlight), "");
    assert_eq!(command(&|hang| hang.holders[0].heir = false), "");
    assert_eq!(command(&|hang| hang.holders[0].stopped = true), "");
    assert_eq!(command(&|hang| hang.holders.clear()), "");
}

#[test]
fn advice_fits_cause_and_language() {
    let advised = |verdict, cause, language, words: &str| {
        let mut hang = race_hang();
        (hang.verdict, hang.cause) = (verdict, cause);
        hang.holders[0].heir = false;
        let outside = Outside::default().with_language(912, language);
        let hint = hint(&hang, &outside);
        let advice = hint.strip_prefix(&hang.hint).unwrap();
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
