//! What is kept of each kernel, and compared with what a guest says: the words
//! of the doctor, and how many instructions the verifier goes through.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::suite::DOCTORS;
use crate::workspace;

const WORDS: &str = "doctor.txt";
const VERIFIED: &str = "verifier.tsv";

/// By so many percent a program may grow before somebody is told.
const GROWTH: u64 = 10;

/// What a guest said of its kernel, and where it is kept.
pub struct Record {
    folder: PathBuf,
    /// What the doctor said, without what differs from run to run.
    words: String,
    /// Instructions of each program; none where the kernel does not tell.
    verified: BTreeMap<String, u64>,
}

impl Record {
    /// Of what the doctor found, by what it was asked as.
    pub fn of(doctor: &BTreeMap<String, Vec<Value>>, folder: PathBuf) -> Result<Self> {
        let mut words = String::new();
        let mut verified = BTreeMap::new();
        for (name, _) in DOCTORS {
            let checks = doctor.get(*name).map_or(&[][..], Vec::as_slice);
            if checks
                .last()
                .is_none_or(|check| check["check"] != "backend")
            {
                bail!("the doctor, asked as {name}, did not come to its end");
            }
            words += &format!("as {}:\n", name.replace('-', " "));
            for check in checks {
                words += &said(check);
                let counts = check["verified"].as_object().into_iter().flatten();
                let count =
                    |(name, count): (&String, &Value)| Some((name.clone(), count.as_u64()?));
                verified.extend(counts.filter_map(count));
            }
        }
        Ok(Self {
            folder,
            words,
            verified,
        })
    }

