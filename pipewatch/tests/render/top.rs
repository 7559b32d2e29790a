//! What the live view shows, and what keys do to it.
//!
//! Frames are compared with the files in `tests/frames`.
//! `BLESS=1 cargo test -p pipewatch --test render` renews them.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use pipewatch::{
    event::Call,
    finding::{
        Act, Cause, Channel, Confidence, Created, Finding, Hang, Holder, Outcome, Reader, Report,
        Resolved, Started, Verdict, Via, ViaKind, What,
    },
    ids::{Comm, Fd, Ktime, Pid, PipeId},
    render::top::{Board, Gauges, Key, View, Wish, draw},
    screen::Screen,
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};

use crate::fixtures::{Outside, SECOND, WAIT, actor, held, in_python, process, race_hang, step};

const NOW: Ktime = WAIT;

fn ago(nanoseconds: u64) -> Ktime {
    Ktime(NOW.0 - nanoseconds)
}

/// A wait of process `pid`, for so many seconds.
fn wait(id: u64, verdict: Verdict, confidence: Confidence, pid: u32, seconds: u64) -> Hang {
    let since = ago(seconds * SECOND);
    let race = race_hang();
    let actor = actor(pid, pid + 1, "pusher_keep_ali");
    let act = |before| Act {
        time: Ktime(since.0 - before),
        actor,
        stack: None,
    };
    let (made, forked) = (act(276_000), act(172_000));
    let child = pid + 50;
    Hang {
        id,
        time: since.after(SECOND),
        verdict,
        cause: if verdict == Verdict::Leaked {
            Cause::ForkRace
        } else {
            Cause::Unknown
        },
        confidence,
        reader: Reader {
            actor,
            fd: Fd(3),
            since,
            ..race.reader
        },
        channel: Channel {
            id: PipeId {
                dev: 14,
                inode: 20_491_000 + id,
            },
            created: Some(Created {
                act: made,
                fds: [Fd(3), Fd(4)],
            }),
            ..race.channel
        },
        holders: vec![Holder {
            process: process(child),
            parent: Pid(pid),
            comm: Comm::from("upd\u{1b}[31mater"),
            fds: vec![held(4, "w", false)],
            via: Via {
                kind: ViaKind::Fork,
                act: Some(forked),
            },
            ..race.holders[0].clone()
        }],
        timeline: vec![
            step(made, What::Pipe, &[3, 4]),
            step(forked, What::Fork { child: Pid(child) }, &[3, 4]),
            step(act(0), What::Read(Call::Read), &[3]),
        ],
        why: "another thread forked while this one was at work with the pipe.".to_owned(),
        hint: "close the write end in the child right after the fork.".to_owned(),
        ..race
    }
}

/// A reader of which the stack is known.
fn outside() -> Outside {
    let at = in_python(
        "_execute_child",
        "/usr/lib/python2.7/subprocess.py",
        Some(1_025),
    );
    let programs = [
        (912, "/srv/agent/agent.py"),
        (962, "/srv/agent/agent.py"),
        (700, "/usr/bin/sort"),
        (800, "/usr/bin/sort"),
    ];
    let outside = Outside::default().with_stack(75_000, 913, &[at]);
    programs.iter().fold(outside, |outside, (pid, program)| {
        outside.with_cmdline(*pid, &[program, "--all the time"])
    })
}

fn tell(board: &mut Board, finding: Finding) {
    board.take(&Report::Finding(finding), &outside());
}

fn started() -> Started {
    Started {
        time: ago(300 * SECOND),
        version: "0.1.0".to_owned(),
        kernel: "6.18.5".to_owned(),
        arch: "x86_64".to_owned(),
        backend: "tracepoint".to_owned(),
        watching: Some(vec![Pid(912)]),
        threshold: SECOND,
        hides: false,
        limits: Vec::new(),
    }
}

