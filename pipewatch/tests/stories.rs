//! What is concluded from what happens: every file of `tests/stories` is told
//! to an engine, and what it says must be what the story expects.
//!
//! ```text
//! # Lines like this are comments. Without the next line, the defaults hold.
//! pipewatch -v -t 250ms --min-confidence certain
//!
//! 0ms   process 912 agent      a child of init, which has run `agent`
//! 0ms   912 thread 934 pusher  a thread does something: see `verbs::act`
//! 1ms   watch 912              the probes report on it and its descendants
//! 2ms   attach [912]           the engine is at work (default: from the start, on everything)
//! 3ms   lose 2                 the next two events find the buffer full
//! 3ms   look                   the next look lists who holds what now, the threads when it is due
//! 3ms   rescan                 some were lost, the tables are read, and only then what came
//!                              meanwhile
//!
//! expect by 1254ms: hang, leaked, reader 934, holders 25189
//! expect idle                  nothing that is watched lives
//! silence until 9s
//! ```
//!
//! A finding is known by phrases (see `phrases`), of which an expectation names
//! some. One that comes unexpected, or in another order, fails the story; so
//! does anything that comes within 15 seconds of its end.

#[allow(dead_code, reason = "each test uses the part it needs")]
mod model;

use std::{collections::VecDeque, fmt::Debug, fs, path::Path};

use model::{
    Done,
    session::{BEGIN, MS, Session},
    verbs::{act, number, pid},
};
use pipewatch::{
    event::Kind,
    finding::{Confidence, Finding, Hang, Holder, Resolved},
    ids::{Ktime, Pid, Tid},
    rules::Rules,
};

/// How long nothing may come after the end of a story.
const AFTERWARDS: u64 = 15_000 * MS;

#[test]
fn stories_end_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let files = fs::read_dir(&folder).expect("the stories can be listed");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no stories in {}", folder.display());
    let failures: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let text = fs::read_to_string(file).expect("a story is text");
            let failure = tell(&text).err()?;
            Some(format!("{}:{failure}", file.display()))
        })
        .collect();
    let (failed, all) = (failures.len(), files.len());
    assert!(
        failures.is_empty(),
        "{failed} of {all} stories failed\n\n{}",
        failures.join("\n\n")
    );
}

/// Tells a story. The error begins with the number of the line.
fn tell(text: &str) -> Result<(), String> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<(usize, &str)> = lines.map(|(index, line)| (index + 1, line)).collect();
    let at = |number: usize, line: &str, error: String| format!("{number}: {line}\n  {error}");

    let (options, steps): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .partition(|(_, line)| line.starts_with("pipewatch"));
    let mut rules = Rules {
        threshold: 1_000 * MS,
        min_confidence: Confidence::Likely,
        healthy: false,
        own: model::OWN,
        ends_command: false,
    };
    for (number, line) in options {
        set_options(&mut rules, line).map_err(|error| at(number, line, error))?;
    }
    let mut telling = Telling {
        session: Session::new(rules),
        found: VecDeque::new(),
    };
    if !steps.iter().any(|(_, line)| line.contains(" attach")) {
        telling.session.watch(&[]);
        telling.session.attach()?;
    }
    let mut last = 0;
    for (number, line) in steps {
        telling
            .step(line)
            .map_err(|error| at(number, line, error))?;
        last = number;
    }
    telling.end().map_err(|error| at(last, "(the end)", error))
}

fn set_options(rules: &mut Rules, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let mut words = words.as_slice();
    while let [_, ..] = words {
        words = match words {
            ["-v", rest @ ..] => {
                rules.healthy = true;
                rest
            }
            ["-t", threshold, rest @ ..] => {
                rules.threshold = nanoseconds(threshold)?;
                rest
            }
            ["--min-confidence", "certain", rest @ ..] => {
                rules.min_confidence = Confidence::Certain;
                rest
            }
            _ => return Err(format!("what is {}?", words.join(" "))),
        };
    }
    Ok(())
}

