//! The schema of the records, docs/output.schema.json.

use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../docs/output.schema.json"));
    let schema = schema.expect("a schema that is JSON");
    jsonschema::validator_for(&schema).expect("a schema of draft 2020-12")
});

/// What of a record is not as the schema has it, one line each.
pub fn faults(record: &Value) -> Vec<String> {
    SCHEMA.iter_errors(record).flat_map(told).collect()
}

/// The places that are wrong, of the kind of record that this one says it is.
fn told(error: ValidationError) -> Vec<String> {
    let is_of_its_type = |errors: &&Vec<ValidationError>| {
        errors
            .iter()
            .all(|error| error.instance_path().as_str() != "/type")
    };
    let one = |error: &ValidationError| format!("{}: {error}", error.instance_path());
    if let ValidationErrorKind::OneOfNotValid { context } = error.kind()
        && let Some(errors) = context.iter().find(is_of_its_type)
    {
        return errors.iter().map(one).collect();
    }
    vec![one(&error)]
}
