//! The command line: what it says of itself, and what it says to bad input.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::unistd::geteuid;
use pipewatch_tests::{Output, Program, pipewatch};

const SOON: Duration = Duration::from_secs(10);
const NOBODY: &str = "65534";

fn run(args: &[&str]) -> Output {
    Program::start(pipewatch(args)).finish(SOON)
}

#[test]
fn bad_input_is_told_with_a_hint() {
    let me = &std::process::id().to_string();
    let expectations: &[(&str, &[&str])] = &[
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
        ("magic", &["-p", me, "--backend", "magic"]),
        ("--frobnicate", &["--frobnicate"]),
        (
            "/no/such/directory/out",
            &["-p", me, "-o", "/no/such/directory/out"],
        ),
        ("/no/such/trace", &["replay", "/no/such/trace"]),
    ];
    for (about, args) in expectations {
        let output = run(args);
        println!("{args:?}\n{}", output.stderr);
        output.assert_complaint(2, about);
    }
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
    let output = Program::start(command).finish(SOON);
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
        (2, ["--all"].as_slice()),
        (2, &["-p", "1"]),
        (125, &["--", "true"]),
    ] {
        run_as_nobody(args).assert_complaint(code, "root");
    }
}

#[test]
fn the_doctor_works_for_everybody() {
    for output in [run(&["doctor"]), run_as_nobody(&["doctor"])] {
        assert_eq!(output.code, 0, "{output:#?}");
        assert!(!output.stdout.is_empty(), "{output:#?}");
    }
}

/// Runs pipewatch without root; a copy, as the path to the original may be closed to others.
fn run_as_nobody(args: &[&str]) -> Output {
    if !geteuid().is_root() {
        return run(args);
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let copy = directory.path().join("pipewatch");
    fs::copy(pipewatch(&[]).get_program(), &copy).expect("a copy");
    let mut command = Command::new("setpriv");
    command
        .args([
            &format!("--reuid={NOBODY}"),
            &format!("--regid={NOBODY}"),
            "--clear-groups",
        ])
        .arg(copy)
        .args(args);
    Program::start(command).finish(SOON)
}