struct Telling {
    session: Session,
    /// Findings that no expectation has met yet.
    found: VecDeque<Finding>,
}

impl Telling {
    fn step(&mut self, line: &str) -> Result<(), String> {
        if line == "expect idle" {
            let idle = self.session.engine.is_idle();
            return idle.then_some(()).ok_or("not idle".to_owned());
        }
        if let Some(expectation) = line.strip_prefix("expect by ") {
            let (until, phrases) = expectation.split_once(':').ok_or("a colon is missing")?;
            return self.expect(moment(until)?, phrases);
        }
        if let Some(until) = line.strip_prefix("silence until ") {
            return self.silence(moment(until)?);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let [time, who, rest @ ..] = words.as_slice() else {
            return Err("a moment and a subject are missing".to_owned());
        };
        self.silence(moment(time)?)?;
        match (who.parse(), rest) {
            (Ok(by), deed) => act(&mut self.session.kernel, Tid(by), deed)?,
            (Err(_), args) => direct(&mut self.session, who, args)?,
        }
        self.found.extend(self.session.happened()?);
        Ok(())
    }

    fn expect(&mut self, until: Ktime, expected: &str) -> Result<(), String> {
        if self.found.is_empty() {
            self.found.extend(self.session.advance(until)?);
        }
        let Some(finding) = self.found.pop_front() else {
            return Err("nothing came".to_owned());
        };
        let got = phrases(&finding);
        let missing: Vec<&str> = expected
            .split(',')
            .map(str::trim)
            .filter(|phrase| !got.iter().any(|got| got == phrase))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "missing: {}\n  got: {}",
            missing.join(", "),
            got.join(", ")
        ))
    }

    fn silence(&mut self, until: Ktime) -> Result<(), String> {
        if self.found.is_empty() {
            if until.after(MS) <= self.session.kernel.now {
                return Err("this moment has passed already".to_owned());
            }
            self.found.extend(self.session.advance(until)?);
        }
        match self.found.front() {
            None => Ok(()),
            Some(finding) => {
                let after = self.session.kernel.now.since(BEGIN) / MS;
                let got = phrases(finding).join(", ");
                Err(format!("not expected, after {after} ms: {got}"))
            }
        }
    }

    /// Nothing more comes, and waits that go on do not keep pipewatch busy.
    fn end(&mut self) -> Result<(), String> {
        let before = self.session.looks;
        self.silence(self.session.kernel.now.after(AFTERWARDS))?;
        let looks = self.session.looks - before;
        let tasks = self.session.kernel.tasks();
        let readers = tasks.iter().filter(|row| row.asleep.is_some()).count() as u64;
        if looks > 4 * readers + 2 {
            return Err(format!("{looks} looks in 15 s at {readers} readers"));
        }
        Ok(())
    }
}

/// What happens to pipewatch, or by the hand of the narrator.
fn direct(session: &mut Session, verb: &str, args: &[&str]) -> Done {
    match (verb, args) {
        ("process", [new, comm]) => {
            let init = Tid(model::INIT.0);
            session.kernel.fork(init, pid(new)?, false)?;
            session.kernel.exec(Tid(number(new)?), comm)?;
        }
        ("watch", pids) => session.watch(&all(pids)?),
        ("unwatch", pids) => session.unwatch(&all(pids)?),
        ("attach", pids) => {
            if !pids.is_empty() || !session.kernel.is_watching() {
                session.watch(&all(pids)?);
            }
            session.attach()?;
        }
        ("look", []) => session.begin_look(),
        ("rescan", []) => session.rescan()?,
        ("lose", [events]) => session.lose(number(events)? as usize),
        _ => return Err("nobody can do this".to_owned()),
    }
    Ok(())
}

/// A finding in words.
fn phrases(finding: &Finding) -> Vec<String> {
    match finding {
        Finding::Hang(hang) => of_hang("hang", hang),
        Finding::Update(hang) => of_hang("update", hang),
        Finding::Resolved(resolved) => of_resolved(resolved),
    }
}

