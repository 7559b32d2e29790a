//! What the engine keeps is of what lives, however much has happened before: all
//! of it is told by its `Debug`, so the length of that is the measure.

#[allow(dead_code, reason = "each test uses the part it needs")]
mod model;

use model::{
    OWN,
    session::{MS, Session},
    verbs::{act, number},
};
use pipewatch::{finding::Confidence, ids::Tid, rules::Rules};

/// Process 10, the engine at work on all there is, and what happens.
struct Life(Session);

impl Life {
    fn new() -> Self {
        let mut life = Self(Session::new(Rules {
            threshold: 1_000 * MS,
            min_confidence: Confidence::Likely,
            healthy: false,
            own: OWN,
            ends_command: false,
        }));
        life.0.watch(&[]);
        life.0.attach().expect("an engine");
        life.all(&["1 fork 10"]);
        life
    }

    /// Things happen one after the other, without time in between.
    fn all(&mut self, lines: &[&str]) {
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let by = Tid(number(words[0]).expect(line));
            act(&mut self.0.kernel, by, &words[1..]).expect(line);
            self.0.happened().expect(line);
        }
    }

    fn pass(&mut self, time: u64) {
        let until = self.0.kernel.now.after(time);
        while self.0.kernel.now < until {
            self.0.advance(until).expect("an engine that goes on");
        }
    }

    /// Lets it happen so many times; after a tenth it is seen how much is kept.
    fn stays_small(mut self, rounds: u32, mut round: impl FnMut(&mut Self, u32)) {
        let mut early = 0;
        for number in 0..rounds {
            round(&mut self, number);
            // What is cut when it is too long grows and shrinks, within a hundred rounds.
            if (rounds / 10..rounds / 10 + 100).contains(&number) {
                early = early.max(self.kept());
            }
        }
        let late = self.kept();
        // Numbers may have more digits by then.
        assert!(
            late <= early + early / 10,
            "{early} characters became {late}:\n{:.2000?}",
            self.0.engine
        );
    }

    /// What is kept when all that was lost has been mended, and no wait is due.
    fn kept(&mut self) -> usize {
        self.pass(2_000 * MS);
        format!("{:?}", self.0.engine).len()
    }
}

/// One command of a busy shell: it is given work, answers, and ends.
fn command(shell: &mut Life, round: u32, working: u64) {
    let child = 1_000 + round % 20_000;
    shell.all(&[
        "10 pipe 3 4",
        "10 pipe 5 6",
        &format!("10 fork {child}"),
        "10 close 4",
        "10 close 5",
        &format!("{child} dup 4 1"),
        &format!("{child} close 6"),
        &format!("{child} exec cat"),
        &format!("{child} read 5"),
    ]);
    shell.pass(working);
    shell.all(&["10 write 6", "10 read 3"]);
    shell.pass(working);
    shell.all(&[
        &format!("{child} write 1"),
        &format!("{child} exit"),
        &format!("10 reap {child}"),
        "10 close 3",
        "10 close 6",
    ]);
}

#[test]
fn nothing_is_kept_of_a_hundred_thousand_processes() {
    Life::new().stays_small(100_000, |shell, round| command(shell, round, MS));
}

#[test]
fn nothing_is_kept_of_what_ended_unseen() {
    Life::new().stays_small(5_000, |shell, round| {
        shell.0.lose(round as usize % 32);
        // Long enough for its sleep to be seen.
        command(shell, round, 60 * MS);
    });
}

#[test]
fn a_descriptor_that_is_duplicated_for_ever() {
    let mut shell = Life::new();
    shell.all(&["10 pipe 3 4"]);
    shell.stays_small(5_000, |shell, _| {
        shell.all(&["10 dup 4 10", "10 dup 10 4", "10 close 10"]);
    });
}

#[test]
fn a_program_that_is_followed_by_its_child_for_ever() {
    let mut program = Life::new();
    program.all(&["10 pipe 3 4"]);
    program.stays_small(5_000, |program, round| {
        let [old, new] = [10 + round, 11 + round];
        program.all(&[
            &format!("{old} fork {new}"),
            &format!("{old} exit"),
            &format!("{new} exec again"),
        ]);
    });
}

#[test]
fn a_supervisor_that_polls_one_child_after_the_other() {
    Life::new().stays_small(400, |supervisor, round| {
        let child = 1_000 + round;
        supervisor.all(&[
            "10 pipe 3 4",
            &format!("10 fork {child}"),
            "10 close 4",
            "10 poll 3",
        ]);
        supervisor.pass(500 * MS);
        supervisor.all(&[
            &format!("{child} exit"),
            &format!("10 reap {child}"),
            "10 close 3",
        ]);
    });
}
