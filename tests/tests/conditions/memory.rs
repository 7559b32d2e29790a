//! What pipewatch takes does not grow with what has happened.

use std::process::Command;

use pipewatch_tests::{Program, Watcher};

use crate::expect::RUN;

/// Growth of the second half that is no growth, in kilobytes.
const NOISE: u64 = 2_048;

/// Two times so many forks, with a pipe each, and a word after each time.
const FORKS: &str = r#"
$| = 1;
print qq({"fact": "ready"}\n);
for my $half ('first', 'second') {
    <STDIN>;
    for (1 .. 10_000) {
        pipe(my $r, my $w);
        my $pid = fork // die;
        POSIX::_exit(0) if $pid == 0;
        close($w);
        sysread($r, my $byte, 1);
        waitpid($pid, 0);
    }
    print qq({"fact": "$half"}\n);
}
<STDIN>;
"#;

#[test]
fn of_twenty_thousand_forks() {
    let mut perl = Command::new("perl");
    perl.args(["-MPOSIX", "-e", FORKS]);
    let mut target = Program::ready(perl);
    let watcher = Watcher::of(&target, &[]);
    let mut after = |half: &str| {
        target.go();
        target.wait_for(half, RUN, |fact| fact["fact"] == half);
        watcher.resident_kb()
    };
    let (first, second) = (after("first"), after("second"));
    assert!(
        second <= first + NOISE,
        "{first} kB after 10,000 forks, {second} kB after 20,000"
    );
}
