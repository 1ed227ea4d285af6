//! The types of fields for Rust types, by their JSON schema.

use std::borrow::Cow;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema, json_schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Field, FieldType, History};
use crate::lm::{File, Image};

/// Deepest list or option before the rest is read as text.
const MAX_DEPTH: usize = 16;

/// A Rust type that a field of a typed signature can have: what serde reads and writes and schemars describes. [`Image`],
/// [`File`] and [`History`] can go in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a field",
    note = "derive it: `#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]` on `{Self}`, from the crates `serde` and `schemars`"
)]
pub trait FieldValue: Serialize + DeserializeOwned {
    /// A field of this type. What the comments of an enum's variants say is added to the description.
    fn field(name: &str, description: &str) -> Field;
}

#[diagnostic::do_not_recommend]
impl<T: JsonSchema + Serialize + DeserializeOwned> FieldValue for T {
    fn field(name: &str, description: &str) -> Field {
        described::<T>(name, description)
    }
}

/// Where a schema says that its values are shown.
const SHOWN_AS: &str = "x-shown-as";

/// The schema of what is shown says so.
macro_rules! shown_types {
    ($($kind:ty => $name:literal;)*) => {$(
        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", SHOWN_AS: $name})
            }
        }
    )*};
}

shown_types! {
    Image => "image";
    File => "file";
    History => "history";
}

fn described<T: JsonSchema>(name: &str, description: &str) -> Field {
    let mut schema = Value::from(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>());
    if let Some(schema) = schema.as_object_mut() {
        schema.shift_remove("$schema");
        schema.shift_remove("title");
    }
    let root = Root { definitions: definitions(&mut schema) };
    let mut words: Vec<String> = Vec::new();
    let own = one_line(description);
    if !own.is_empty() {
        words.push(own);
    } else if let Some(of_type) = root.resolved(&schema).get("description").and_then(Value::as_str) {
        words.push(one_line(of_type));
    }
    words.extend(root.variants(&schema));
    Field::new(name).typed(root.field_type(&schema, MAX_DEPTH)).described(words.join(" "))
}

/// A comment as one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The schemas that others refer to, out of the schema that holds them.
fn definitions(schema: &mut Value) -> Map<String, Value> {
    match schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    }
}

/// A schema's definitions.
struct Root {
    definitions: Map<String, Value>,
}

impl Root {
    /// A schema, or the one that it refers to.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let named =
            schema.get("$ref").and_then(Value::as_str).and_then(|place| place.strip_prefix("#/$defs/"));
        named.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }

    fn field_type(&self, schema: &Value, depth: usize) -> FieldType {
        let Some(inside) = depth.checked_sub(1) else { return FieldType::String };
        let schema = self.resolved(schema);
        if let Some(Value::String(name)) = schema.get(SHOWN_AS) {
            let kind = FieldType::parse(name).unwrap_or_default();
            let may_be_null = schema.get("type").is_some_and(Value::is_array);
            return if may_be_null { FieldType::optional(kind) } else { kind };
        }
        if let Some(literals) = literals(schema) {
            return FieldType::Enum(literals);
        }
        if let Some(kinds) = alternatives(schema) {
            return self.one_of(kinds, schema, inside);
        }
        let names = match schema.get("type") {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => vec!["object"],
            _ => return any(),
        };
        let kinds = names.iter().filter(|name| **name != "null").map(|name| self.named(name, schema, inside));
        let kind = FieldType::union(kinds);
        if names.contains(&"null") { FieldType::optional(kind) } else { kind }
    }

    fn named(&self, name: &str, schema: &Value, depth: usize) -> FieldType {
        match (name, schema.get("format").and_then(Value::as_str)) {
            ("string", Some("date")) => FieldType::Date,
            ("string", Some("date-time")) => FieldType::DateTime,
            ("integer", _) => FieldType::Integer,
            ("number", _) => FieldType::Float,
            ("boolean", _) => FieldType::Bool,
            ("array", _) => {
                let each = schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
                let items = each.chain(schema.get("items").filter(|items| items.is_object()));
                let kinds: Vec<FieldType> = items.map(|item| self.field_type(item, depth)).collect();
                FieldType::list(if kinds.is_empty() { any() } else { FieldType::union(kinds) })
            }
            ("object", _) => FieldType::Object(self.whole(schema)),
            _ => FieldType::String,
        }
    }

    /// One of several types. Objects that differ stay one object, so that its schema says which there are.
    fn one_of(&self, kinds: &[Value], schema: &Value, depth: usize) -> FieldType {
        let is_object = |kind: &&Value| {
            let kind = self.resolved(kind);
            kind.get("type").is_some_and(|name| name == "object") || kind.get("properties").is_some()
        };
        let is_null = |kind: &Value| self.resolved(kind).get("type").is_some_and(|name| name == "null");
        let (nulls, kinds): (Vec<&Value>, Vec<&Value>) = kinds.iter().partition(|kind| is_null(kind));
        let kind = if kinds.len() > 1 && kinds.iter().all(is_object) {
            FieldType::Object(self.whole(schema))
        } else {
            FieldType::union(kinds.into_iter().map(|kind| self.field_type(kind, depth)))
        };
        if nulls.is_empty() { kind } else { FieldType::optional(kind) }
    }

    /// A schema with the definitions that it needs.
    fn whole(&self, schema: &Value) -> Value {
        let mut schema = schema.clone();
        let mut needed = Map::new();
        let mut texts = vec![schema.to_string()];
        while let Some(text) = texts.pop() {
            for (name, definition) in &self.definitions {
                if !needed.contains_key(name) && text.contains(&format!("\"#/$defs/{name}\"")) {
                    needed.insert(name.clone(), definition.clone());
                    texts.push(definition.to_string());
                }
            }
        }
        if let Some(schema) = schema.as_object_mut().filter(|_| !needed.is_empty()) {
            schema.insert("$defs".to_owned(), Value::Object(needed));
        }
        schema
    }

    /// What the comments of an enum's variants say, in a list or an option of it as well.
    fn variants(&self, schema: &Value) -> Option<String> {
        let schema = self.resolved(schema);
        if literals(schema).is_none() {
            let inner = schema.get("items").or_else(|| {
                let mut kinds = alternatives(schema)?.iter();
                kinds.find(|kind| literals(self.resolved(kind)).is_some())
            });
            return self.variants(inner?);
        }
        let variants = alternatives(schema)?.iter().filter_map(|variant| {
            let (name, says) = (variant.get("const")?.as_str()?, variant.get("description")?.as_str()?);
            Some(format!("{name}: {}", one_line(says)))
        });
        let variants = variants.collect::<Vec<_>>().join("; ");
        (!variants.is_empty()).then(|| format!("({variants})"))
    }
}