    /// Keeps it.
    pub fn write(&self) -> Result<()> {
        let Self { folder, .. } = self;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lines = self.verified.iter();
        let table: String = lines
            .map(|(name, count)| format!("{name}\t{count}\n"))
            .collect();
        for (name, text) in [(WORDS, &self.words), (VERIFIED, &table)] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// How it differs from what is kept: other words; a program that the verifier
    /// works notably harder on, and one that is new or gone.
    pub fn differences(&self) -> Result<Vec<String>> {
        if !self.folder.is_dir() {
            let name = short(&self.folder);
            return Ok(vec![format!("nothing is recorded in {name}, --bless does")]);
        }
        let words = workspace::read(&self.folder.join(WORDS))?;
        let table = workspace::read(&self.folder.join(VERIFIED))?;
        let mut differences = Vec::new();
        if let Some(line) = first_difference(&words, &self.words) {
            let name = short(&self.folder.join(WORDS));
            differences.push(format!(
                "the doctor's words are not those of {name}: {line}"
            ));
        }
        differences.extend(budget(&parse(&table)?, &self.verified));
        Ok(differences)
    }
}

/// A check in words.
fn said(check: &Value) -> String {
    let text = |key: &str| check[key].as_str().unwrap_or_default();
    let mark = match check["ok"].as_bool() {
        Some(true) => "ok",
        Some(false) => "no",
        None => "unknown",
    };
    let name = text("check");
    let found = match name {
        // Its name says which kernel it is.
        "kernel" => text("found")
            .split(' ')
            .next_back()
            .unwrap_or_default()
            .into(),
        _ => without_numbers(text("found")),
    };
    let mut said = format!("  {mark} {name}: {found}\n");
    if let Some(hint) = check["hint"].as_str() {
        said += &format!("     hint: {hint}\n");
    }
    said
}

/// Leaves out how many threads and processes there were; none is kept.
fn without_numbers(found: &str) -> String {
    let mut words: Vec<&str> = found.split(' ').collect();
    for at in 0..words.len() {
        let is_number = words[at].parse().is_ok_and(|number: u64| number > 0);
        let before = at.checked_sub(1).map(|before| words[before]);
        if is_number && (words.get(at + 1) == Some(&"threads") || before == Some("into:")) {
            words[at] = "N";
        }
    }
    words.join(" ")
}

/// The first line that is not the same, with both.
fn first_difference(kept: &str, found: &str) -> Option<String> {
    if kept == found {
        return None;
    }
    let mut lines = found.lines().zip(kept.lines().chain(std::iter::repeat("")));
    let differs = lines.find(|(found, kept)| found != kept);
    let (found, kept) = differs.unwrap_or(("(nothing more)", "(more)"));
    Some(format!("`{}`, and not `{}`", found.trim(), kept.trim()))
}

fn parse(table: &str) -> Result<BTreeMap<String, u64>> {
    let row = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    let rows = table.lines().map(|line| {
        row(line).with_context(|| format!("{VERIFIED} has a line without a number: {line}"))
    });
    rows.collect()
}

/// What of the verifier's work is over the budget, by the names of programs.
fn budget(kept: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Vec<String> {
    let over = found
        .iter()
        .filter_map(|(name, &count)| match kept.get(name) {
            None => Some(format!("{name} is new to {VERIFIED}")),
            Some(&kept) if count * 100 > kept * (100 + GROWTH) => Some(format!(
                "{name} takes the verifier {count} instructions, {kept} before"
            )),
            Some(_) => None,
        });
    let gone = kept.keys().filter(|name| !found.contains_key(*name));
    let gone = gone.map(|name| format!("{name} is in {VERIFIED}, and was not verified"));
    over.chain(gone).collect()
}

/// A path of the repository, without what lies above its tests.
fn short(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let from = parts.iter().rposition(|part| part == "tests").unwrap_or(0);
    parts[from..].join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a doctor says whose program `switch` takes so many instructions.
    fn record(folder: &Path, threads: u32, instructions: u64) -> Record {
        let kernel = json!({"check": "kernel", "ok": true, "found": "Linux 6.1.0-56 x86_64"});
        let fentry = json!({
            "check": "fentry", "ok": true, "found": format!("works; {threads} threads seen"),
            "verified": {"switch": instructions, "waking": 50},
        });
        let backend = json!({"check": "backend", "ok": true, "found": "fentry", "hint": "none"});
        let checks = vec![kernel, fentry, backend];
        let all = DOCTORS
            .iter()
            .map(|(name, _)| (name.to_string(), checks.clone()));
        Record::of(&all.collect(), folder.join("tests/kernels/6.1")).expect("an answer")
    }

    #[test]
    fn what_differs_from_run_to_run_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = record(folder.path(), 12, 1000);
        assert_eq!(
            kept.differences().expect("an answer"),
            ["nothing is recorded in tests/kernels/6.1, --bless does"]
        );
        kept.write().expect("a file");
        let again = record(folder.path(), 14, 1000);
        assert_eq!(again.differences().expect("an answer"), [""; 0]);
        let begin = "as root:\n  ok kernel: x86_64\n  ok fentry: works; N threads seen\n  \
                     ok backend: fentry\n     hint: none\nas an ordinary user:\n";
        assert!(kept.words.starts_with(begin), "{}", kept.words);
    }

    #[test]
    fn other_words_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        record(folder.path(), 1, 1000).write().expect("a file");
        let mut other = record(folder.path(), 1, 1000);
        other.words = other.words.replacen("works", "fails", 1);
        assert_eq!(
            other.differences().expect("an answer"),
            [
                "the doctor's words are not those of tests/kernels/6.1/doctor.txt: \
              `ok fentry: fails; N threads seen`, and not `ok fentry: works; N threads seen`"
            ]
        );
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_taken() {
        let all = DOCTORS.iter().map(|(name, _)| (name.to_string(), vec![]));
        assert!(Record::of(&all.collect(), PathBuf::new()).is_err());
    }

    #[test]
    fn a_program_that_grows_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        record(folder.path(), 1, 1000).write().expect("a file");
        let differences = |found| record(folder.path(), 1, found).differences();
        assert_eq!(differences(1100).expect("an answer"), [""; 0]);
        assert_eq!(differences(10).expect("an answer"), [""; 0]);
        assert_eq!(
            differences(1101).expect("an answer"),
            ["switch takes the verifier 1101 instructions, 1000 before"]
        );
        let table = |text| parse(text).expect("a table");
        assert_eq!(
            budget(&table("a\t1\n"), &table("b\t1\n")),
            [
                "b is new to verifier.tsv",
                "a is in verifier.tsv, and was not verified"
            ]
        );
        assert!(parse("a 1\n").is_err());
    }
}