/// One hang of each colour, and two healthy waits.
fn board() -> Board {
    let mut board = Board::default();
    board.take(&Report::Started(started()), &outside());
    for hang in [
        wait(1, Verdict::Waiting, Confidence::Likely, 700, 250),
        wait(2, Verdict::Leaked, Confidence::Certain, 912, 75),
        wait(3, Verdict::Waiting, Confidence::Likely, 1_200_000, 4),
        wait(4, Verdict::Orphaned, Confidence::Likely, 800, 7_300),
    ] {
        tell(&mut board, Finding::Hang(Box::new(hang)));
    }
    let gauges = Gauges {
        watched: 12,
        pipes: 40,
        events: 1_000,
        lost_events: 0,
    };
    board.gauge(gauges, ago(2 * SECOND));
    let events = 1_250;
    board.gauge(Gauges { events, ..gauges }, NOW);
    board
}

fn resolved(id: u64, hang: &Hang) -> Finding {
    Finding::Resolved(Resolved {
        id,
        time: NOW,
        outcome: Outcome::Eof,
        blocked: 75 * SECOND,
        freed_by: None,
        reader: hang.reader.actor,
        fd: hang.reader.fd,
        alarmed: true,
    })
}

fn frame(view: &mut View, board: &Board, (columns, rows): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| draw(frame, view, board, NOW))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let columns = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(columns).map(|row| {
        let row: String = row.iter().map(|cell| cell.symbol()).collect();
        row.trim_end().to_owned() + "\n"
    });
    rows.collect()
}

fn shown(view: &mut View, board: &Board) -> String {
    text(&frame(view, board, (80, 24)))
}

fn press(view: &mut View, board: &Board, keys: &str) {
    for key in keys.chars() {
        assert_eq!(view.press(Key::Char(key), board), Wish::Stay, "{key}");
    }
}

/// The ids of the rows, in order.
fn ids(view: &mut View, board: &Board) -> Vec<u64> {
    let text = shown(view, board);
    let rows = text.lines().skip(3);
    rows.map_while(|row| row.split_whitespace().next()?.parse().ok())
        .collect()
}

#[test]
fn frames_are_as_agreed() {
    let board = board();
    for size in [(80, 24), (60, 20), (120, 24)] {
        for (name, keys) in [
            ("list", ""),
            ("details", "\r"),
            ("end", "\rG"),
            ("help", "?"),
        ] {
            let mut view = View::new(true);
            // What a page is, is known from the frame before.
            frame(&mut view, &board, size);
            for key in keys.chars() {
                let key = if key == '\r' {
                    Key::Enter
                } else {
                    Key::Char(key)
                };
                // The long wait is first; the one with a stack is second.
                if key == Key::Enter {
                    view.press(Key::Down, &board);
                }
                view.press(key, &board);
            }
            let text = text(&frame(&mut view, &board, size));
            let file = format!("tests/frames/{name}.{}x{}.txt", size.0, size.1);
            let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
            if std::env::var_os("BLESS").is_some() {
                fs::write(&golden, &text).unwrap();
            }
            let agreed = fs::read_to_string(&golden).unwrap_or_default();
            assert!(text == agreed, "not as {}:\n{text}", golden.display());
        }
    }
}

#[test]
fn every_size_is_drawn() {
    let board = board();
    for keys in ["", "\r", "?", "/"] {
        let mut view = View::new(true);
        for key in keys.chars() {
            let key = if key == '\r' {
                Key::Enter
            } else {
                Key::Char(key)
            };
            view.press(key, &board);
        }
        for columns in (1..130).step_by(8) {
            for rows in (1..30).step_by(4) {
                frame(&mut view, &board, (columns, rows));
            }
        }
    }
}

#[test]
fn certain_is_red_and_likely_is_yellow_where_there_are_colours() {
    let board = board();
    for colour in [true, false] {
        let frame = frame(&mut View::new(colour), &board, (80, 24));
        // Below the title, the summary and the names of columns.
        let of_row = |row: u16| frame[(10, 3 + row)].style();
        let expected = if colour {
            [Color::Yellow, Color::Red, Color::Reset]
        } else {
            [Color::Reset; 3]
        };
        for (row, colour) in (0..).zip(expected) {
            assert_eq!(of_row(row).fg, Some(colour), "row {row}");
        }
        let bold = |row| of_row(row).add_modifier.contains(Modifier::BOLD);
        assert_eq!([bold(0), bold(1), bold(2)], [true, true, false]);
    }
}

