//! Words for messages: lists, shortened values, and the name that was probably meant.

use serde_json::Value;

/// How much of a value a message shows, in characters.
const SHOWN_CHARS: usize = 80;
/// How many names a message lists.
const SHOWN_NAMES: usize = 20;

/// A text cut to what a message can show, with control characters escaped so that no data set can
/// write to a terminal.
pub(crate) fn shorten(text: &str) -> String {
    let mut letters = text.chars();
    let mut short = String::new();
    for letter in letters.by_ref().take(SHOWN_CHARS) {
        match letter.is_control() {
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
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the text `{}`", shorten(text)),
        other => format!("`{}`", shorten(&other.to_string())),
    }
}

/// Names in backticks, as many as a message can hold.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut listed: Vec<String> =
        names.by_ref().take(SHOWN_NAMES).map(|name| format!("`{}`", shorten(name))).collect();
    let rest = names.count();
    if rest > 0 {
        listed.push(format!("{rest} more"));
    }
    if listed.is_empty() { "nothing".to_owned() } else { listed.join(", ") }
}

/// The candidate nearest to a name by edit distance, where one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let length = name.chars().count();
    candidates
        .into_iter()
        // Names far longer than the one looked for are not meant, and would make the distance dear.
        .filter(|candidate| candidate.chars().take(2 * length + 3).count() < 2 * length + 3)
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= (length / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shortened_and_escaped() {
        assert_eq!(shorten("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
        assert_eq!(shorten(&"é".repeat(90)).chars().count(), 81);
        assert_eq!(show(&serde_json::json!([1, "a"])), "`[1,\"a\"]`");
    }

    #[test]
    fn lists_are_bounded() {
        assert_eq!(list(["a", "b"]), "`a`, `b`");
        assert_eq!(list([]), "nothing");
        assert!(list(vec!["a"; 25]).ends_with("`a`, 5 more"));
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("department", ["text", "Departement"]), Some("Departement"));
        assert_eq!(nearest("answer", ["question", "id"]), None);
        assert_eq!(nearest("id", ["ID"]), Some("ID"));
    }
}
