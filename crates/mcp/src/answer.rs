//! The result of a call, as a model is told of it.

use anyhow::bail;
use promptopt_core::data::plain_text;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

/// The longest result, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The text of a result, with its structured content where the text does not hold that. An error is told to the model.
pub(crate) fn read(result: CallToolResult) -> anyhow::Result<Value> {
    let mut parts: Vec<String> = result.content.iter().map(told).collect();
    if let Some(structured) = result.structured_content.filter(|value| !is_told(value, &parts)) {
        parts.push(plain_text(&structured));
    }
    let text = parts.join("\n");
    if text.len() > MAX_BYTES {
        bail!("its result has more than {MAX_BYTES} bytes");
    }
    match result.is_error {
        Some(true) if text.is_empty() => bail!("it failed, and does not say why"),
        Some(true) => bail!(text),
        _ => Ok(text.into()),
    }
}

/// A part in words. The result of a tool is text, so what is none is only named.
fn told(block: &ContentBlock) -> String {
    let kind = |mime: &Option<String>| mime.clone().unwrap_or_else(|| "of unknown type".to_owned());
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[an image, {}, which is not shown]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound, {}, which is not shown]", audio.mime_type),
        ContentBlock::ResourceLink(link) => {
            format!("[{}: {}, {}]", link.name, link.uri, kind(&link.mime_type))
        }
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents { uri, mime_type, .. } => {
                format!("[{uri}, {}, which is not shown]", kind(mime_type))
            }
            _ => "[a resource, which is not shown]".to_owned(),
        },
        _ => "[a part of another kind, which is not shown]".to_owned(),
    }
}

/// Whether the text already says what is structured. Servers write it twice, for clients that read only one of both: as it
/// is, as its only field, or as a part for each item of a list.
fn is_told(structured: &Value, parts: &[String]) -> bool {
    let read = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
    let parts: Vec<Value> = parts.iter().map(read).collect();
    let inner = structured.as_object().filter(|fields| fields.len() == 1);
    let inner = inner.and_then(|fields| fields.values().next());
    [Some(structured), inner].into_iter().flatten().any(|value| {
        let same = |one: &Value, other: &Value| one == other || plain_text(one) == plain_text(other);
        let items = value.as_array().filter(|items| !items.is_empty() && items.len() == parts.len());
        matches!(parts.as_slice(), [only] if same(only, value))
            || items.is_some_and(|items| items.iter().zip(&parts).all(|(item, part)| same(item, part)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(result: Value, told: Result<&str, &str>) {
        let result = serde_json::from_value(result).unwrap();
        let read = read(result).map(|value| value.as_str().unwrap().to_owned());
        let read = read.map_err(|error| error.to_string());
        assert_eq!(read.as_deref().map_err(String::as_str), told);
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn texts_are_joined_and_structured_content_is_told_once() {
        check(json!({"content": [text("one"), text("two")]}), Ok("one\ntwo"));
        check(json!({"content": []}), Ok(""));
        check(json!({"content": [], "structuredContent": {"result": []}}), Ok("{\"result\":[]}"));
        let rooms = json!({"rooms": [1, 2]});
        check(json!({"content": [], "structuredContent": rooms}), Ok("{\"rooms\":[1,2]}"));
        check(
            json!({"content": [text("{\"rooms\": [1, 2]}")], "structuredContent": rooms}),
            Ok("{\"rooms\": [1, 2]}"),
        );
        check(
            json!({"content": [text("2 rooms")], "structuredContent": rooms}),
            Ok("2 rooms\n{\"rooms\":[1,2]}"),
        );
        check(json!({"content": [text("tea")], "structuredContent": {"result": "tea"}}), Ok("tea"));
        check(json!({"content": [text("3")], "structuredContent": {"result": 3}}), Ok("3"));
        check(json!({"content": [text("3")], "structuredContent": {"result": "3"}}), Ok("3"));
        check(json!({"content": [text("tea")], "structuredContent": {"content": "tea"}}), Ok("tea"));
        let list = json!({"result": ["a", "b"]});
        check(json!({"content": [text("a"), text("b")], "structuredContent": list}), Ok("a\nb"));
        check(
            json!({"content": [text("a")], "structuredContent": list}),
            Ok("a\n{\"result\":[\"a\",\"b\"]}"),
        );
    }

    #[test]
    fn what_is_no_text_is_named() {
        let content = json!([
            {"type": "image", "data": "aGk=", "mimeType": "image/png"},
            {"type": "resource_link", "uri": "file:///a.txt", "name": "a", "mimeType": "text/plain"},
            {"type": "resource", "resource": {"uri": "file:///b.txt", "text": "words"}},
            {"type": "resource", "resource": {"uri": "file:///c", "blob": "aGk="}},
        ]);
        let told = "[an image, image/png, which is not shown]\n[a: file:///a.txt, text/plain]\nwords\n\
                    [file:///c, of unknown type, which is not shown]";
        check(json!({"content": content}), Ok(told));
    }

    #[test]
    fn errors_and_results_without_end_are_errors() {
        check(json!({"content": [text("no such room")], "isError": true}), Err("no such room"));
        check(json!({"content": [], "isError": true}), Err("it failed, and does not say why"));
        check(
            json!({"content": [text(&"x".repeat(MAX_BYTES + 1))]}),
            Err("its result has more than 1048576 bytes"),
        );
    }
}
