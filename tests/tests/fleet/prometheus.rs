//! A real Prometheus scrapes, and raises the alarm.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pipewatch_tests::{Program, Watcher, paced, scenario};
use serde_json::{Value, json};

use crate::expect::{self, list};
use crate::scrape::{address, get, plain_metrics};

/// When to stop waiting for Prometheus, late or not.
const PATIENCE: Duration = Duration::from_secs(90);

/// The rules that users are to copy.
fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts.yml")
}

/// A Prometheus that scrapes a pipewatch, and the folder it works in.
struct Prometheus {
    program: Program,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn of(pipewatch: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let text = json!({
            "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [rules()],
            "scrape_configs": [{
                "job_name": "pipewatch",
                "static_configs": [{"targets": [pipewatch.to_string()]}],
            }],
        });
        // JSON is YAML, too.
        fs::write(&config, text.to_string()).expect("room");
        let mut prometheus = Command::new("prometheus");
        prometheus.arg(format!("--config.file={}", config.display()));
        prometheus.arg(format!("--storage.tsdb.path={}", folder.path().display()));
        prometheus.arg("--web.listen-address=127.0.0.1:0");
        let program = Program::start(prometheus);
        let line = program.wait_for_complaint("Listening on", paced(PATIENCE));
        let (_, address) = line.split_once("address=").expect("an address");
        Self {
            program,
            address: address.trim().parse().expect("an address"),
            _folder: folder,
        }
    }

    /// What it answers once it is this; it is asked again until then.
    fn wait_for(&self, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let answer = get(self.address, path);
            let data = answer.as_ref().ok().and_then(|body| {
                let body: Value = serde_json::from_str(body).ok()?;
                Some(body["data"].clone())
            });
            if let Some(data) = data.filter(&is_it) {
                return data;
            }
            assert!(
                begin.elapsed() < paced(PATIENCE),
                "{path} of {}: {answer:?}",
                self.program.pid()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until a query has one result, of this value.
    fn wait_for_value(&self, query: &str, expected: &str) {
        self.wait_for(&format!("/api/v1/query?query={query}"), |data| {
            list(&data["result"]).len() == 1 && data["result"][0]["value"][1] == expected
        });
    }

    /// Until these alerts are raised, and no others.
    fn wait_for_alerts(&self, names: &[&str]) -> Value {
        self.wait_for("/api/v1/alerts", |data| {
            let firing = list(&data["alerts"])
                .iter()
                .filter(|alert| alert["state"] == "firing");
            firing.map(|alert| &alert["labels"]["alertname"]).eq(names)
        })
    }
}

#[test]
fn a_hang_that_lasts_raises_the_alarm_until_it_is_over() {
    // Until it is killed.
    let mut target = Program::ready(scenario(&["fork-race", "--hold-ms", "600000"]));
    let watcher = Watcher::of(&target, &["--metrics", "127.0.0.1:0"]);
    let address = address(&watcher);
    let prometheus = Prometheus::of(address);
    prometheus.wait_for_value("up", "1");
    prometheus.wait_for_value("pipewatch_open_hangs", "0");
    prometheus.wait_for_alerts(&[]);

    target.go();
    let hang = expect::hang_of(&watcher, &target.fact("expect")["hang"]["reader"]["tid"]);
    prometheus.wait_for_value("pipewatch_open_hangs", "1");
    let query = "pipewatch_hangs_total{verdict=%22leaked%22,cause=%22fork-race%22}";
    prometheus.wait_for_value(query, "1");
    let alerts = prometheus.wait_for_alerts(&["PipewatchHang"]);
    let alert = &alerts["alerts"][0];
    assert_eq!(alert["labels"]["instance"], address.to_string());
    let seconds: f64 = alert["value"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a number");
    assert!(seconds > 10.0, "{alert:#}");
    let description = alert["annotations"]["description"].as_str();
    assert!(
        description.is_some_and(|text| text.contains("waited for 1")),
        "{alert:#}"
    );

    let holder = hang["holders"][0]["pid"].as_i64().expect("a pid");
    let holder = nix::unistd::Pid::from_raw(holder as i32);
    nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).expect("a live holder");
    expect::resolution(&watcher, &hang);
    prometheus.wait_for_alerts(&[]);
}

/// `promtool check` of something, given on standard input or as a file.
fn check(args: &[&str], input: &str) {
    let mut promtool = Command::new("promtool");
    let promtool = promtool.arg("check").args(args);
    let piped = promtool
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("promtool, of the package prometheus");
    let stdin = child.stdin.take();
    stdin
        .expect("a pipe")
        .write_all(input.as_bytes())
        .expect("a reader");
    let output = child.wait_with_output().expect("its end");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn its_own_tool_has_nothing_to_say_against_rules_and_metrics() {
    let rules = rules();
    check(&["rules", rules.to_str().expect("a path in UTF-8")], "");
    let target = Program::ready(scenario(&["fork-race"]));
    let watcher = Watcher::of(&target, &["--metrics", "127.0.0.1:0"]);
    check(&["metrics"], &plain_metrics(address(&watcher)));
}
