//! A recorded trace of every shape is judged again: the same engine, without a
//! kernel and without root. `cargo xtask traces` records them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pipewatch_tests::{Program, Saying, Shape, pipewatch, shapes};
use serde_json::Value;

/// What is wrong with the replay of a shape's trace.
fn complaint(shape: &Shape) -> Option<String> {
    let packed = format!("traces/{}.trace.gz", shape.name);
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(packed);
    let unpacked = Command::new("gzip").arg("-dc").arg(packed).output();
    let trace = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&trace, unpacked.expect("gzip").stdout).expect("room for a trace");
    let path = trace.path().to_str().expect("a path in UTF-8");
    let page = tempfile::NamedTempFile::new().expect("a file");
    let html = page.path().to_str().expect("a path in UTF-8");
    let args = ["replay", path, "--format", "json", "--html", html];
    let replay = Program::start(pipewatch(&args));
    let output = replay.finish(Duration::from_secs(60));
    if output.code != 0 || !output.stderr.is_empty() {
        return Some(format!("{}: {output:?}", shape.name));
    }
    let records = replay.objects();
    let of = |kind| records.iter().filter(move |record| record["type"] == kind);
    let hangs: Vec<&Value> = of("hang").collect();
    let drawn = std::fs::read_to_string(&page).expect("a page in UTF-8");
    if drawn.matches("<figure>").count() != hangs.len() || !drawn.ends_with("</html>") {
        return Some(format!(
            "{}: no picture of each hang in {drawn}",
            shape.name
        ));
    }
    let resolved: Vec<Value> = of("resolved").cloned().collect();
    let got = Saying::of(&hangs, &resolved);
    let expected = shape
        .expected
        .map_or_else(Vec::new, |answer| answer.sayings());
    (got != expected).then(|| format!("{}: expected {expected:?}, got {got:?}", shape.name))
}

#[test]
fn every_recorded_shape_is_told_right_again() {
    let wrong: Vec<String> = shapes().filter_map(complaint).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
