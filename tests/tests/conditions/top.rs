//! The live view on a real terminal: what it shows, and how it leaves.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use pipewatch_tests::{Pane, Program, pipewatch, require_root, scenario};

const SIZE: (u16, u16) = (80, 24);

/// A hang that lasts until the test is over.
fn hang() -> Program {
    require_root();
    Program::ready(scenario(&["fork-race", "--hold-ms", "120000"]))
}

/// `pipewatch` with these arguments, as a line of a shell.
fn command(args: &[&str]) -> String {
    let pipewatch = pipewatch(args);
    let words = [pipewatch.get_program()].into_iter();
    let words = words.chain(pipewatch.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn top(target: &Program) -> String {
    command(&["top", "-p", &target.pid().to_string()])
}

/// A terminal that shows the view, and the modes that it had before.
fn showing(target: &Program) -> (Pane, String) {
    let pane = Pane::new(SIZE, Path::new("/"));
    let modes = pane.modes();
    // Some signals would leave a file behind.
    pane.line(&format!("ulimit -c 0; {}; echo ended $?", top(target)));
    pane.wait_for("Enter details");
    assert_ne!(pane.modes(), modes);
    (pane, modes)
}

/// The same, and a hang in it.
fn showing_a_hang(target: &mut Program) -> (Pane, String) {
    let (pane, modes) = showing(target);
    target.go();
    pane.wait_for("fork-race");
    (pane, modes)
}

/// The terminal is as it was, and what was on it is there again.
fn assert_given_back(pane: &Pane, modes: &str, status: u8) {
    let screen = pane.wait_for(&format!("ended {status}"));
    assert!(screen.contains("pipewatch top -p"), "{screen}");
    assert!(!screen.contains("fork-race"), "{screen}");
    assert_eq!(pane.modes(), modes);
}

#[test]
fn it_shows_a_hang_and_its_details() {
    let mut target = hang();
    let (pane, modes) = showing_a_hang(&mut target);
    let screen = pane.screen();
    let row = screen.lines().find(|line| line.contains("fork-race"));
    let row = row.expect("the row of the hang");
    for word in ["leaked", "pusher", "updater", &target.pid().to_string()] {
        assert!(row.contains(word), "no {word} in {screen}");
    }
    assert!(pane.coloured().contains("\u{1b}[31m") || pane.coloured().contains("38;5;1m"));
    pane.press(&["Enter"]);
    let details = pane.wait_for("hint  ");
    for word in ["HANG #", "why  ", "waits for"] {
        assert!(details.contains(word), "no {word} in {details}");
    }
    pane.press(&["End"]);
    pane.wait_for("verdict   leaked, cause fork-race");
    pane.press(&["Escape"]);
    pane.wait_for("HELD BY");
    pane.press(&["/"]);
    pane.press(&["x", "y", "z", "Enter"]);
    pane.wait_for("nothing that waits has that");
    pane.press(&["Escape"]);
    pane.wait_for("fork-race");
    pane.resize(60, 20);
    // The pipe has no room there.
    pane.wait_until("narrow list", |screen| {
        screen.contains("fork-race") && !screen.contains("PIPE")
    });
    pane.resize(SIZE.0, SIZE.1);
    pane.wait_for("PIPE");
    pane.press(&["q"]);
    assert_given_back(&pane, &modes, 0);
}

#[test]
fn it_shows_how_a_hang_ends() {
    require_root();
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", "4000"]));
    let (pane, _) = showing_a_hang(&mut target);
    pane.wait_for("RESOLVED #");
    pane.press(&["q"]);
    pane.wait_for("ended 0");
}

#[test]
fn signals_give_the_terminal_back() {
    let target = hang();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (pane, modes) = showing(&target);
        pane.signal(signal);
        assert_given_back(&pane, &modes, 0);
    }
}

#[test]
fn signals_that_nobody_waits_for_give_it_back_too() {
    let target = hang();
    for signal in [Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGUSR1] {
        let (pane, modes) = showing(&target);
        pane.signal(signal);
        assert_given_back(&pane, &modes, 128 + signal as u8);
    }
}

/// Where Ctrl-\ is no key, it is that signal.
#[test]
fn the_key_to_quit_quits() {
    let target = hang();
    let (pane, modes) = showing(&target);
    pane.press(&["C-\\"]);
    assert_given_back(&pane, &modes, 0);
}

/// Waits for the end of a job, which the shell then tells.
const END: &str = "while kill -0 %1 2> /dev/null; do sleep 0.1; done";

#[test]
fn it_can_be_ended_while_it_is_stopped_and_in_the_background() {
    let target = hang();
    let (pane, modes) = showing(&target);
    pane.press(&["C-z"]);
    pane.wait_for("ended 148");
    pane.line(&format!("clear; kill %1; {END}"));
    pane.wait_for("Done");
    assert_eq!(pane.modes(), modes);

    let (pane, modes) = showing(&target);
    pane.press(&["C-z"]);
    pane.wait_for("ended 148");
    pane.line("bg; echo again $?");
    pane.wait_for("again 0");
    // It goes on, without the terminal.
    assert_eq!(pane.modes(), modes);
    pane.line("clear; jobs; fg; echo second $?");
    pane.wait_for("Enter details");
    pane.press(&["C-z"]);
    pane.wait_for("second 148");
    pane.line(&format!("bg; kill -QUIT %1; {END}"));
    pane.wait_for("Quit");
    assert_eq!(pane.modes(), modes);

    // Stopped in the midst of it, with the terminal taken.
    let (pane, _) = showing(&target);
    pane.signal(Signal::SIGSTOP);
    pane.wait_for("ended 147");
    pane.line(&format!("clear; kill %1; kill -CONT %1; {END}"));
    pane.wait_for("Done");
}

#[test]
fn it_ends_with_its_terminal() {
    let mut target = hang();
    let (pane, _) = showing_a_hang(&mut target);
    let child = pane.child();
    pane.close();
    let proc = format!("/proc/{child}");
    let begin = std::time::Instant::now();
    while Path::new(&proc).exists() {
        assert!(begin.elapsed().as_secs() < 60, "{child} is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn it_stops_and_goes_on() {
    let mut target = hang();
    let (pane, modes) = showing_a_hang(&mut target);
    let by_key = || pane.press(&["C-z"]);
    let by_signal = || pane.signal(Signal::SIGTSTP);
    let ways: [(&dyn Fn(), _, _); 2] = [
        (&by_key, "ended 148", "second"),
        (&by_signal, "second 148", "third"),
    ];
    for (stop, told, next) in ways {
        stop();
        pane.wait_for(told);
        assert_eq!(pane.modes(), modes);
        pane.line(&format!("clear; fg; echo {next} $?"));
        pane.wait_for("fork-race");
        assert_ne!(pane.modes(), modes);
    }
    // Nobody can prepare for this one, so the shell writes into the view.
    pane.signal(Signal::SIGSTOP);
    pane.wait_for("third 147");
    pane.line("clear; fg; echo last $?");
    pane.wait_until("view again", |screen| {
        screen.contains("fork-race") && !screen.contains("Stopped")
    });
    pane.press(&["q"]);
    pane.wait_for("last 0");
    assert_eq!(pane.modes(), modes);
}

#[test]
fn what_cannot_be_set_up_is_told_as_ever() {
    require_root();
    let pane = Pane::new(SIZE, Path::new("/"));
    let modes = pane.modes();
    pane.line(&format!(
        "{}; echo ended $?",
        command(&["top", "-p", "4194304"])
    ));
    let screen = pane.wait_for("ended 2");
    assert!(
        screen.contains("error: ") && screen.contains("hint: "),
        "{screen}"
    );
    assert_eq!(pane.modes(), modes);
}

#[test]
fn without_a_terminal_it_says_so() {
    let mut top = pipewatch(&["top"]);
    top.stdin(Stdio::null());
    Program::run(top).assert_complaint(2, "terminal");
}

/// A line that is of the program and not of a report.
fn has_status(screen: &str) -> bool {
    let last = screen.trim_end().lines().last().unwrap_or_default();
    last.starts_with("1 hang, 2 processes, ")
}

#[test]
fn a_status_line_stays_below_the_reports() {
    let mut target = hang();
    let pane = Pane::new((100, 60), Path::new("/"));
    let watch = command(&["-p", &target.pid().to_string()]);
    pane.line(&format!("{watch}; echo ended $?"));
    pane.wait_for("0 hangs, ");
    target.go();
    let screen = pane.wait_until("status line", has_status);
    assert!(!screen.contains("0 hangs"), "{screen}");
    assert!(screen.contains("HANG #"), "{screen}");
    pane.press(&["C-c"]);
    let screen = pane.wait_for("ended 0");
    let lines: Vec<&str> = screen.trim_end().lines().collect();
    let stopped = lines
        .iter()
        .position(|line| line.starts_with("STOPPED by a signal"));
    let stopped = stopped.unwrap_or_else(|| panic!("no end in {screen}"));
    assert_eq!(lines[stopped + 1], "ended 0", "{screen}");
    assert!(!screen.contains("2 processes, "), "{screen}");
}

#[test]
fn a_status_line_is_in_nobodys_way() {
    let mut target = hang();
    let folder = tempfile::tempdir().expect("a folder");
    let pane = Pane::new((100, 60), folder.path());
    let pid = target.pid().to_string();
    target.go();
    // Reports into a file: they have nothing of it, but the terminal has.
    pane.line(&format!(
        "{} > reports",
        command(&["-p", &pid, "--duration", "4s"])
    ));
    pane.wait_until("status line", has_status);
    pane.wait_until("end of the line", |screen| !screen.contains("processes"));
    let reports = std::fs::read_to_string(folder.path().join("reports")).expect("reports");
    assert!(
        reports.contains("HANG #") && !reports.contains("processes, "),
        "{reports}"
    );
    assert!(
        !reports.contains('\u{1b}') && !reports.contains('\r'),
        "{reports}"
    );
    // All that a terminal was sent, where there is to be none, and where there is to be.
    for (options, expected) in [
        (&["--no-status"][..], false),
        (&["--format", "json"], false),
        (&[], true),
    ] {
        let watch = command(&[&["-p", &pid, "--duration", "3s"], options].concat());
        let mut script = Command::new("script");
        script.env("TERM", "xterm");
        script.args(["-qec", &format!("stty cols 100; {watch}"), "/dev/null"]);
        let output = Program::run(script);
        assert_eq!(output.code, 0, "{output:#?}");
        assert_eq!(output.stdout.contains("\u{1b}[K"), expected, "{output:#?}");
    }
}
