//! Names and values as a message shows them.

use serde_json::Value;

use super::plain_text;

/// How much of a text a message shows, in characters.
const SHOWN_CHARS: usize = 80;

/// A text cut to what a message can show, with characters escaped that could command a terminal or hide on it.
pub fn excerpt(text: &str) -> String {
    let mut letters = text.chars();
    let mut short = String::new();
    for letter in letters.by_ref().take(SHOWN_CHARS) {
        match letter.is_control() || super::is_unsafe(letter) {
            true => short.extend(letter.escape_default()),
            false => short.push(letter),
        }
    }
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

/// A value as a message shows it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(_) => format!("the text `{}`", excerpt(&plain_text(value))),
        other => format!("`{}`", excerpt(&plain_text(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_short_and_without_controls() {
        assert_eq!(excerpt("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(excerpt(&"é".repeat(90)).chars().count(), 81);
        assert_eq!(shown(&"data:image/png;base64,AAAA".into()), "the text `[image]`");
        assert_eq!(shown(&"a\n".into()), "the text `a\\n`");
        assert_eq!(shown(&serde_json::json!([1, "a"])), "`[1,\"a\"]`");
    }
}
