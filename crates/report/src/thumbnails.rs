//! Small images as they are on the page, and a word for all others.

use std::borrow::Cow;

use promptopt_core::data::{Fields, without_bytes};
use promptopt_core::lm::split_data_url;
use serde_json::Value;

use crate::text::Cut;

/// An image of more characters than this, as base64, is a word.
const MAX_IMAGE_CHARS: usize = 64 * 1024;
/// Images of a table are shown until they have this many characters.
pub(crate) const MAX_TABLE_CHARS: usize = 2 * 1024 * 1024;
/// At most this many images of one value are shown.
const MAX_OF_VALUE: usize = 4;
/// Pictures that have no script in them and load nothing.
const SHOWN: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The images in a value that are small enough to be shown.
pub(crate) fn images(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if found.len() < MAX_OF_VALUE && is_shown(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| collect(item, found)),
        _ => {}
    }
}

fn is_shown(text: &str) -> bool {
    let base64 = |data: &str| data.bytes().all(|it| it.is_ascii_alphanumeric() || b"+/=".contains(&it));
    text.len() <= MAX_IMAGE_CHARS
        && split_data_url(text).is_some_and(|(kind, data)| SHOWN.contains(&kind) && base64(data))
}

/// Takes the images away that a table has no room for.
pub(crate) fn keep<'c>(cuts: impl Iterator<Item = &'c mut Cut>, left: &mut usize) {
    for cut in cuts {
        cut.images.retain(|image| {
            let rest = left.checked_sub(image.len());
            *left = rest.unwrap_or(*left);
            rest.is_some()
        });
    }
}

/// Fields with a word in the place of bytes that no page has room for.
pub(crate) fn bounded(fields: &Fields, left: &mut usize) -> Fields {
    let mut value = |value: &Value| match without_bytes(value) {
        Cow::Borrowed(same) => same.clone(),
        Cow::Owned(words) => {
            let size: usize = images(value).iter().map(String::len).sum();
            // What is more than its images may be anything.
            let is_small = value.to_string().len() <= size + MAX_IMAGE_CHARS;
            match left.checked_sub(size.max(1)).filter(|_| is_small && size > 0) {
                Some(rest) => {
                    *left = rest;
                    value.clone()
                }
                None => words,
            }
        }
    };
    fields.iter().map(|(name, one)| (name.clone(), value(one))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_small_pictures_are_shown() {
        let png = "data:image/png;base64,AAAA";
        assert_eq!(images(&json!({"a": [png, "x"], "b": png})), [png, png]);
        let big = format!("data:image/png;base64,{}", "A".repeat(MAX_IMAGE_CHARS));
        for text in [
            &big,
            "data:image/svg+xml;base64,AAAA",
            "data:text/html;base64,AAAA",
            "data:image/png;base64,\"><script>",
            "https://example.org/a.png",
        ] {
            assert!(images(&json!(text)).is_empty(), "{text}");
        }
        assert_eq!(images(&json!(vec![png; 9])).len(), MAX_OF_VALUE);
    }

    #[test]
    fn a_table_has_room_for_so_many() {
        let png = "data:image/png;base64,AAAA";
        let mut cuts = [Cut::of(&json!(png)), Cut::of(&json!(png)), Cut::of(&json!("text"))];
        let mut left = png.len();
        keep(cuts.iter_mut(), &mut left);
        assert_eq!((cuts[0].images.len(), cuts[1].images.len(), left), (1, 0, 0));
        assert_eq!((cuts[1].text.as_str(), cuts[2].text.as_str()), ("[image]", "text"));

        let mut left = png.len() + 1;
        let fields: Fields =
            [("a", png), ("b", png), ("c", "data:application/pdf;base64,AAAA"), ("d", "text")]
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .into_iter()
                .collect();
        let bounded = bounded(&fields, &mut left);
        assert_eq!(Value::Object(bounded), json!({"a": png, "b": "[image]", "c": "[file]", "d": "text"}));
    }
}
