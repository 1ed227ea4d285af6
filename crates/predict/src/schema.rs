//! Whether a value adheres to a JSON schema: the keywords that say of what type values are, and their bounds.

use promptopt_core::signature::FieldType;
use serde_json::Value;

use crate::value::{Mismatch, coerce};

/// Schemas and values that nest deeper are not looked into any further.
const MAX_DEPTH: usize = 64;

/// Checks a value against a schema. A number or truth value that stands there as a text becomes one.
pub(crate) fn fit(schema: &Value, value: &mut Value) -> Result<(), Mismatch> {
    fit_within(schema, schema, value, MAX_DEPTH)
}

fn fit_within(schema: &Value, root: &Value, value: &mut Value, depth: usize) -> Result<(), Mismatch> {
    let rules = match schema {
        Value::Bool(false) => return Err(Mismatch::expected("nothing", value)),
        Value::Object(rules) if depth > 0 => rules,
        _ => return Ok(()),
    };
    let fit = |schema: &Value, value: &mut Value| fit_within(schema, root, value, depth - 1);
    if let Some(Value::String(place)) = rules.get("$ref")
        && let Some(schema) = place.strip_prefix('#').and_then(|place| root.pointer(place))
    {
        fit(schema, value)?;
    }
    if let Some(kind) = rules.get("type") {
        fit_type(kind, value)?;
    }
    if let Some(Value::Array(values)) = rules.get("enum")
        && !values.contains(value)
    {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        return Err(Mismatch::expected(&format!("one of {}", values.join(", ")), value));
    }
    if let Some(only) = rules.get("const").filter(|only| *only != value) {
        return Err(Mismatch::expected(&only.to_string(), value));
    }
    fit_bounds(rules, value)?;
    for schema in rules.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        fit(schema, value)?;
    }
    for any in ["anyOf", "oneOf"] {
        let Some(Value::Array(schemas)) = rules.get(any) else { continue };
        let mut nearest: Option<Mismatch> = None;
        let mut fitted = None;
        for schema in schemas {
            let mut tried = value.clone();
            match fit(schema, &mut tried) {
                Ok(()) => {
                    fitted = Some(tried);
                    break;
                }
                // What is wrong deepest inside comes nearest to what was meant.
                Err(reason) if nearest.as_ref().is_none_or(|it| it.depth() < reason.depth()) => {
                    nearest = Some(reason)
                }
                Err(_) => {}
            }
        }
        match (fitted, nearest) {
            (Some(fitted), _) => *value = fitted,
            (None, Some(reason)) => return Err(reason),
            (None, None) => {}
        }
    }
    match value {
        Value::Object(fields) => {
            let properties = rules.get("properties").and_then(Value::as_object);
            for name in rules.get("required").and_then(Value::as_array).into_iter().flatten() {
                if let Some(name) = name.as_str().filter(|name| !fields.contains_key(*name)) {
                    return Err(Mismatch::new("is missing".to_owned()).under(name));
                }
            }
            // Names by pattern are not looked at, so none is one that may not be there.
            let others =
                rules.get("additionalProperties").filter(|_| !rules.contains_key("patternProperties"));
            for (name, value) in fields.iter_mut() {
                let schema = properties.and_then(|all| all.get(name)).or(others);
                if schema == Some(&Value::Bool(false)) {
                    return Err(Mismatch::new("is not a field of this object".to_owned()).under(name));
                }
                schema.map_or(Ok(()), |schema| fit(schema, value)).map_err(|reason| reason.under(name))?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let schema =
                    rules.get("prefixItems").and_then(|all| all.get(index)).or_else(|| rules.get("items"));
                schema.map_or(Ok(()), |schema| fit(schema, item)).map_err(|reason| reason.at(index))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn fit_type(kind: &Value, value: &mut Value) -> Result<(), Mismatch> {
    let names: Vec<&str> = match kind {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    if names.iter().any(|name| is_of(name, value)) {
        return Ok(());
    }
    // What a model writes in another spelling.
    for name in &names {
        let kind = match *name {
            "integer" => Some(FieldType::Integer),
            "number" => Some(FieldType::Float),
            "boolean" => Some(FieldType::Bool),
            _ => None,
        };
        if let Some(read) = kind.and_then(|kind| coerce(value.clone(), &kind).ok()) {
            *value = read;
            return Ok(());
        }
    }
    let words: Vec<&str> = names.into_iter().map(words_for).collect();
    Err(Mismatch::expected(&words.join(" or "), value))
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn words_for(name: &str) -> &str {
    match name {
        "string" => "a text",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

fn fit_bounds(rules: &serde_json::Map<String, Value>, value: &Value) -> Result<(), Mismatch> {
    let size = match value {
        Value::String(text) => Some((text.chars().count() as f64, "Length", " characters")),
        Value::Array(items) => Some((items.len() as f64, "Items", " items")),
        Value::Object(fields) => Some((fields.len() as f64, "Properties", " fields")),
        Value::Number(number) => number.as_f64().map(|number| (number, "imum", "")),
        _ => None,
    };
    let Some((size, suffix, unit)) = size else { return Ok(()) };
    let bound = |name: String| rules.get(&name).and_then(Value::as_f64);
    let fail = |words: String| Err(Mismatch::expected(&words, value));
    if let Some(least) = bound(format!("min{suffix}")).filter(|least| size < *least) {
        return fail(format!("at least {least}{unit}"));
    }
    if let Some(most) = bound(format!("max{suffix}")).filter(|most| size > *most) {
        return fail(format!("at most {most}{unit}"));
    }
    if value.is_number() {
        if let Some(above) = bound("exclusiveMinimum".to_owned()).filter(|above| size <= *above) {
            return fail(format!("more than {above}"));
        }
        if let Some(below) = bound("exclusiveMaximum".to_owned()).filter(|below| size >= *below) {
            return fail(format!("less than {below}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person() -> Value {
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
                "mood": {"enum": ["good", "bad"]},
                "home": {"$ref": "#/$defs/place"},
                "friends": {"type": "array", "maxItems": 2, "items": {"$ref": "#"}},
                "id": {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"n": {"type": "integer"}}}]},
                "note": {"type": ["string", "null"]},
            },
            "required": ["name", "age"],
            "additionalProperties": false,
            "$defs": {"place": {"type": "object", "required": ["city"], "additionalProperties": {"type": "string"}}},
        })
    }

    fn check(value: Value, expected: Result<Value, &str>) {
        let mut fitted = value.clone();
        match (fit(&person(), &mut fitted).map_err(|reason| reason.of("person")), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(fitted, expected),
            (Err(reason), Err(expected)) => assert_eq!(reason, expected),
            (result, expected) => panic!("{value}: {result:?} and not {expected:?}"),
        }
    }

    #[test]
    fn what_libraries_write_is_understood() {
        let fits = |schema: Value, mut value: Value, expected: Value| {
            fit(&schema, &mut value).map_err(|reason| reason.of("it")).unwrap();
            assert_eq!(value, expected);
        };
        let maps = json!({"type": "object", "patternProperties": {"^\\d+$": {"type": "string"}}, "additionalProperties": false});
        fits(maps, json!({"7": "a"}), json!({"7": "a"}));
        let pair = json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false});
        fits(pair.clone(), json!(["7", "a"]), json!([7, "a"]));
        let reason = fit(&pair, &mut json!([1, "a", 2])).unwrap_err();
        assert!(reason.of("it").contains("it[2]"));
        let maybe = json!({"type": ["integer", "null"]});
        fits(maybe.clone(), json!("7"), json!(7));
        fits(maybe, json!(3.0), json!(3));
    }

    #[test]
    fn a_value_that_fits_is_taken_and_spelled() {
        for more in [
            json!({}),
            json!({"mood": "bad", "home": {"city": "Bonn"}, "note": null}),
            json!({"friends": [{"name": "Bo", "age": 3}], "id": {"n": 7}}),
            json!({"id": 7}),
        ] {
            let mut value = json!({"name": "Ann", "age": 7});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            check(value.clone(), Ok(value));
        }
        check(
            json!({"name": "Ann", "age": "7", "friends": [{"name": "Bo", "age": 3.0}]}),
            Ok(json!({"name": "Ann", "age": 7, "friends": [{"name": "Bo", "age": 3}]})),
        );
        check(json!({"name": "Ann", "age": 7, "id": "9"}), Ok(json!({"name": "Ann", "age": 7, "id": 9})));
    }

    #[test]
    fn what_does_not_fit_says_where() {
        check(json!([]), Err("the field `person` should be an object, but is `[]`"));
        check(json!({"name": "Ann"}), Err("person.age: is missing"));
        check(json!({"name": "Ann", "age": "old"}), Err("person.age: expected an integer, but is `old`"));
        check(json!({"name": "Ann", "age": -1}), Err("person.age: expected at least 0, but is `-1`"));
        check(json!({"name": "Ann", "age": 150}), Err("person.age: expected less than 150, but is `150`"));
        check(json!({"name": "", "age": 1}), Err("person.name: expected at least 1 characters, but is ``"));
        check(
            json!({"name": "Ann", "age": 1, "x y": 1}),
            Err("person[\"x y\"]: is not a field of this object"),
        );
        check(
            json!({"name": "Ann", "age": 1, "mood": "odd"}),
            Err("person.mood: expected one of \"good\", \"bad\", but is `odd`"),
        );
        check(json!({"name": "Ann", "age": 1, "home": {}}), Err("person.home.city: is missing"));
        check(
            json!({"name": "Ann", "age": 1, "home": {"city": "Bonn", "zip": 53111}}),
            Err("person.home.zip: expected a text, but is `53111`"),
        );
        check(
            json!({"name": "Ann", "age": 1, "friends": [{"name": "Bo", "age": 1}, {"name": "Cy", "age": []}]}),
            Err("person.friends[1].age: expected an integer, but is `[]`"),
        );
        check(
            json!({"name": "Ann", "age": 1, "id": {"n": "x"}}),
            Err("person.id.n: expected an integer, but is `x`"),
        );
        check(
            json!({"name": "Ann", "age": 1, "note": 3}),
            Err("person.note: expected a text or null, but is `3`"),
        );
    }

    #[test]
    fn a_schema_without_end_comes_to_one() {
        let mut value = json!({});
        assert!(fit(&json!({"$ref": "#"}), &mut value).is_ok());
        assert!(fit(&json!({"allOf": [{"$ref": "#"}], "$ref": "#/nowhere"}), &mut value).is_ok());
        assert!(
            fit(&json!({"type": 3, "enum": 3, "required": [3], "properties": [], "items": 3}), &mut value)
                .is_ok()
        );
    }
}
