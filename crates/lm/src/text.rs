//! Cleaning of text that came from outside, before it goes into an error message.

use promptopt_core::data::is_unsafe;
use promptopt_core::secret::Redactor;

/// Longest share of a provider's words in an error message, in characters.
pub(crate) const WORDS_LIMIT: usize = 500;

/// Longest excerpt of an unreadable body in an error message, in characters.
pub(crate) const EXCERPT_LIMIT: usize = 200;

/// `text` on one line, without control characters and without characters that reorder or hide text.
pub(crate) fn sanitise(text: &str) -> String {
    let visible = text.chars().filter(|character| !is_invisible(*character));
    let text: String =
        visible.map(|character| if character.is_control() { ' ' } else { character }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text from outside made fit for an error message: one line, printable, without secrets, short.
///
/// The order matters: cleaning first, so that no stray character hides a secret; shortening last,
/// so that no half of a secret is left over.
pub(crate) fn tidy(redactor: &Redactor, text: &str, limit: usize) -> String {
    shorten(redactor.redact(&sanitise(text)).into_owned(), limit)
}

/// The first `limit` characters of `text`, with an ellipsis where something was cut.
pub(crate) fn shorten(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text,
        Some((end, _)) => {
            let mut short: String = text.get(..end).unwrap_or_default().trim_end().to_owned();
            short.push('…');
            short
        }
    }
}

/// The title of an HTML page, or `None` when `text` is no HTML page.
pub(crate) fn html_title(text: &str) -> Option<&str> {
    let start = text.trim_start().as_bytes();
    let opens_with = |tag: &[u8]| start.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag));
    if !opens_with(b"<!doctype html") && !opens_with(b"<html") {
        return None;
    }
    // ASCII lower case keeps every byte offset, so positions found there hold in the original.
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|at| at + "<title>".len()).and_then(|from| {
        let length = lower.get(from..)?.find("</title>")?;
        text.get(from..from + length)
    });
    Some(title.map(str::trim).unwrap_or_default())
}

/// Zero-width and bidirectional formatting characters: they carry no meaning in an error message, and
/// could hide a key from redaction or turn a line around in a terminal.
fn is_invisible(character: char) -> bool {
    !character.is_control()
        && (is_unsafe(character) || matches!(character, '\u{ad}' | '\u{200c}' | '\u{200d}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::secrets::redactor;

    use super::*;

    #[test]
    fn secrets_are_masked_by_value_before_the_text_is_cut() {
        let redactor = redactor(vec!["sk-canary-123456".to_owned(), "Bearer token-abcdef".to_owned()]);
        let check = |text: &str, limit, shown: &str| assert_eq!(tidy(&redactor, text, limit), shown);
        check("bad key sk-canary-123456!", 100, "bad key [redacted]!");
        check("got token-abcdef", 100, "got [redacted]");
        check("k\u{200b} sk-can\u{200b}ary-123456", 100, "k [redacted]");
        check("key sk-canary-123456", 8, "key [red…");
        // A key of somebody else, as a proxy repeats it.
        check("key ghp_16C7e42F292c6912E7710c838347Ae178B4a", 100, "key [redacted]");
    }

    #[test]
    fn control_characters_and_line_breaks_become_single_spaces() {
        assert_eq!(sanitise("  a\r\n\tb\u{1b}[31mc\u{0}  "), "a b [31mc");
        assert_eq!(sanitise("sk\u{200b}-\u{202e}1"), "sk-1");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(shorten("äöü".into(), 3), "äöü");
        assert_eq!(shorten("äöüß".into(), 3), "äöü…");
    }

    #[test]
    fn an_html_page_is_known_by_its_title() {
        assert_eq!(html_title("<!DOCTYPE html><TITLE> 502 Bad Gateway </TITLE>"), Some("502 Bad Gateway"));
        assert_eq!(html_title(" <html><body>x"), Some(""));
        assert_eq!(html_title("{\"a\": \"<html>\"}"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_and_printable(text in "\\PC*|.*", limit in 0_usize..40) {
            let clean = shorten(sanitise(&text), limit);
            prop_assert!(clean.chars().count() <= limit + 1);
            prop_assert!(!clean.chars().any(char::is_control));
            html_title(&text);
        }
    }
}