#[test]
fn hangs_come_first_in_every_order() {
    let (mut view, board) = (View::new(true), board());
    assert_eq!(ids(&mut view, &board), [4, 2, 1, 3]);
    press(&mut view, &board, "s");
    assert_eq!(ids(&mut view, &board), [2, 4, 3, 1]);
    press(&mut view, &board, "s");
    assert_eq!(ids(&mut view, &board), [4, 2, 1, 3]);
    press(&mut view, &board, "s");
    assert!(shown(&mut view, &board).contains("longest first"));
}

#[test]
fn a_filter_is_typed_and_taken_back() {
    let (mut view, board) = (View::new(true), board());
    for (filter, found) in [
        ("fork-RACE", vec![2]),
        ("agent.py", vec![2]),
        ("[20491003]", vec![3]),
        ("850", vec![4]),
        ("healthy", vec![1, 3]),
        ("likely", vec![4]),
        // Of these nothing is shown.
        ("unknown", vec![]),
        ("nobody", vec![]),
    ] {
        // Letters are letters now, q and s too.
        press(&mut view, &board, &format!("/sq{filter}"));
        assert!(shown(&mut view, &board).contains(&format!("/sq{filter}_")));
        view.press(Key::Escape, &board);
        assert_eq!(ids(&mut view, &board).len(), 4);
        press(&mut view, &board, &format!("/{filter}x"));
        view.press(Key::Backspace, &board);
        view.press(Key::Enter, &board);
        assert_eq!(ids(&mut view, &board), found, "{filter}");
        assert!(shown(&mut view, &board).contains(&format!("filter: {filter}")));
        assert_eq!(view.press(Key::Escape, &board), Wish::Stay);
        assert_eq!(ids(&mut view, &board).len(), 4);
    }
}

#[test]
fn a_pause_shows_what_was() {
    let (mut view, mut board) = (View::new(true), board());
    press(&mut view, &board, "p");
    let hang = wait(2, Verdict::Leaked, Confidence::Certain, 912, 75);
    tell(&mut board, resolved(2, &hang));
    assert_eq!(ids(&mut view, &board), [4, 2, 1, 3]);
    assert!(shown(&mut view, &board).contains("PAUSED"));
    press(&mut view, &board, " ");
    assert_eq!(ids(&mut view, &board), [4, 1, 3]);
    let text = shown(&mut view, &board);
    assert!(
        !text.contains("PAUSED") && text.contains("RESOLVED #2"),
        "{text}"
    );
}

#[test]
fn a_hang_that_turns_out_to_be_healthy_is_a_wait() {
    let mut board = board();
    assert_eq!(board.open(), (2, 2));
    let healthy = wait(2, Verdict::Waiting, Confidence::Likely, 912, 75);
    tell(&mut board, Finding::Update(Box::new(healthy)));
    assert_eq!(board.open(), (1, 3));
    assert_eq!(ids(&mut View::new(true), &board), [4, 1, 2, 3]);
}

#[test]
fn the_details_stay_when_the_wait_is_over() {
    let (mut view, mut board) = (View::new(true), board());
    press(&mut view, &board, "j");
    view.press(Key::Enter, &board);
    assert!(shown(&mut view, &board).contains("waits for 1 min 15 s now"));
    let hang = wait(2, Verdict::Leaked, Confidence::Certain, 912, 75);
    tell(&mut board, resolved(2, &hang));
    let text = shown(&mut view, &board);
    assert!(
        text.contains("HANG #2") && text.contains("is over"),
        "{text}"
    );
    assert_eq!(view.press(Key::Escape, &board), Wish::Stay);
    // The selected one is gone, so the first is.
    view.press(Key::Enter, &board);
    assert!(shown(&mut view, &board).contains("HANG #4"));
}

#[test]
fn the_details_go_on_with_the_time_until_the_wait_is_over() {
    let (mut view, mut board) = (View::new(true), board());
    press(&mut view, &board, "j");
    view.press(Key::Enter, &board);
    let shown = text(&frame(&mut view, &board, (120, 60)));
    for word in ["(1 min 15 s)", "+1 min 15 s  now: still waiting"] {
        assert!(shown.contains(word), "no {word} in {shown}");
    }
    let hang = wait(2, Verdict::Leaked, Confidence::Certain, 912, 75);
    tell(&mut board, resolved(2, &hang));
    let shown = text(&frame(&mut view, &board, (120, 60)));
    assert!(shown.contains("(1.0 s)"), "{shown}");
}

