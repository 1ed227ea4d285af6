//! The JSON in a body, however a server has put it there.
//!
//! Most bodies are one JSON value. Some servers answer with a stream of events though nobody asked for one, and some
//! write what is no JSON: half of a pair of surrogates, `NaN`, bytes of another encoding. What can not be decoded
//! becomes U+FFFD or null, so that a part of a reply that nobody reads does not spoil it.

use serde_json::{Deserializer, Value};

/// Deepest value that is read; what is deeper becomes null.
const MAX_DEPTH: usize = 100;

/// Most lines that the value of one event stands on.
const MAX_LINES: usize = 100;

/// The values of a body.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Payload {
    /// One value, or every event of a stream.
    pub(crate) values: Vec<Value>,
    /// Whether they came as events of a stream.
    pub(crate) is_stream: bool,
    /// Whether the stream said that it was at its end.
    pub(crate) is_done: bool,
}

impl Payload {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// What is wrong with it where it does not even begin with a value.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        if let Ok(value) = serde_json::from_slice(body) {
            return Ok(Self { values: vec![value], ..Self::default() });
        }
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if ["data:", "event:", "id:", "retry:", ":"].iter().any(|field| text.starts_with(field)) {
            return Ok(Self::events(text));
        }
        let text = mended(text);
        let mut values = Vec::new();
        for value in Deserializer::from_str(&text).into_iter::<Value>() {
            match value {
                Ok(value) if values.is_empty() || value.is_object() => values.push(value),
                Err(error) if values.is_empty() => {
                    return Err(if error.is_eof() {
                        format!("the JSON ends early, after {} bytes", body.len())
                    } else {
                        format!("it is not JSON ({error})")
                    });
                }
                // What stands behind a whole value is not read.
                _ => break,
            }
        }
        if values.is_empty() {
            return Err(format!("the JSON ends early, after {} bytes", body.len()));
        }
        Ok(Self { is_stream: values.len() > 1, values, ..Self::default() })
    }

    /// The events of a stream: the `data` of each is a value.
    fn events(text: &str) -> Self {
        let mut events = Events::default();
        let lines = text.replace("\r\n", "\n");
        let values = lines.split(['\n', '\r']).filter_map(|line| events.line(line)).collect();
        Self { values, is_stream: true, is_done: events.is_done }
    }
}

/// The lines of a stream of events, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// What the value of an event has on its lines so far.
    pending: Vec<String>,
    /// Whether the stream said that it was at its end.
    pub(crate) is_done: bool,
}

impl Events {
    /// Reads a line; gives the value that it completes.
    pub(crate) fn line(&mut self, line: &str) -> Option<Value> {
        // A blank line ends an event, also one that is no JSON.
        if line.is_empty() {
            self.pending.clear();
        }
        let data = line.strip_prefix("data:").map(str::trim)?;
        if data == "[DONE]" {
            self.is_done = true;
            return None;
        }
        self.pending.push(data.to_owned());
        let value = serde_json::from_str(&mended(&self.pending.concat())).ok();
        if value.is_some() || self.pending.len() == MAX_LINES {
            self.pending.clear();
        }
        value
    }
}

/// A text with everything that keeps it from being JSON replaced, as far as that leaves its structure alone.
fn mended(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    // Where each open value begins that is too deep.
    let mut too_deep = None;
    let mut depth = 0_usize;
    while let Some(letter) = rest.chars().next() {
        match letter {
            '"' => {
                rest = string(rest, &mut mended);
                continue;
            }
            '{' | '[' => {
                depth += 1;
                if depth > MAX_DEPTH && too_deep.is_none() {
                    too_deep = Some((depth, mended.len()));
                }
            }
            '}' | ']' => {
                let end = too_deep.filter(|(from, _)| *from == depth);
                depth = depth.saturating_sub(1);
                if let Some((_, start)) = end {
                    mended.truncate(start);
                    mended.push_str("null");
                    too_deep = None;
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            }
            _ if is_in_word(letter) => {
                let word = rest.split(|letter| !is_in_word(letter)).next().unwrap_or(rest);
                let is_json = serde_json::from_str::<Value>(word).is_ok();
                mended.push_str(if is_json { word } else { "null" });
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
            _ => {}
        }
        mended.push(letter);
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
    }
    if let Some((_, start)) = too_deep {
        mended.truncate(start);
    }
    mended
}

/// Whether a letter is part of a number or a word such as `true` or `NaN`.
fn is_in_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '+' | '-' | '.' | '_')
}

/// Writes the string that `text` begins with, as JSON has it; gives what is behind it.
fn string<'a>(text: &'a str, mended: &mut String) -> &'a str {
    mended.push('"');
    let mut rest = text.get(1..).unwrap_or_default();
    while let Some(letter) = rest.chars().next() {
        let behind = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            '"' => {
                mended.push('"');
                return behind;
            }
            '\\' => escape(behind, mended),
            control if u32::from(control) < 0x20 => {
                mended.push_str(&format!("\\u{:04x}", u32::from(control)));
                behind
            }
            _ => {
                mended.push(letter);
                behind
            }
        };
    }
    rest
}

