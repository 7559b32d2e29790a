//! A command behaves under `pipewatch -- COMMAND` as it does without.

use std::process::Command;

use nix::sys::signal::Signal;
use pipewatch_tests::{Program, pipewatch, require_root};
use serde_json::{Value, json};

use crate::expect::RUN;

/// `pipewatch --`, without the reports, as a word of a shell.
fn prefix() -> String {
    let pipewatch = pipewatch(&["--output", "/dev/null", "--"]);
    let words = [pipewatch.get_program()].into_iter();
    let words = words.chain(pipewatch.get_args());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// What a person at a terminal sees of a command that is stopped and goes on, reads
/// a line, and ends, and of one that is interrupted.
fn dialogue(prefix: &str) -> Vec<Value> {
    let mut shell = Command::new("script");
    shell.args(["-qec", "bash --norc --noediting -i", "/dev/null"]);
    let mut shell = Program::start(shell);
    // On a line of its own, whatever the terminal shows before.
    shell.send_line(r#"say() { printf '\n{"fact":"%s","code":%s}\n' "$1" "$2"; }; export -f say"#);
    let answer = r#"bash -c 'tty -s; say ready $?; read word; say "$word" 0; exit 5'"#;
    shell.send_line(&format!("{prefix} {answer}"));
    shell.fact("ready");
    shell.send("\u{1a}");
    shell.wait_for_text("Stopped", RUN);
    shell.send_line("say stopped $?");
    shell.fact("stopped");
    shell.send_line("fg");
    shell.send_line("hello");
    shell.fact("hello");
    shell.send_line("say ended $?");
    shell.fact("ended");
    shell.send_line(&format!("{prefix} bash -c 'say sleeps 0; exec sleep 90'"));
    shell.fact("sleeps");
    shell.send("\u{3}");
    shell.send_line("say interrupted $?");
    shell.fact("interrupted");
    shell.send_line("exit 0");
    assert_eq!(shell.finish(RUN).code, 0);
    shell.objects()
}

#[test]
fn at_a_terminal() {
    require_root();
    let without = dialogue("");
    let code = |fact: &str| {
        let mut facts = without.iter();
        facts
            .find(|it| it["fact"] == fact)
            .map(|it| it["code"].clone())
    };
    assert_eq!(code("stopped"), Some(json!(148)));
    assert_eq!(code("ended"), Some(json!(5)));
    assert_eq!(code("interrupted"), Some(json!(130)));
    assert_eq!(dialogue(&prefix()), without);
}

/// A program's input, output, signals and end, and what it was started with.
#[test]
fn in_a_script() {
    require_root();
    let script = r#"
        read first; read second
        echo "out $first $second"; echo "err" >&2
        trap '' PIPE
        grep -E '^(SigBlk|SigIgn|Umask|NoNewPrivs|Seccomp):' /proc/self/status
        ls -l /proc/self/fd | grep -c -- '->'
        ulimit -a; pwd; env | grep -v '^_=' | sort | cksum; echo "$@"
        cat
        kill -SEGV $$"#;
    let run = |prefix: &str| {
        let mut shell = Command::new("bash");
        let run = format!(
            "{prefix} sh -c '{}' name 'a b' ''",
            script.replace('\'', r"'\''")
        );
        let feed = r"printf 'one\ntwo\nthree\nfour\n'";
        // What this process opens for other tests meanwhile may come along.
        let tidy = r#"for fd in /proc/$$/fd/*; do fd=${fd##*/}; [ $fd -gt 2 ] && eval "exec $fd>&-"; done"#;
        shell.args([
            "-c",
            &format!("{tidy}; ulimit -c 0; trap '' HUP; {feed} | {run}; echo ended $?"),
        ]);
        Program::run(shell)
    };
    let (without, with) = (run(""), run(&prefix()));
    for word in ["out one two", "three\nfour\n", "ended 139"] {
        assert!(without.stdout.contains(word), "no {word} in {without:?}");
    }
    assert_eq!(with.stdout, without.stdout);
    assert_eq!(with.code, without.code);
    assert!(with.stderr.contains("err"), "{with:?}");
}

/// A signal to its group reaches it once, and one to pipewatch too.
#[test]
fn a_signal_comes_once() {
    require_root();
    let script = r#"trap 'echo "{\"fact\":\"usr\"}"' HUP
        trap 'exit 9' TERM; echo '{"fact":"ready"}'
        while :; do sleep 0.05; done"#;
    let watched = format!("{} bash -c \"$0\"", prefix());
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("exec {watched}"), script]);
    let watcher = Program::start(shell);
    watcher.fact("ready");
    watcher.signal(Signal::SIGHUP);
    watcher.fact("usr");
    watcher.signal(Signal::SIGTERM);
    assert_eq!(watcher.finish(RUN).code, 9);
    let told = watcher.objects();
    let signals = told.iter().filter(|it| it["fact"] == "usr");
    assert_eq!(signals.count(), 1);
}
