//! The command line: what it says of itself, and what it says to bad input.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;
use pipewatch_tests::{Output, Program, User, pipewatch};

fn run(args: &[&str]) -> Output {
    Program::run(pipewatch(args))
}

#[test]
fn bad_input_is_told_with_a_hint() {
    let me = &std::process::id().to_string();
    let expectations: &[(&str, &[&str])] = &[
        // The kernel's limit, which no process id reaches.
        ("4194304", &["-p", "4194304"]),
        ("4194305", &["-p", "4194305"]),
        ("0", &["-p", "0"]),
        ("abc", &["-p", "abc"]),
        ("-1", &["-p=-1"]),
        ("99999999999999999999", &["-p", "99999999999999999999"]),
        ("--all", &["-p", me, "--all"]),
        ("threshold", &["-p", me, "--threshold", "0"]),
        ("soon", &["-p", me, "--threshold", "soon"]),
        ("", &["-p", me, "--threshold", ""]),
        ("-1s", &["-p", me, "--threshold=-1s"]),
        (
            "99999999999999999999s",
            &["-p", me, "--threshold", "99999999999999999999s"],
        ),
        ("later", &["-p", me, "--duration", "later"]),
        ("xml", &["-p", me, "--format", "xml"]),
        ("maybe", &["-p", me, "--min-confidence", "maybe"]),
        ("magic", &["-p", me, "--backend", "magic"]),
        ("nothing to watch", &["--"]),
        ("COMMAND", &["-p", me, "--", "true"]),
        ("COMMAND", &["--all", "--", "true"]),
        ("--frobnicate", &["--frobnicate"]),
        (
            "/no/such/directory/out",
            &["-p", me, "-o", "/no/such/directory/out"],
        ),
        ("/no/such/trace", &["replay", "/no/such/trace"]),
        // A file that is no trace.
        ("/proc/self/status", &["replay", "/proc/self/status"]),
        (
            "/no/such/directory/trace",
            &["-p", me, "--record", "/no/such/directory/trace"],
        ),
        (
            "/no/such/directory/page",
            &["-p", me, "--html", "/no/such/directory/page"],
        ),
    ];
    for (about, args) in expectations {
        let output = run(args);
        println!("{args:?}\n{}", output.stderr);
        output.assert_complaint(2, about);
    }
}

const TRACE: &str = concat!(
    r#"{"trace":"pipewatch-trace/1","boot":0,"rules":{"threshold":1000000000,"#,
    r#""min_confidence":"Likely","healthy":true,"own":1}}"#,
    "\n"
);

#[test]
fn a_trace_of_a_million_lines_takes_little_memory() {
    let trace = tempfile::NamedTempFile::new().expect("a file");
    let line = r#"{"input":{"tasks":{"tasks":[],"now":1}}}"#.to_owned() + "\n";
    fs::write(&trace, TRACE.to_owned() + &line.repeat(1_000_000)).expect("room for a trace");
    let mut limited = Command::new("prlimit");
    limited
        .arg(format!("--as={}", 128 << 20))
        .arg(pipewatch(&[]).get_program())
        .arg("replay")
        .arg(trace.path());
    let output = Program::run(limited);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.starts_with("STOPPED"), "{}", output.stdout);
}

#[test]
fn a_trace_that_is_damaged_is_told_by_its_line() {
    let trace = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&trace, TRACE.to_owned() + &"x".repeat(100 << 20) + "\n{}\n").expect("room");
    let path = trace.path().to_str().expect("a path in UTF-8");
    run(&["replay", path]).assert_complaint(2, "line 2");
}

#[test]
fn a_page_is_not_written_where_a_link_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let [trace, precious, link] =
        ["trace", "precious", "link"].map(|name| folder.path().join(name));
    fs::write(&trace, TRACE).expect("room");
    fs::write(&precious, "precious").expect("room");
    symlink(&precious, &link).expect("a link");
    let [trace, link] = [trace, link].map(|path| path.display().to_string());
    let output = run(&["replay", &trace, "--html", &link]);
    assert_eq!(output.code, 2, "{output:#?}");
    assert!(output.stderr.contains("symbolic link"), "{output:#?}");
    assert_eq!(fs::read(&precious).expect("a file"), b"precious");
}

#[test]
fn without_arguments_it_tells_how_to_use_it() {
    let output = run(&[]);
    let usage = output.stdout.clone() + &output.stderr;
    assert_eq!(output.code, 2, "{output:#?}");
    assert!(usage.to_lowercase().contains("usage:"), "{output:#?}");
    assert!(usage.lines().count() <= 20, "not short: {output:#?}");
}

#[test]
fn it_tells_its_version() {
    let output = run(&["--version"]);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (0, concat!("pipewatch ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}

#[test]
fn the_help_is_as_agreed() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/help.txt");
    let mut command = pipewatch(&["--help"]);
    command.env("COLUMNS", "100");
    let output = Program::run(command);
    assert_eq!(output.code, 0, "{output:#?}");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &output.stdout).expect("a golden file that can be written");
    }
    let agreed = fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        output.stdout == agreed,
        "differs from {}, renew it with BLESS=1 if this is meant:\n{}",
        golden.display(),
        output.stdout
    );
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    for (code, args) in [
        (2, ["--backend", "tracepoint", "--all"].as_slice()),
        (2, &["-p", "1"]),
        (125, &["--backend", "tracepoint", "--", "true"]),
    ] {
        run_as_nobody(args).assert_complaint(code, "not permitted");
    }
}

#[test]
fn the_doctor_tells_an_ordinary_user_what_is_missing() {
    let output = run_as_nobody(&["doctor"]);
    assert_eq!(output.code, 0, "{output:#?}");
    for word in [
        "procfs",
        "need root",
        "hint: ",
        "sees less than with probes",
    ] {
        assert!(output.stdout.contains(word), "no {word} in {output:#?}");
    }
}

/// Runs pipewatch without root.
fn run_as_nobody(args: &[&str]) -> Output {
    if !geteuid().is_root() {
        return run(args);
    }
    Program::run(User::new().pipewatch(args))
}