#[test]
fn what_ended_last_is_told_in_as_many_words_as_fit() {
    let mut board = board();
    let hang = wait(2, Verdict::Leaked, Confidence::Certain, 912, 75);
    tell(&mut board, resolved(2, &hang));
    for (columns, line) in [
        (
            120,
            "RESOLVED #2 after 1 min 15 s: end of file; thread 913 (pusher_keep_ali) of pid 912 no \
             longer waits for fd 3",
        ),
        (60, "RESOLVED #2 after 1 min 15 s: end of file"),
        (30, "RESOLVED #2 after 1 min 15 s"),
    ] {
        let shown = text(&frame(&mut View::new(true), &board, (columns, 24)));
        assert!(shown.lines().any(|it| it == line), "{columns}: {shown}");
    }
}

#[test]
fn what_is_selected_stays_selected_where_rows_come_and_go() {
    let (mut view, mut board) = (View::new(true), board());
    press(&mut view, &board, "G");
    for id in 10..40 {
        let hang = wait(id, Verdict::Leaked, Confidence::Certain, 2_000, id);
        tell(&mut board, Finding::Hang(Box::new(hang)));
    }
    let text = shown(&mut view, &board);
    assert!(text.contains("1200000 pus"), "out of sight:\n{text}");
    view.press(Key::Enter, &board);
    let text = shown(&mut view, &board);
    for word in ["WAITING #3, healthy", "holder ", "timeline ", "why "] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}

#[test]
fn what_ends_it() {
    let board = board();
    for key in [Key::Char('q'), Key::Escape, Key::Interrupt] {
        assert_eq!(View::new(true).press(key, &board), Wish::Quit, "{key:?}");
    }
    let mut view = View::new(true);
    press(&mut view, &board, "/");
    assert_eq!(view.press(Key::Interrupt, &board), Wish::Quit);
    assert_eq!(view.press(Key::Suspend, &board), Wish::Suspend);
}

#[test]
fn only_what_shows_is_a_change() {
    let mut board = board();
    let before = board.changes();
    let gauges = Gauges {
        watched: 12,
        pipes: 40,
        events: 1_250,
        lost_events: 0,
    };
    board.gauge(gauges, NOW);
    // Too early for another rate.
    let events = 1_300;
    board.gauge(Gauges { events, ..gauges }, NOW.after(SECOND / 2));
    assert_eq!(board.changes(), before);
    let lost_events = 3;
    board.gauge(
        Gauges {
            lost_events,
            ..gauges
        },
        NOW.after(SECOND / 2),
    );
    assert_eq!(board.changes(), before + 1);
    assert!(board.summary(80).contains("3 lost"));
}

/// Starts itself on a terminal, where it panics while that is taken.
#[test]
fn a_panic_gives_the_terminal_back() {
    const PANIC: &str = "PIPEWATCH_TEST_PANIC";
    if env::var_os(PANIC).is_some() {
        let mut screen = Screen::new().unwrap();
        screen
            .take(&Report::Started(started()), &outside())
            .unwrap();
        panic!("as it was to");
    }
    let own = env::current_exe().unwrap();
    let own = own.display();
    let name = "top::a_panic_gives_the_terminal_back";
    let run = format!("stty -g; {PANIC}=1 {own} --exact {name} --nocapture; stty -g");
    let script = Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&script.stdout).into_owned();
    let at = |what: &str| {
        let at = text.find(what);
        at.unwrap_or_else(|| panic!("no {what:?} in {text:?}"))
    };
    assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"), "{text:?}");
    assert!(at("\u{1b}[?1049l") < at("as it was to"), "{text:?}");
    let lines: Vec<&str> = text.trim_end().lines().collect();
    assert_eq!(lines.first(), lines.last(), "{text:?}");
    assert!(lines[0].contains(':'), "{text:?}");
}
