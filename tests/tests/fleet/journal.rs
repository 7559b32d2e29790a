//! Reports as entries of the journal, by a journald in a mount namespace of its own.

use std::process::Command;
use std::time::Duration;

use pipewatch_tests::{Program, pipewatch_running, require_root, scenario};
use serde_json::Value;

use crate::expect::{self, RUN, list};

/// Starts a journald where there is none yet, runs the arguments with their output
/// connected to it as systemd does, and prints what it has got of pipewatch.
const WITH_JOURNAL: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal || exit 90
/lib/systemd/systemd-journald 2>/run/errors &
daemon=$!
until [ -S /run/systemd/journal/socket ] && [ -S /run/systemd/journal/stdout ]; do
    kill -0 $daemon || { cat /run/errors >&2; exit 91; }
done
systemd-cat -t streamed sh -c '
    exec 3>&1
    export JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/3)
    exec 3>&- "$@"' sh "$@"
status=$?
journalctl --sync && journalctl -o json --all --no-pager "$QUERY"
kill $daemon
wait $daemon
exit $status
"#;

/// The entries that a pipewatch made which had these arguments and watched a command.
fn entries(args: &[&str], command: &Command, query: &str) -> Vec<Value> {
    require_root();
    let pipewatch = pipewatch_running(args, command);
    let mut within = Command::new("unshare");
    within.args(["--mount", "sh", "-c", WITH_JOURNAL, "sh"]);
    within
        .arg(pipewatch.get_program())
        .args(pipewatch.get_args());
    within.env("QUERY", query);
    let program = Program::start(within);
    let output = program.finish(RUN + Duration::from_secs(30));
    assert_eq!(output.code, 0, "{output:?}");
    program.objects()
}

const OF_PIPEWATCH: &str = "SYSLOG_IDENTIFIER=pipewatch";

fn race() -> Command {
    scenario(&["fork-race", "--now", "--hold-ms", &expect::hold_ms()])
}

/// The record in an entry.
fn record(entry: &Value) -> Value {
    let record = entry["PIPEWATCH_JSON"].as_str().expect("a text");
    serde_json::from_str(record).expect("a record")
}

fn of_type<'a>(entries: &'a [Value], name: &str) -> &'a Value {
    let entry = entries.iter().find(|entry| entry["PIPEWATCH_TYPE"] == name);
    entry.unwrap_or_else(|| panic!("no {name} in {entries:#?}"))
}

#[test]
fn reports_are_entries_with_fields() {
    let entries = entries(&[], &race(), OF_PIPEWATCH);
    let types: Vec<&Value> = entries.iter().map(|e| &e["PIPEWATCH_TYPE"]).collect();
    assert_eq!(types, ["started", "hang", "resolved", "stopped"]);
    let message_ids = [
        "64e693fd4ebc413a8a4de29866460503",
        "59d0b6293ec6452c97f40ce74a66f314",
        "397dc72bfa544e17b21de89796a81ff4",
        "ef52e7c1fdb1414aa9419561ae1c715d",
    ];
    for (entry, message_id) in entries.iter().zip(message_ids) {
        assert_eq!(entry["MESSAGE_ID"], message_id);
        assert_eq!(entry["_TRANSPORT"], "journal");
        assert_eq!(record(entry)["type"], entry["PIPEWATCH_TYPE"]);
        let text = entry["PIPEWATCH_TEXT"].as_str().expect("a text");
        let message = entry["MESSAGE"].as_str().expect("a headline");
        let first = message.split(' ').next().expect("a word");
        assert!(
            text.starts_with(first) && !message.contains('\n'),
            "{message}"
        );
    }
    let hang = of_type(&entries, "hang");
    let record = record(hang);
    for (field, expected) in [
        ("PRIORITY", "3".to_owned()),
        ("PIPEWATCH_VERDICT", "leaked".to_owned()),
        ("PIPEWATCH_CAUSE", "fork-race".to_owned()),
        ("PIPEWATCH_CONFIDENCE", "certain".to_owned()),
        ("PIPEWATCH_READER_PID", record["reader"]["pid"].to_string()),
        ("PIPEWATCH_READER_TID", record["reader"]["tid"].to_string()),
        ("PIPEWATCH_PIPE", record["pipe"]["inode"].to_string()),
        (
            "PIPEWATCH_HOLDER_PID",
            record["holders"][0]["pid"].to_string(),
        ),
    ] {
        assert_eq!(hang[field], expected, "{field} of {hang:#}");
    }
    assert_eq!(hang["PIPEWATCH_READER_COMM"], record["reader"]["comm"]);
    assert_eq!(list(&record["holders"]).len(), 1);
    let text = hang["PIPEWATCH_TEXT"].as_str().expect("a text");
    assert!(text.contains("\n  timeline  "), "{text}");
    let resolved = of_type(&entries, "resolved");
    assert_eq!(resolved["PIPEWATCH_ID"], hang["PIPEWATCH_ID"]);
    assert_eq!(resolved["PIPEWATCH_OUTCOME"], "eof");
}

#[test]
fn who_asks_for_json_gets_lines_of_it() {
    let json = ["--format", "json"];
    let entries = entries(&json, &race(), "SYSLOG_IDENTIFIER=streamed");
    let records = entries.iter().filter_map(|entry| {
        assert_eq!(entry["_TRANSPORT"], "stdout");
        let record: Value = serde_json::from_str(entry["MESSAGE"].as_str()?).ok()?;
        record["type"].as_str().map(str::to_owned)
    });
    let records: Vec<String> = records.collect();
    assert_eq!(records, ["started", "hang", "resolved", "stopped"]);
}

#[test]
fn what_is_too_long_for_a_datagram_is_whole() {
    let mut command = Command::new("sh");
    command.args(["-c", "x=$(sleep 4 & echo answer)", "sh"]);
    let long = "x".repeat(120_000);
    command.args([&long, &long, &long]);
    let entries = entries(&[], &command, OF_PIPEWATCH);
    let hang = of_type(&entries, "hang");
    let record = record(hang);
    assert_eq!(list(&record["reader"]["cmdline"])[4..], [long.as_str(); 3]);
    let pid = record["reader"]["pid"].to_string();
    assert_eq!(hang["PIPEWATCH_READER_PID"], pid);
}
