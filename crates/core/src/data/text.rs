//! Values as text, texts cut to a bound, and texts that may be shown.

use std::borrow::Cow;
use std::io;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::Formatter;

/// A JSON value as plain text: strings as they are, everything else as JSON. The bytes of an image or a file are a word
/// in their place, `[image]`: who reads a text can do nothing with them.
pub fn plain_text(value: &Value) -> String {
    match &*without_bytes(value) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value with a word in the place of each text that holds the bytes of something: `[image]`, `[audio]` or `[file]`.
pub fn without_bytes(value: &Value) -> Cow<'_, Value> {
    if !holds_bytes(value) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(match value {
        Value::String(text) => Value::from(bytes_in(text).unwrap_or_default()),
        Value::Array(items) => items.iter().map(|item| without_bytes(item).into_owned()).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (name.clone(), without_bytes(value).into_owned());
            Value::Object(fields.iter().map(field).collect())
        }
        other => other.clone(),
    })
}

/// JSON with a space after every comma and colon, as `json.dumps(…, ensure_ascii=False)` has it.
pub fn spaced_json(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => value.to_string(),
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn holds_bytes(value: &Value) -> bool {
    match value {
        Value::String(text) => bytes_in(text).is_some(),
        Value::Array(items) => items.iter().any(holds_bytes),
        Value::Object(fields) => fields.values().any(holds_bytes),
        _ => false,
    }
}

/// The word for what an address such as `data:image/png;base64,…` holds; `None` for other texts.
fn bytes_in(text: &str) -> Option<&'static str> {
    let (media_type, _) = text.strip_prefix("data:")?.split_once(',')?;
    media_type.strip_suffix(";base64")?;
    Some(match media_type.split('/').next() {
        Some("image") => "[image]",
        Some("audio") => "[audio]",
        _ => "[file]",
    })
}

/// A text cut to at most `max_chars` characters, with an ellipsis where something was cut.
pub fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whether a character commands a terminal or hides or reorders what stands beside it: control characters but
/// line feed and tab, the controls of writing direction, separators of lines and paragraphs, and characters
/// without width. Joiners (U+200C, U+200D) are none of them: Persian, Hindi and emoji need them.
pub fn is_unsafe(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

/// A text from outside as it may stand on a terminal or a page: control characters become their pictures
/// (U+241B for an escape), and what else [`is_unsafe`] becomes U+FFFD, as does a joiner that joins nothing. A line
/// may end with CR LF.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|letter| is_unsafe(letter) || is_joiner(letter)) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    let mut shown = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        let joined = |other: char| !other.is_ascii() && !is_joiner(other);
        let joins = joined(before) && letters.peek().is_some_and(|behind| joined(*behind));
        shown.push(match letter {
            letter if is_joiner(letter) && !joins => '\u{fffd}',
            letter if !is_unsafe(letter) => letter,
            '\u{7f}' => '\u{2421}',
            letter if letter < ' ' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}'),
            _ => '\u{fffd}',
        });
        before = letter;
    }
    Cow::Owned(shown)
}

/// Whether a character joins its neighbours or keeps them apart, which letters of ASCII never are.
fn is_joiner(letter: char) -> bool {
    matches!(letter, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äö…");
        assert_eq!(shorten("abc", 0), "…");
    }

    #[test]
    fn bytes_are_a_word() {
        let check = |value: Value, shown: &str| assert_eq!(plain_text(&value), shown);
        check(json!("data:image/png;base64,AAAA"), "[image]");
        check(
            json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}),
            "{\"filename\":\"a.pdf\",\"file_data\":\"[file]\"}",
        );
        check(
            json!([["https://x.org/a.png", "data:image/jpeg;base64,AAAA"], 1]),
            "[[\"https://x.org/a.png\",\"[image]\"],1]",
        );
        for text in ["data: none", "data:text,a", "no data:image/png;base64,AAAA", "data:;base6,"] {
            check(json!(text), text);
        }
    }

    #[test]
    fn what_commands_a_terminal_is_shown_and_not_obeyed() {
        let check = |text: &str, shown: &str| assert_eq!(printable(text), shown);
        check("\u{1b}]52;c;aGk=\u{7}", "␛]52;c;aGk=␇");
        check("\u{9b}2J \u{9d}0;title\u{9c}", "\u{fffd}2J \u{fffd}0;title\u{fffd}");
        check("a\r\nb\rc\0\u{7f}", "a\nb␍c␀␡");
        check("user\u{202e}nimda\u{2066}\u{200f}\u{61c}", "user\u{fffd}nimda\u{fffd}\u{fffd}\u{fffd}");
        check("a\u{2028}b\u{200b}c\u{feff}\u{e0041}", "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}");
        // Ordinary texts of the world, joiners and emoji among them.
        for text in ["a\tb\n", "naïve", "می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}👧", "שלום", "文字"]
        {
            assert_eq!(printable(text), text);
        }
        check("sk\u{200d}-1\u{200c}é\u{200d}\u{200d}é", "sk\u{fffd}-1\u{fffd}é\u{fffd}\u{fffd}é");
    }

    proptest! {
        #[test]
        fn any_text_is_safe_and_stays_so(text in any::<String>()) {
            let shown = printable(&text);
            prop_assert!(!shown.contains(is_unsafe));
            prop_assert_eq!(printable(&shown), shown.clone());
        }
    }
}
