//! What docs/guide.md shows is so: each program of it hangs in the way that it says,
//! and not any more once it is mended. Needs root and BPF, Node and Python.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;
use std::time::Duration;

use pipewatch_tests::{Program, paced, pipewatch_running, require_root};
use serde_json::Value;

const GUIDE: &str = include_str!("../../docs/guide.md");
const WATCH: &[&str] = &["--exit-on-hang", "--threshold", "500ms", "--format", "json"];
/// When to give up: what hangs here does so for 3 s.
const PATIENCE: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 4;

/// A program of the guide: a fenced block that says `repro=NAME expect=VERDICT/CAUSE`,
/// or `fixed=NAME`.
struct Example<'a> {
    language: &'a str,
    name: &'a str,
    /// Verdict and cause; none if it is mended.
    expect: Option<&'a str>,
    code: &'a str,
}

impl<'a> Example<'a> {
    fn all() -> Vec<Self> {
        let fences = GUIDE.split("\n```").skip(1).step_by(2);
        fences.filter_map(Self::parse).collect()
    }

    fn parse(block: &'a str) -> Option<Self> {
        let (info, code) = block.split_once('\n').expect("a line after a fence");
        let (language, marks) = info.split_once(' ')?;
        let (name, expect) = match marks.split_once(" expect=") {
            Some((repro, expect)) => (repro.strip_prefix("repro=")?, Some(expect)),
            None => (marks.strip_prefix("fixed=")?, None),
        };
        Some(Self {
            language,
            name,
            expect,
            code,
        })
    }

    fn command(&self) -> Command {
        let (program, option) = match self.language {
            shell @ ("sh" | "bash") => (shell, "-c"),
            "python" => ("python3", "-c"),
            "javascript" => ("node", "-e"),
            other => panic!("{}: nothing runs {other}", self.name),
        };
        let mut command = Command::new(program);
        command.args([option, self.code]);
        command
    }

    /// Runs it where it may write files.
    fn check(&self) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = pipewatch_running(WATCH, &self.command());
        command.current_dir(folder.path());
        let watcher = Program::start(command);
        // Not to the end of its output, which is what a leftover of it may hold.
        let stopped = watcher.wait_for("the end", paced(PATIENCE), |record| {
            record["type"] == "stopped"
        });
        let records = watcher.objects();
        let said: BTreeSet<String> = records.iter().filter_map(judgement).collect();
        let expected = self.expect.map(str::to_owned);
        let reason = if expected.is_some() {
            "hang"
        } else {
            "command-ended"
        };
        assert_eq!(said, expected.into_iter().collect(), "of {}", self.name);
        assert_eq!(stopped["reason"], reason, "of {}", self.name);
    }
}

/// Verdict and cause of a hang.
fn judgement(record: &Value) -> Option<String> {
    let word = |key: &str| record[key].as_str().unwrap_or("none").to_owned();
    (record["type"] == "hang").then(|| format!("{}/{}", word("verdict"), word("cause")))
}

#[test]
fn every_program_of_the_guide_hangs_as_it_says_until_it_is_mended() {
    require_root();
    for some in Example::all().chunks(AT_ONCE) {
        thread::scope(|scope| {
            for example in some {
                scope.spawn(|| example.check());
            }
        });
    }
}

#[test]
fn every_broken_program_of_the_guide_is_mended_in_it() {
    let names = |broken: bool| -> Vec<&str> {
        let examples = Example::all().into_iter();
        let of_kind = examples.filter(|example| example.expect.is_some() == broken);
        of_kind.map(|example| example.name).collect()
    };
    assert_eq!(names(true), names(false));
    let marks = GUIDE.matches(" repro=").count() + GUIDE.matches(" fixed=").count();
    assert_eq!(names(true).len() * 2, marks, "a marked block is not found");
    assert_ne!(marks, 0);
}