/// The texts that a schema allows, where it allows nothing else.
fn literals(schema: &Value) -> Option<Vec<String>> {
    let texts = |values: &Vec<Value>| -> Option<Vec<String>> {
        values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
    };
    if let Some(only) = schema.get("const") {
        return Some(vec![only.as_str()?.to_owned()]);
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return texts(values).filter(|texts| !texts.is_empty());
    }
    let kinds = alternatives(schema)?;
    let all: Option<Vec<Vec<String>>> = kinds.iter().map(literals).collect();
    all.map(|all| all.concat()).filter(|texts| !texts.is_empty())
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    ["oneOf", "anyOf"].iter().find_map(|name| schema.get(name)?.as_array())
}

/// Any JSON value.
fn any() -> FieldType {
    let object = FieldType::Object(serde_json::json!({"type": "object", "additionalProperties": true}));
    let plain = [FieldType::Bool, FieldType::Integer, FieldType::Float];
    let list = FieldType::list(FieldType::union(
        plain.clone().into_iter().chain([object.clone(), FieldType::String]),
    ));
    FieldType::union(plain.into_iter().chain([list, object, FieldType::String]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Department {
        /// Invoices and
        /// payments.
        Billing,
        #[serde(rename = "post")]
        Shipping,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Plain {
        Low,
        High,
    }

    /// Somebody.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Person {
        name: String,
        age: Option<u8>,
        friends: Vec<Person>,
        department: Department,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: f64 },
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Nested(Vec<Nested>);

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Name(String);

    fn check<T: FieldValue>(expected: &str) {
        assert_eq!(T::field("it", "").kind.to_string(), expected, "{}", std::any::type_name::<T>());
    }

    #[test]
    fn rust_types_have_field_types() {
        check::<String>("str");
        check::<Name>("str");
        check::<u8>("int");
        check::<i64>("int");
        check::<f32>("float");
        check::<bool>("bool");
        check::<Option<String>>("optional[str]");
        check::<Option<u32>>("optional[int]");
        check::<Vec<f64>>("list[float]");
        check::<(String, u8)>("list[union[str, int]]");
        check::<Department>("enum[post, billing]");
        check::<Plain>("enum[Low, High]");
        check::<Option<Department>>("optional[enum[post, billing]]");
        check::<Vec<Option<Plain>>>("list[optional[enum[Low, High]]]");
        check::<Person>("object");
        check::<Option<Vec<Person>>>("optional[list[object]]");
        check::<Shape>("object");
        check::<BTreeMap<String, u8>>("object");
        check::<Value>("union[bool, int, float, list[union[bool, int, float, object, str]], object, str]");
        check::<Image>("image");
        check::<Vec<Image>>("list[image]");
        check::<Option<File>>("optional[file]");
        check::<History>("history");
        assert!(Nested::field_depth() <= MAX_DEPTH + 1);
    }

    impl Nested {
        fn field_depth() -> usize {
            let mut kind = <Self as FieldValue>::field("it", "").kind;
            let mut depth = 0;
            while let FieldType::List(item) = kind {
                (kind, depth) = (*item, depth + 1);
            }
            depth
        }
    }

    #[test]
    fn descriptions_are_those_of_the_field_of_the_type_and_of_its_variants() {
        let says = |field: Field| field.description;
        assert_eq!(says(<Department as FieldValue>::field("it", "")), "(billing: Invoices and payments.)");
        assert_eq!(
            says(<Vec<Department> as FieldValue>::field("it", " Who answers. ")),
            "Who answers. (billing: Invoices and payments.)"
        );
        assert_eq!(says(<Option<Plain> as FieldValue>::field("it", "How much.")), "How much.");
        assert_eq!(says(<Person as FieldValue>::field("it", "")), "Somebody.");
        assert_eq!(says(<Person as FieldValue>::field("it", "Who.")), "Who.");
    }

    #[test]
    fn an_object_brings_the_schemas_that_it_refers_to() {
        let FieldType::List(item) = <Vec<Person> as FieldValue>::field("it", "").kind else { panic!() };
        let FieldType::Object(schema) = *item else { panic!() };
        assert_eq!(schema["properties"]["age"]["type"], json!(["integer", "null"]));
        assert_eq!(schema["properties"]["friends"]["items"], json!({"$ref": "#/$defs/Person"}));
        let names: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Person", "Department"]);
    }
}
