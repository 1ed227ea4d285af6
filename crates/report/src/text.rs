//! Untrusted text: how much of it a page shows, and in which form.

use promptopt_core::data::{Fields, plain_text};
use serde::Serialize;

use crate::{format, thumbnails};

/// Values are cut to this many characters.
pub(crate) const MAX_VALUE: usize = 2_000;
/// Instructions and the configuration are cut to this many characters.
pub(crate) const MAX_LONG: usize = 20_000;
/// Names and one-line descriptions are cut to this many characters.
pub(crate) const MAX_NAME: usize = 120;
/// Sentences on one line are cut to this many characters.
const MAX_SENTENCE: usize = 300;
/// Fields of one value that are shown.
const MAX_FIELDS: usize = 40;

/// A text that may have been cut, and a note that says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cut {
    pub(crate) text: String,
    pub(crate) note: Option<String>,
    /// Images that are shown with it, as `data:image/png;base64,…`.
    pub(crate) images: Vec<String>,
}

impl Cut {
    pub(crate) fn new(text: &str, max: usize) -> Self {
        match text.char_indices().nth(max) {
            None => Self { text: text.to_owned(), note: None, images: Vec::new() },
            Some((end, _)) => {
                let all = text.chars().count() as u64;
                let note =
                    format!("{} of {} characters shown", format::count(max as u64), format::count(all));
                let text = text.get(..end).unwrap_or_default().to_owned();
                Self { text, note: Some(note), images: Vec::new() }
            }
        }
    }

    pub(crate) fn value(text: &str) -> Self {
        Self::new(text, MAX_VALUE)
    }

    /// A value with its images.
    pub(crate) fn of(value: &serde_json::Value) -> Self {
        Self { images: thumbnails::images(value), ..Self::value(&plain_text(value)) }
    }
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Cut,
}

/// A name on one line.
pub(crate) fn name(text: &str) -> String {
    promptopt_core::data::shorten(text, MAX_NAME)
}

/// A sentence on one line.
pub(crate) fn sentence(text: &str) -> String {
    promptopt_core::data::shorten(text, MAX_SENTENCE)
}

/// Fields in order, each cut; a last one says how many are left out.
pub(crate) fn fields(fields: &Fields) -> Vec<Field> {
    let field =
        |(key, value): (&String, &serde_json::Value)| Field { name: name(key), value: Cut::of(value) };
    let mut shown: Vec<_> = fields.iter().take(MAX_FIELDS).map(field).collect();
    if fields.len() > MAX_FIELDS {
        let note = format!("{} more fields are not shown", format::count((fields.len() - MAX_FIELDS) as u64));
        shown.push(Field { name: "…".to_owned(), value: Cut { note: Some(note), ..Cut::value("") } });
    }
    shown
}

/// A page in which every control character can be seen: a browser would drop or misread them.
pub(crate) fn with_visible_controls(page: &str) -> String {
    let visible = |c: char| match c {
        '\n' | '\t' => c,
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => c,
    };
    page.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(Cut::new("äöü", 3), Cut { text: "äöü".into(), note: None, images: Vec::new() });
        let cut = Cut::new(&"ä".repeat(1_000_000), 2_000);
        assert_eq!(cut.text.chars().count(), 2_000);
        assert_eq!(cut.note.as_deref(), Some("2,000 of 1,000,000 characters shown"));
    }

    #[test]
    fn many_fields_are_cut_too() {
        let many: Fields = (0..100).map(|n| (format!("f{n}"), n.into())).collect();
        let shown = fields(&many);
        assert_eq!(shown.len(), MAX_FIELDS + 1);
        assert_eq!(shown[MAX_FIELDS].value.note.as_deref(), Some("60 more fields are not shown"));
    }

    #[test]
    fn control_characters_can_be_seen() {
        assert_eq!(with_visible_controls("a\0b\u{1b}[1m\r\n\tc\u{7f}\u{85}"), "a␀b␛[1m␍\n\tc␡\u{fffd}");
    }
}
