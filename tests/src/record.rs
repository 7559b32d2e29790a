//! Comparing the JSON that pipewatch prints with what a test knows.

use std::time::UNIX_EPOCH;

use serde_json::Value;

/// When a record says it is from (`time`), or a fact (`time_us`): microseconds
/// since 1970.
pub fn micros_of(object: &Value) -> i64 {
    if let Some(micros) = object["time_us"].as_i64() {
        return micros;
    }
    let time = object["time"]
        .as_str()
        .unwrap_or_else(|| panic!("no time in {object:#}"));
    let time = humantime::parse_rfc3339(time).unwrap_or_else(|error| panic!("{time}: {error}"));
    let since = time.duration_since(UNIX_EPOCH).expect("a time after 1970");
    since.as_micros() as i64
}

/// Panics unless `actual` contains `expected`, as [`missing`] defines it.
pub fn assert_contains(actual: &Value, expected: &Value) {
    let missing = missing(actual, expected);
    assert!(missing.is_empty(), "{}\nin {actual:#}", missing.join("\n"));
}

/// What of `expected` is not in `actual`, one line each. An object may have
/// more fields than expected, a list more elements, before, between or after
/// those expected.
pub fn missing(actual: &Value, expected: &Value) -> Vec<String> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => expected
            .iter()
            .flat_map(|(key, expected)| {
                let found = missing(actual.get(key).unwrap_or(&Value::Null), expected);
                found.into_iter().map(move |line| format!("{key}.{line}"))
            })
            .collect(),
        (Value::Array(actual), Value::Array(expected)) => {
            let mut rest = actual.iter();
            expected
                .iter()
                .filter(|expected| !rest.any(|actual| missing(actual, expected).is_empty()))
                .map(|expected| format!(": no {expected}, or not in this order"))
                .collect()
        }
        _ if actual == expected => Vec::new(),
        _ => vec![format!(": {actual} instead of {expected}")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subset_is_contained_and_a_difference_is_named() {
        let actual = json!({"a": 1, "list": [{"x": 1, "y": 2}, {"x": 3}], "none": null});
        let contained = [
            json!({}),
            json!({"a": 1}),
            json!({"list": [{"x": 3}]}),
            json!({"list": [{"y": 2}, {"x": 3}]}),
            json!({"none": null}),
        ];
        for expected in contained {
            assert_contains(&actual, &expected);
        }
        let different = [
            (json!({"a": 2}), "a.: 1 instead of 2"),
            (
                json!({"list": [{"x": 3}, {"x": 1}]}),
                r#"list.: no {"x":1}, or not in this order"#,
            ),
            (json!({"b": 0}), "b.: null instead of 0"),
        ];
        for (expected, complaint) in different {
            assert_eq!(missing(&actual, &expected), [complaint]);
        }
    }

    #[test]
    fn records_and_facts_share_one_clock() {
        let record = json!({"time": "1970-01-01T00:00:01.000002Z"});
        assert_eq!(
            micros_of(&record),
            micros_of(&json!({"time_us": 1_000_002}))
        );
    }
}