fn of_hang(kind: &str, hang: &Hang) -> Vec<String> {
    let mut phrases = vec![
        kind.to_owned(),
        word(&hang.verdict),
        word(&hang.cause),
        word(&hang.confidence),
        word(&hang.certainty),
        format!("reader {}", hang.reader.actor.tid),
        format!("fd {}", hang.reader.fd),
        format!("in {}", word(&hang.reader.call)),
        format!("since {} ms", hang.reader.since.since(BEGIN) / MS),
        match hang.channel.kind {
            Kind::Pipe => "pipe",
            Kind::Fifo => "fifo",
            Kind::Socketpair { .. } => "socketpair",
        }
        .to_owned(),
        match hang.channel.created {
            Some(created) => format!("created by {}", created.act.actor.tid),
            None => "created by nobody".to_owned(),
        },
    ];
    let holders = hang.holders.iter();
    let pids: Vec<String> = holders.map(|h| h.process.pid.to_string()).collect();
    phrases.push(format!("holders {}", pids.join(" ")));
    phrases.push(match hang.same_as {
        Some(first) => format!("same as {first}"),
        None => "told first".to_owned(),
    });
    phrases.extend(hang.holders.iter().flat_map(of_holder));
    let steps = hang.timeline.iter();
    let steps: Vec<String> = steps
        .map(|step| format!("{}@{}", word(&step.what), step.act.actor.tid))
        .collect();
    phrases.push(format!("timeline {}", steps.join(" ")));
    let clauses = |text: &str| {
        let clauses = text.split([',', ';', '.']).map(str::trim);
        clauses.map(|it| format!("says {it}")).collect::<Vec<_>>()
    };
    phrases.extend(clauses(&hang.why));
    phrases.extend(clauses(&hang.hint));
    phrases
}

fn of_holder(holder: &Holder) -> Vec<String> {
    let fds = holder.fds.iter().map(|held| {
        let read = if held.mode.read { "r" } else { "" };
        let write = if held.mode.write { "w" } else { "" };
        format!("{}{read}{write}", held.fd)
    });
    let fds: Vec<String> = fds.collect();
    let used = if holder.used { "used" } else { "unused" };
    let heir = if holder.heir { "heir" } else { "no heir" };
    let mut facts = vec![
        format!("via {}", word(&holder.via.kind)),
        format!("is {}", word(&holder.relation)),
        format!("holds {}", fds.join(" ")),
        used.to_owned(),
        heir.to_owned(),
    ];
    facts.extend(holder.execed.then(|| "execed".to_owned()));
    facts.extend(holder.stopped.then(|| "stopped".to_owned()));
    let pid = holder.process.pid;
    facts.iter().map(|fact| format!("{pid} {fact}")).collect()
}

fn of_resolved(resolved: &Resolved) -> Vec<String> {
    vec![
        "resolved".to_owned(),
        word(&resolved.outcome),
        format!("reader {}", resolved.reader.tid),
        format!("fd {}", resolved.fd),
        match resolved.freed_by {
            Some(by) => format!("freed by {} {}", by.pid, word(&by.how)),
            None => "freed by nobody".to_owned(),
        },
    ]
}

/// The name of a variant, in small letters.
fn word(variant: &impl Debug) -> String {
    let name = format!("{variant:?}");
    let letters = name.chars().take_while(|letter| letter.is_alphanumeric());
    let mut word = String::new();
    for letter in letters {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

fn all(words: &[&str]) -> Result<Vec<Pid>, String> {
    words.iter().map(|word| pid(word)).collect()
}

fn nanoseconds(word: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(word).map_err(|error| error.to_string())?;
    u64::try_from(duration.as_nanos()).map_err(|_| format!("{word} is too long"))
}

fn moment(word: &str) -> Result<Ktime, String> {
    nanoseconds(word.trim()).map(|time| BEGIN.after(time))
}
