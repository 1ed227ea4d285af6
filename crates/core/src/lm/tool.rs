//! Tools: what a model may call, how, and what it called.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The longest arguments of a call that are read, in bytes.
const MAX_ARGUMENT_BYTES: usize = 256 * 1024;
/// The deepest value in them.
const MAX_ARGUMENT_DEPTH: usize = 64;

const FUNCTION: &str = "function";
const CUSTOM: &str = "custom";

/// A tool that a model may call: its name, what it is for, and the JSON schema of its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>", into = "Map<String, Value>")]
#[non_exhaustive]
pub struct ToolDefinition {
    /// Its name, `[a-zA-Z0-9_-]{1,64}`. Empty for a tool of a kind that is not known here.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON schema of its arguments: an object.
    pub parameters: Value,
    /// Whether the provider is to hold the arguments to the schema. `None`: as it likes.
    pub strict: Option<bool>,
    /// Fields that are not known here, and tools of a kind that is not known here. They go over the wire as they are.
    pub extra: Map<String, Value>,
}

impl ToolDefinition {
    /// A tool with the JSON schema of its arguments.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self { name: name.into(), description: description.into(), parameters, ..Self::default() }
    }

    /// Whether the provider is to hold the arguments to the schema.
    #[must_use]
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = Some(strict);
        self
    }
}

impl From<ToolDefinition> for Map<String, Value> {
    fn from(tool: ToolDefinition) -> Self {
        if tool.name.is_empty() {
            return tool.extra;
        }
        let fields = [
            ("name", Some(tool.name.into())),
            ("description", (!tool.description.is_empty()).then(|| tool.description.into())),
            ("parameters", (!tool.parameters.is_null()).then_some(tool.parameters)),
            ("strict", tool.strict.map(Value::from)),
        ];
        under(FUNCTION, fields, tool.extra)
    }
}

impl From<Map<String, Value>> for ToolDefinition {
    fn from(mut wire: Map<String, Value>) -> Self {
        // Some clients do not say the type.
        let is_function = wire.get("type").is_none_or(|kind| kind == FUNCTION);
        let own = wire.get(FUNCTION).and_then(Value::as_object).filter(|_| is_function).cloned();
        let named = own.and_then(|mut own| Some((take_words(&mut own, "name")?, own)));
        let Some((name, mut own)) = named else { return Self { extra: wire, ..Self::default() } };
        for known in ["type", FUNCTION] {
            wire.shift_remove(known);
        }
        let has_schema = own.get("parameters").is_some_and(|schema| !schema.is_null());
        let tool = Self {
            name,
            description: take_words(&mut own, "description").unwrap_or_default(),
            parameters: has_schema.then(|| own.shift_remove("parameters")).flatten().unwrap_or_default(),
            strict: own.get("strict").and_then(Value::as_bool).inspect(|_| drop(own.shift_remove("strict"))),
            extra: Map::new(),
        };
        Self { extra: rest(wire, FUNCTION, own), ..tool }
    }
}

/// A call of a tool, as the model wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>", into = "Map<String, Value>")]
#[non_exhaustive]
pub struct ToolCall {
    /// Tells the calls of a message apart. The result names it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON, or what it took for JSON; free text for a custom tool.
    pub arguments: String,
    /// Whether the tool is a custom one, which takes a text.
    pub is_custom: bool,
    /// Fields that are not known here. They go over the wire as they are.
    pub extra: Map<String, Value>,
}