/// Writes what an escape stands for, `text` being behind its backslash; gives what is behind it.
fn escape<'a>(text: &'a str, mended: &mut String) -> &'a str {
    let hex = |at: usize| text.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(letter) = text.chars().next() else { return text };
    let mut length = letter.len_utf8();
    match letter {
        '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => mended.extend(['\\', letter]),
        'u' => {
            let first = hex(1);
            length += if first.is_some() { 4 } else { 0 };
            let low = text.get(5..7).filter(|mark| *mark == "\\u").and_then(|_| hex(7));
            match (first, low) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                    length += 6;
                    mended.push('\\');
                    mended.push_str(text.get(..length).unwrap_or_default());
                }
                (Some(0xd800..=0xdfff) | None, _) => mended.push(char::REPLACEMENT_CHARACTER),
                _ => {
                    mended.push('\\');
                    mended.push_str(text.get(..length).unwrap_or_default());
                }
            }
        }
        // Python and JavaScript escape what JSON does not.
        _ if u32::from(letter) >= 0x20 => mended.push(letter),
        _ => {}
    }
    text.get(length..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn one(body: &[u8]) -> Value {
        let mut payload = Payload::read(body).unwrap();
        assert!(payload.values.len() == 1 && !payload.is_stream, "{payload:?}");
        payload.values.remove(0)
    }

    #[test]
    fn what_can_not_be_decoded_is_replaced() {
        for (text, expected) in [
            (r#"{"a": "ok \ud83d"}"#, json!({"a": "ok \u{fffd}"})),
            (
                r#"{"a": "\ude00 \ud83d\ud83d\ude00 \ud83dx"}"#,
                json!({"a": "\u{fffd} \u{fffd}\u{1f600} \u{fffd}x"}),
            ),
            (r#"{"a": "\u12", "b": "it\'s \x41"}"#, json!({"a": "\u{fffd}12", "b": "it's x41"})),
            ("{\"a\": \"one\ntwo\tthree\u{0}\"}", json!({"a": "one\ntwo\tthree\u{0}"})),
            (
                r#"{"a": NaN, "b": [-Infinity, Infinity, nan, 1e999], "c": None}"#,
                json!({"a": null, "b": [null, null, null, null], "c": null}),
            ),
            (
                r#"{"a": NaN, "b": -1.5e3, "c": true, "d": "NaN"}"#,
                json!({"a": null, "b": -1500.0, "c": true, "d": "NaN"}),
            ),
        ] {
            assert_eq!(one(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(one(b"{\"a\": \"caf\xe9\"}"), json!({"a": "caf\u{fffd}"}));
        assert_eq!(one(b"\xef\xbb\xbf{\"a\": 1}"), json!({"a": 1}));
        assert_eq!(one(b"{\"a\": 1}\n0\r\n"), Payload::read(b"{\"a\": 1}").unwrap().values[0]);
    }

    #[test]
    fn what_is_too_deep_becomes_null() {
        let deep = |depth: usize| format!("{{\"a\": {}{}, \"b\": 1}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(one(deep(5000).as_bytes())["b"], 1);
        assert!(Payload::read("[".repeat(100_000).as_bytes()).unwrap_err().contains("ends early"));
    }

    #[test]
    fn a_stream_is_read_in_all_its_forms() {
        let expected = [json!({"a": 1}), json!({"a": "\u{fffd}"}), json!({"b": [2]})];
        for text in [
            "data: {\"a\": 1}\n\ndata: {\"a\": \"\\ud83d\"}\n\ndata: {\"b\": [2]}\n\ndata: [DONE]\n\n",
            ": OPENROUTER PROCESSING\r\n\r\nevent: x\r\ndata:{\"a\":1}\r\n\r\ndata: {\"a\":\"\\ud83d\"}\r\n\r\nid: 3\r\n\
             data: {\"b\":\r\ndata: [2]}\r\n\r\ndata: [DONE]",
        ] {
            let payload = Payload::read(text.as_bytes()).unwrap();
            assert_eq!(payload.values, expected, "{text}");
            assert!(payload.is_stream && payload.is_done);
        }
        let lines = Payload::read(b"{\"a\": 1}\n{\"a\": \"\\ud83d\"}\n{\"b\": [2]}\n").unwrap();
        assert_eq!((lines.values.as_slice(), lines.is_stream, lines.is_done), (&expected[..], true, false));
    }

    #[test]
    fn what_begins_with_no_value_is_told_from_what_ends_early() {
        for text in ["", "  ", "{\"a\": [1, ", "{\"a\": \"ok \\ud83d", "{\"a\": \"b\\"] {
            assert!(Payload::read(text.as_bytes()).unwrap_err().contains("ends early"), "{text}");
        }
        for text in ["<html>", "}", "{\"a\" 1}"] {
            assert!(Payload::read(text.as_bytes()).unwrap_err().contains("not JSON"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Payload::read(&bytes);
            let _ = mended(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn json_is_mended_to_itself(text in any::<String>(), number in any::<f64>(), depth in 0_usize..50) {
            let mut value = json!({"text": text, "number": number, "list": [null, true, {}]});
            for _ in 0..depth {
                value = json!([value]);
            }
            let written = value.to_string();
            prop_assert_eq!(serde_json::from_str::<Value>(&mended(&written)).unwrap(), serde_json::from_str::<Value>(&written).unwrap());
        }

        #[test]
        fn noise_in_one_string_leaves_the_others_alone(noise in "(\\\\ud[89ab][0-9a-f]{2}|[\u{0}-\u{1f}]|x){0,8}") {
            let value = one(format!("{{\"a\": \"{noise}\", \"b\": \"whole\"}}").as_bytes());
            prop_assert_eq!(&value["b"], "whole");
        }
    }
}
