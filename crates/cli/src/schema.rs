//! `promptopt schema`: the JSON Schema of the task file.

use serde_json::Value;

use crate::output::Output;
use crate::task_file::TaskFile;

/// The schema as it is published.
pub(crate) fn text() -> anyhow::Result<String> {
    let mut schema = serde_json::to_value(schemars::schema_for!(TaskFile))?;
    without_empty_defaults(&mut schema);
    Ok(serde_json::to_string_pretty(&schema)?)
}

/// Takes out defaults that only say that nothing is set.
fn without_empty_defaults(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("default").is_some_and(is_empty) {
                object.shift_remove("default");
            }
            object.values_mut().for_each(without_empty_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty_defaults),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.values().all(is_empty),
        _ => false,
    }
}

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    // It is one JSON object as it stands.
    Output { json: false, ..output }.text(text()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published copy; `UPDATE_SCHEMA=1 cargo test -p promptopt-cli schema` writes it anew.
    #[test]
    fn the_published_schema_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/task-file.schema.json");
        let schema = text().unwrap() + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        // Two long texts side by side would say less.
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == schema,
            "{path} is not the schema of today: UPDATE_SCHEMA=1 cargo test -p promptopt-cli schema"
        );
    }

    #[test]
    fn every_key_of_the_schema_is_documented() {
        let docs =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/task-file.md")).unwrap();
        let schema = serde_json::to_value(schemars::schema_for!(TaskFile)).unwrap();
        let properties = |pointer: &str| {
            schema
                .pointer(pointer)
                .and_then(|value| value.as_object())
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        for section in [
            "ProgramSection",
            "PredictorSection",
            "ToolSection",
            "McpSection",
            "ModelSection",
            "DataSection",
            "HubSection",
            "MetricSection",
            "OptimizerSection",
            "CacheSection",
        ] {
            for key in properties(&format!("/$defs/{section}/properties")) {
                assert!(
                    docs.contains(&format!("`{key}`")),
                    "docs/task-file.md does not describe `{key}` of {section}"
                );
            }
        }
    }
}
