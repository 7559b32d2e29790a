//! Files that users are to copy: that they are what they are meant to be.

use std::fs;
use std::path::Path;

use pipewatch_tests::assert_contains;
use serde_json::{Value, json};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value:#}"))
}

/// The documents of a manifest, each of which must be of a known kind.
fn documents() -> Vec<Value> {
    let text = read("kubernetes/daemonset.yaml");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    for document in &documents {
        for field in ["apiVersion", "kind"] {
            assert!(document[field].is_string(), "{document:#}");
        }
        assert!(document["metadata"]["name"].is_string(), "{document:#}");
    }
    documents
}

#[test]
fn the_daemon_set_asks_for_no_more_than_it_needs() {
    let documents = documents();
    let kinds: Vec<&Value> = documents.iter().map(|document| &document["kind"]).collect();
    assert_eq!(kinds, ["Namespace", "DaemonSet"]);
    let daemon_set = &documents[1];
    assert_eq!(
        daemon_set["metadata"]["namespace"],
        documents[0]["metadata"]["name"]
    );
    let spec = &daemon_set["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    assert_contains(labels, &spec["selector"]["matchLabels"]);
    let pod = &spec["template"]["spec"];
    assert_contains(
        pod,
        &json!({"hostPID": true, "automountServiceAccountToken": false}),
    );
    for shared in ["hostNetwork", "hostIPC"] {
        assert_eq!(pod[shared], Value::Null);
    }
    let [container] = list(&pod["containers"]) else {
        panic!("one container: {pod:#}");
    };
    let mut allowed: Vec<&str> = list(&container["securityContext"]["capabilities"]["add"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    allowed.sort();
    assert_eq!(allowed, ["BPF", "DAC_READ_SEARCH", "PERFMON", "SYS_PTRACE"]);
    let security = json!({
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    assert_contains(&container["securityContext"], &security);
    for resource in ["cpu", "memory"] {
        assert!(
            container["resources"]["limits"][resource].is_string(),
            "{container:#}"
        );
    }
    // Each volume is a path of the host, mounted read-only, and used.
    let volumes = list(&pod["volumes"]).iter().map(|volume| {
        assert!(volume["hostPath"]["path"].is_string(), "{volume:#}");
        &volume["name"]
    });
    let mounts = list(&container["volumeMounts"]).iter().map(|mount| {
        assert_eq!(mount["readOnly"], true, "{mount:#}");
        &mount["name"]
    });
    assert!(volumes.eq(mounts));
}

#[test]
fn the_daemon_set_serves_the_metrics_that_it_announces() {
    let documents = documents();
    let template = &documents[1]["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    let port = &container["ports"][0]["containerPort"];
    let args = list(&container["args"]);
    let at = args
        .iter()
        .position(|arg| arg == "--metrics")
        .expect("--metrics");
    assert_eq!(args[at + 1], format!("0.0.0.0:{port}"));
    let probe = &container["livenessProbe"]["httpGet"];
    assert_eq!(
        (&probe["path"], &probe["port"]),
        (&json!("/metrics"), &json!("metrics"))
    );
    let known = pipewatch_tests::pipewatch(&["--help"]);
    let help = pipewatch_tests::Program::run(known).stdout;
    for option in args
        .iter()
        .filter_map(Value::as_str)
        .filter(|arg| arg.starts_with("--"))
    {
        assert!(help.contains(option), "{option}");
    }
}

#[test]
fn the_rules_ask_for_metrics_that_there_are() {
    let rules: Value = serde_saphyr::from_str(&read("alerts.yml")).expect("YAML");
    let about = read("fleets.md");
    let mut expressions = Vec::new();
    for group in list(&rules["groups"]) {
        for rule in list(&group["rules"]) {
            expressions.extend(rule["expr"].as_str());
            let named = rule["alert"].as_str().expect("a name");
            assert!(about.contains(named), "{named}");
        }
    }
    let expressions = expressions.join("\n");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expressions.split(|c| !is_part(c));
    let metrics: Vec<&str> = words
        .filter(|word| word.starts_with("pipewatch_"))
        .collect();
    assert!(metrics.len() >= 2, "{expressions}");
    for metric in metrics {
        assert!(about.contains(&format!("`{metric}`")), "{metric}");
    }
}
