//! The records of the golden files, and the examples of docs/output.md, are as
//! docs/output.schema.json has them. Every record that a test reads from a running
//! pipewatch is checked where it is read (`Program`).

use std::fs;
use std::path::Path;
use std::process::Command;

use pipewatch_tests::{Program, faults};
use serde_json::{Value, json};

/// Panics unless they are, and are some.
fn check(origin: &str, records: impl Iterator<Item = String>) {
    let records: Vec<String> = records.collect();
    assert!(!records.is_empty(), "no records in {origin}");
    for record in records {
        let record: Value = serde_json::from_str(&record)
            .unwrap_or_else(|error| panic!("{origin}: {error} in {record}"));
        assert_eq!(
            faults(&record),
            Vec::<String>::new(),
            "in {origin}: {record:#}"
        );
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn golden_records_are_as_the_schema_has_them() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipewatch/tests/goldens");
    let files = fs::read_dir(&goldens).expect("the golden files");
    let paths = files.map(|file| file.expect("a golden file").path());
    for path in paths.filter(|path| path.extension().is_some_and(|kind| kind == "ndjson")) {
        check(
            &path.display().to_string(),
            read(&path).lines().map(str::to_owned),
        );
    }
}

#[test]
fn the_examples_of_the_manual_are_as_the_schema_has_them() {
    let manual = include_str!("../../docs/output.md");
    let blocks = manual.split("```json\n").skip(1);
    let examples = blocks.filter_map(|block| Some(block.split_once("```")?.0.to_owned()));
    check("docs/output.md", examples);
}

#[test]
fn what_is_wrong_is_named() {
    let lost = json!({
        "type": "lost", "time": "2026-11-23T04:11:12.117331Z", "events": 1, "rescanned": true
    });
    let changed = |key: &str, value: Value| {
        let mut record = lost.clone();
        record[key] = value;
        faults(&record)
    };
    assert_eq!(faults(&lost), Vec::<String>::new());
    assert_eq!(
        changed("events", json!(-1)),
        ["/events: -1 is less than the minimum of 0"]
    );
    assert_eq!(changed("time", json!("12:00")).len(), 1);
    assert_eq!(
        changed("extra", json!(1)),
        [": Additional properties are not allowed ('extra' was unexpected)"]
    );
    assert_eq!(changed("type", json!("gone")).len(), 1);
}

#[test]
#[should_panic(expected = "not as docs/output.schema.json has it")]
fn no_test_passes_over_a_wrong_record() {
    let mut program = Command::new("echo");
    program.arg(r#"{"type": "lost", "events": 1}"#);
    Program::run(program);
}

/// Names of fields and words for values, wherever they stand in a schema.
fn words(schema: &Value) -> Vec<&str> {
    let Value::Object(schema) = schema else {
        return Vec::new();
    };
    let inner = schema
        .iter()
        .flat_map(|(key, value)| match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                let names = fields.keys().map(String::as_str);
                names.chain(fields.values().flat_map(words)).collect()
            }
            ("enum", Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            ("const", Value::String(value)) => vec![value.as_str()],
            ("$defs", Value::Object(parts)) => parts.values().flat_map(words).collect(),
            (_, Value::Array(parts)) => parts.iter().flat_map(words).collect(),
            (_, part) => words(part),
        });
    inner.collect()
}

#[test]
fn the_manual_has_every_word_of_the_schema() {
    let manual = include_str!("../../docs/output.md");
    let schema = serde_json::from_str(include_str!("../../docs/output.schema.json"));
    let schema: Value = schema.expect("JSON");
    let words = words(&schema);
    assert!(
        words.contains(&"trace-ends") && words.contains(&"cloexec"),
        "{words:?}"
    );
    let is_told = |word: &str| {
        ['`', '"']
            .iter()
            .any(|quote| manual.contains(&format!("{quote}{word}{quote}")))
    };
    let missing: Vec<&str> = words.into_iter().filter(|word| !is_told(word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
