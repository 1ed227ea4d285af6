//! What the JSON Schema says of the optimizer, put together from the schemas of the strategies.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{OptimizerSection, ProposerKind};
use crate::optimizers::{KINDS, Kind, KnownOption, OF_EVERY_RUN};

/// What the schema says of `optimizer`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the schema of what is read by hand and is never made")]
pub(in crate::task_file) enum OptimizerForm {
    /// The optimizer's name alone.
    Name(Kind),
    Table(Box<OptimizerSection>),
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "OptimizerKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one =
            |kind: &Kind| json!({"description": format!("{}.", kind.about), "type": "string", "const": kind});
        json_schema!({"description": "Which optimizer.", "oneOf": KINDS.iter().map(one).collect::<Vec<_>>()})
    }
}

impl JsonSchema for OptimizerSection {
    fn schema_name() -> Cow<'static, str> {
        "OptimizerSection".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut kind = generator.subschema_for::<Kind>();
        kind.insert("description".to_owned(), "Which optimizer. Default: `miprov2`.".into());
        let mut proposer = generator.subschema_for::<ProposerKind>();
        proposer.insert("description".to_owned(), "What writes instructions. Default: `auto`.".into());
        let chain = json!({
            "description": "Optimizers one after the other, in place of `kind`: each begins with the best prompts so \
                far, and all share what the run may spend.",
            "type": "array",
            "items": generator.subschema_for::<Kind>(),
            "minItems": 1,
        });
        let mut properties = Map::new();
        properties.insert("kind".to_owned(), kind.to_value());
        properties.insert("chain".to_owned(), chain);
        properties.insert("proposer".to_owned(), proposer.to_value());
        let of_every_run = (OF_EVERY_RUN.schema)(generator);
        let of_kinds: Vec<Schema> = KINDS.iter().map(|kind| (kind.form.schema)(generator)).collect();
        let property = |schema: &Schema, name: &str| schema.pointer(&format!("/properties/{name}")).cloned();
        for known in KnownOption::all() {
            let owned = KINDS.iter().zip(&of_kinds).filter(|(kind, _)| known.is_of(**kind));
            let owned = owned.filter_map(|(kind, schema)| Some((kind.name, property(schema, &known.name)?)));
            let property = match known.is_of_every_run() {
                true => property(&of_every_run, &known.name),
                false => merged(owned.collect()),
            };
            properties.extend(property.map(|property| (known.name.clone(), unwrapped(property))));
        }
        json_schema!({
            "description": "How prompts are looked for. What is not set is the optimizer's own default.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// The same with paragraphs of its description in one line each.
fn unwrapped(mut property: Value) -> Value {
    if let Some(Value::String(text)) = property.get_mut("description") {
        *text = text.split("\n\n").map(|text| text.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    property
}

/// An option of one or more optimizers, with what it means to each of them.
fn merged(properties: Vec<(&str, Value)>) -> Option<Value> {
    let description = |property: &Value| property.get("description")?.as_str().map(str::to_owned);
    let mut meanings: Vec<(Vec<&str>, String)> = Vec::new();
    for (name, property) in &properties {
        let text = description(property).unwrap_or_default();
        match meanings.iter_mut().find(|(_, known)| *known == text) {
            Some((names, _)) => names.push(name),
            None => meanings.push((vec![name], text)),
        }
    }
    let text: Vec<String> =
        meanings.iter().map(|(names, text)| format!("{}: {text}", names.join(", "))).collect();
    let all_have_one_default = properties
        .windows(2)
        .all(|pair| matches!(pair, [(_, one), (_, other)] if one.get("default") == other.get("default")));
    let mut merged = properties.into_iter().next()?.1;
    let object = merged.as_object_mut()?;
    object.insert("description".to_owned(), text.join("\n\n").into());
    if !all_have_one_default {
        object.shift_remove("default");
    }
    Some(merged)
}
