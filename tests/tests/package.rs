//! The Debian package: installed on this machine, tried, and purged. Needs root, and
//! `cargo xtask dist --check`, which builds it.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use pipewatch_tests::{Output, Program, require_root};

/// When to give up on one program.
const PATIENCE: Duration = Duration::from_secs(300);

/// The most that `systemd-analyze security` may say of the unit, in tenths.
const EXPOSURE: &str = "20";

const UNIT: &str = "/usr/lib/systemd/system/pipewatch.service";

fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    // The pages and the words of programs are compared in English, with all columns.
    command.args(args).env("LC_ALL", "C.UTF-8");
    command.env("COLUMNS", "200").env_remove("MANPATH");
    Program::start(command).finish(PATIENCE)
}

/// What a program prints that ends well and does not complain.
fn said(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    assert!(
        output.code == 0 && output.stderr.is_empty(),
        "{program} {args:?}: {output:#?}"
    );
    output.stdout
}

/// All files that are named after it, where packages put files.
fn traces() -> String {
    let folders = ["/etc", "/lib", "/usr", "/var"];
    let wanted = ["-xdev", "-name", "*pipewatch*"];
    let found = run("find", &[&folders[..], &wanted].concat());
    let mut lines: Vec<&str> = found.stdout.lines().collect();
    lines.sort();
    lines.join("\n")
}

/// The package, for as long as it is installed.
struct Installed;

impl Installed {
    fn from(deb: &str) -> Self {
        let installed = Self;
        // Images for containers leave the pages of all packages out.
        let with_pages = "--path-include=/usr/share/man/*";
        let output = run("dpkg", &[with_pages, "--install", deb]);
        assert_eq!(output.code, 0, "{output:#?}");
        installed
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        run("dpkg", &["--purge", "pipewatch"]);
    }
}

#[test]
fn it_is_installed_works_and_goes_without_a_trace() {
    require_root();
    let deb = env::var_os("PIPEWATCH_DEB").map(OsString::into_string);
    let deb = deb.expect("PIPEWATCH_DEB, as `cargo xtask dist --check` sets it");
    let deb = deb.expect("a path in UTF-8");
    let before = traces();
    assert!(
        run("dpkg-query", &["--show", "pipewatch"]).code != 0,
        "pipewatch is installed here already: this test would purge it"
    );

    let installed = Installed::from(&deb);
    it_runs(&deb);
    pages_are_found_and_well_formed();
    shells_complete();
    the_unit_is_sound_and_off();

    let removed = run("dpkg", &["--remove", "pipewatch"]);
    assert_eq!(removed.code, 0, "{removed:#?}");
    assert!(!std::path::Path::new("/usr/bin/pipewatch").exists());
    drop(installed);
    assert_eq!(traces(), before);
}

fn it_runs(deb: &str) {
    let version = said("dpkg-deb", &["--field", deb, "Version"]);
    let (upstream, _) = version.split_once('-').expect("a revision");
    let says = said("/usr/bin/pipewatch", &["--version"]);
    assert_eq!(says, format!("pipewatch {upstream}\n"));
    let demo = run("/usr/bin/pipewatch", &["demo"]);
    assert_eq!(demo.code, 0, "{demo:#?}");
    for word in ["leaked", "fork-race", "RESOLVED"] {
        assert!(demo.stdout.contains(word), "no {word} in {demo:#?}");
    }
}

fn pages_are_found_and_well_formed() {
    let files = said("dpkg-query", &["--listfiles", "pipewatch"]);
    let pages = files.lines().filter(|file| file.contains("/man1/"));
    let names = pages.map(|page| {
        // It ends with a status of its own if it has anything to say.
        let lint = run("mandoc", &["-T", "lint", page]);
        assert_eq!((lint.code, lint.stdout.as_str()), (0, ""), "{page}");
        let (_, name) = page.rsplit_once('/').expect("a path");
        name.trim_end_matches(".1.gz")
    });
    let mut names: Vec<&str> = names.collect();
    names.sort();
    let commands = [
        "",
        "-demo",
        "-doctor",
        "-release",
        "-replay",
        "-snapshot",
        "-top",
    ];
    assert_eq!(names, commands.map(|command| format!("pipewatch{command}")));
    for name in names {
        let page = run("man", &["--pager=cat", name]);
        assert_eq!(page.code, 0, "{page:#?}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"] {
            let found = page.stdout.lines().any(|line| line == section);
            assert!(found, "no {section} in {name}: {page:#?}");
        }
    }
}

fn shells_complete() {
    let bash = r#"
        . /usr/share/bash-completion/completions/pipewatch
        complete -p pipewatch
        for word in sn --thr ''; do
            COMP_WORDS=(pipewatch "$word") COMP_CWORD=1
            _pipewatch pipewatch "$word" pipewatch
            echo "${COMPREPLY[@]}"
        done
    "#;
    let bash = said("bash", &["-c", bash]);
    let lines: Vec<&str> = bash.lines().collect();
    assert!(
        matches!(lines[..], [complete, "snapshot", "--threshold", all]
            if complete.contains("-F _pipewatch") && !all.contains("enact")),
        "{bash}"
    );
    let zsh = said(
        "zsh",
        &[
            "-fc",
            "autoload -U compinit; compinit -D; echo $_comps[pipewatch]",
        ],
    );
    assert_eq!(zsh, "_pipewatch\n");
    said(
        "zsh",
        &["-n", "/usr/share/zsh/vendor-completions/_pipewatch"],
    );
    let fish = said("fish", &["-c", "complete -C 'pipewatch sn'"]);
    assert!(fish.starts_with("snapshot\t"), "{fish}");
}

fn the_unit_is_sound_and_off() {
    assert_eq!(said("systemd-analyze", &["verify", UNIT]), "");
    let threshold = format!("--threshold={EXPOSURE}");
    let security = ["security", "--offline=yes", &threshold, UNIT];
    let security = run("systemd-analyze", &security);
    assert_eq!(security.code, 0, "{security:#?}");
    let enabled = run(
        "systemctl",
        &["--root=/", "is-enabled", "pipewatch.service"],
    );
    assert_eq!(enabled.stdout, "disabled\n", "{enabled:#?}");
}