impl ToolCall {
    /// A call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), arguments: arguments.into(), ..Self::default() }
    }

    /// The arguments as an object. Nothing at all counts as an object without fields.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words for the model: not JSON, not an object, too long or too deep.
    ///
    /// ```
    /// use promptopt_core::lm::ToolCall;
    ///
    /// let call = ToolCall::new("call_1", "search", r#"{"query": "tea"}"#);
    /// assert_eq!(call.read_arguments().unwrap()["query"], "tea");
    /// let broken = ToolCall::new("call_2", "search", r#"{"query": "te"#);
    /// assert!(broken.read_arguments().unwrap_err().contains("not valid JSON"));
    /// ```
    pub fn read_arguments(&self) -> Result<Map<String, Value>, String> {
        let text = self.arguments.trim();
        if text.len() > MAX_ARGUMENT_BYTES {
            let bytes = text.len();
            return Err(format!("the arguments have {bytes} bytes; at most {MAX_ARGUMENT_BYTES} are read"));
        }
        if text.is_empty() {
            return Ok(Map::new());
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("the arguments are not valid JSON ({error})"))?;
        // Some models write the object as a text once more.
        let value = match value {
            Value::String(text) => serde_json::from_str(&text)
                .map(Value::Object)
                .map_err(|_| "the arguments are a text and not a JSON object".to_owned())?,
            value => value,
        };
        if !is_within(&value, MAX_ARGUMENT_DEPTH) {
            return Err(format!("the arguments are nested more than {MAX_ARGUMENT_DEPTH} deep"));
        }
        match value {
            Value::Object(arguments) => Ok(arguments),
            Value::Null => Ok(Map::new()),
            _ => Err("the arguments are not a JSON object".to_owned()),
        }
    }
}

impl From<ToolCall> for Map<String, Value> {
    fn from(call: ToolCall) -> Self {
        let mut wire = Self::from_iter([("id".to_owned(), Value::from(call.id))]);
        if call.extra.contains_key("type") {
            wire.extend(call.extra);
            return wire;
        }
        let (kind, what) = if call.is_custom { (CUSTOM, "input") } else { (FUNCTION, "arguments") };
        let fields = [("name", Some(call.name.into())), (what, Some(call.arguments.into()))];
        wire.extend(under(kind, fields, call.extra));
        wire
    }
}

impl From<Map<String, Value>> for ToolCall {
    fn from(mut wire: Map<String, Value>) -> Self {
        let is_custom = wire.get("type").and_then(Value::as_str) == Some(CUSTOM);
        let kind = if is_custom { CUSTOM } else { FUNCTION };
        // A call of a kind that is not known here keeps its type.
        if wire.get("type").is_some_and(|it| it.is_null() || it == FUNCTION || it == CUSTOM) {
            wire.shift_remove("type");
        }
        let mut own = match wire.shift_remove(kind) {
            Some(Value::Object(own)) => own,
            _ => Map::new(),
        };
        // Some servers give the arguments as an object and not as its text.
        let arguments = match own.shift_remove(if is_custom { "input" } else { "arguments" }) {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => String::new(),
            Some(value) => value.to_string(),
        };
        Self {
            id: take_text(&mut wire, "id").unwrap_or_default(),
            name: take_text(&mut own, "name").unwrap_or_default(),
            arguments,
            is_custom,
            extra: rest(wire, kind, own),
        }
    }
}

/// Fields under a kind, with what was not known of them.
fn under<const N: usize>(
    kind: &str,
    fields: [(&str, Option<Value>); N],
    mut extra: Map<String, Value>,
) -> Map<String, Value> {
    let known = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let mut own: Map<String, Value> = known.collect();
    if let Some(Value::Object(more)) = extra.shift_remove(kind) {
        own.extend(more);
    }
    let head = [("type".to_owned(), Value::from(kind)), (kind.to_owned(), own.into())];
    head.into_iter().chain(extra).collect()
}

/// What is left of a wire form and of the fields under its kind.
fn rest(mut wire: Map<String, Value>, kind: &str, own: Map<String, Value>) -> Map<String, Value> {
    if !own.is_empty() {
        wire.insert(kind.to_owned(), own.into());
    }
    wire
}

/// Whether nothing in a value is deeper than so many levels.
fn is_within(value: &Value, levels: usize) -> bool {
    let inside = |value: &Value| levels > 0 && is_within(value, levels - 1);
    match value {
        Value::Array(items) => items.iter().all(inside),
        Value::Object(fields) => fields.values().all(inside),
        _ => true,
    }
}

/// Takes a text that says something out of fields.
fn take_words(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty())?;
    take_text(fields, name)
}

fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    let text = fields.get(name)?.as_str()?.to_owned();
    fields.shift_remove(name);
    Some(text)
}

/// Which tools the model may or must call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// None.
    None,
    /// One at least.
    Required,
    /// This one.
    Tool(String),
    /// A choice that is not known here. It goes over the wire as it is.
    Other(Value),
}

impl From<ToolChoice> for Value {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Tool(name) => json!({"type": FUNCTION, FUNCTION: {"name": name}}),
            ToolChoice::Other(choice) => choice,
        }
    }
}

impl From<Value> for ToolChoice {
    fn from(value: Value) -> Self {
        match value.as_str() {
            Some("auto") => return Self::Auto,
            Some("none") => return Self::None,
            Some("required") => return Self::Required,
            _ => {}
        }
        let name = value.pointer("/function/name").and_then(Value::as_str).map(str::to_owned);
        let known = name.map(Self::Tool).filter(|choice| Value::from(choice.clone()) == value);
        known.unwrap_or(Self::Other(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{from_value, to_value};

    use super::*;

    #[test]
    fn tools_of_other_clients_pass_unharmed() {
        for wire in [
            json!({"type": "function", "function": {"name": "search"}}),
            json!({"type": "function", "function": {"name": "search", "description": "Searches.",
                   "parameters": {"type": "object", "properties": {}}, "strict": true}}),
            json!({"type": "function", "function": {"name": "f", "x": [1]}, "cache_control": {"type": "ephemeral"}}),
            json!({"type": "custom", "custom": {"name": "run", "format": {"type": "text"}}}),
            json!({"type": "web_search_preview"}),
            json!({"type": "function", "function": {"name": "search", "description": "", "parameters": null}}),
            json!({"type": "function", "function": {"name": ""}}),
        ] {
            let tool: ToolDefinition = from_value(wire.clone()).unwrap();
            assert_eq!(to_value(&tool).unwrap(), wire);
        }
        // The type may be missing; it is said then.
        let tool: ToolDefinition = from_value(json!({"function": {"name": "search"}})).unwrap();
        assert_eq!(to_value(&tool).unwrap(), json!({"type": "function", "function": {"name": "search"}}));
        for wire in [
            json!("auto"),
            json!("none"),
            json!("required"),
            json!({"type": "function", "function": {"name": "search"}}),
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
        ] {
            let choice: ToolChoice = from_value(wire.clone()).unwrap();
            assert_eq!(to_value(&choice).unwrap(), wire);
        }
    }

    #[test]
    fn a_call_of_an_unknown_kind_passes_unharmed() {
        for wire in [
            json!({"id": "c", "type": "mcp", "mcp": {"server": "s", "name": "f"}}),
            json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}),
            json!({"id": "", "type": "function", "function": {"name": "", "arguments": ""}}),
        ] {
            let call: ToolCall = from_value(wire.clone()).unwrap();
            assert_eq!(to_value(&call).unwrap(), wire);
        }
    }

    fn refusal(arguments: &str) -> String {
        ToolCall::new("1", "f", arguments).read_arguments().unwrap_err()
    }

    #[test]
    fn arguments_that_are_none_are_refused_in_words_for_the_model() {
        assert!(refusal("{\"a\": ").contains("not valid JSON (EOF"));
        assert!(refusal("[1]").contains("not a JSON object"));
        assert!(refusal("\"text\"").contains("a text and not a JSON object"));
        assert!(refusal(&"x".repeat(MAX_ARGUMENT_BYTES + 1)).contains("at most"));
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(70), "]".repeat(70));
        assert!(refusal(&deep).contains("nested more than 64 deep"));
        let read = |text: &str| ToolCall::new("1", "f", text).read_arguments().unwrap();
        let deep = serde_json::to_string(&deep).unwrap();
        assert!(refusal(&deep).contains("nested more than 64 deep"));
        assert!(read(" ").is_empty() && read("null").is_empty());
        assert_eq!(read("\"{\\\"a\\\": 1}\"")["a"], 1);
    }

    proptest! {
        #[test]
        fn any_arguments_are_read_or_refused(text in ".{0,40}") {
            let _ = ToolCall::new("", "", text).read_arguments();
        }
    }
}
