//! The label DSPy gives a field by default.

use std::sync::LazyLock;

use regex::Regex;

/// Where DSPy begins a new word, rule by rule: before a capital that small letters follow, between a
/// small letter or a digit and a capital, and on both sides of a number.
static BOUNDARIES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let rules = ["(?s)(.)([A-Z][a-z]+)", "([a-z0-9])([A-Z])", "([a-zA-Z])([0-9])", "([0-9])([a-zA-Z])"];
    rules.into_iter().filter_map(|rule| Regex::new(rule).ok()).collect()
});

/// The default prefix of a field: its name as words in title case, and a colon.
pub(crate) fn default_prefix(name: &str) -> String {
    let divide = |name: String, rule: &Regex| rule.replace_all(&name, "${1}_${2}").into_owned();
    let name = BOUNDARIES.iter().fold(name.to_owned(), divide);
    let words: Vec<String> = name.split('_').map(title_case).collect();
    words.join(" ") + ":"
}

/// Words in capitals stay as they are.
fn title_case(word: &str) -> String {
    let is_cased = |letter: &char| letter.is_uppercase() || letter.is_lowercase();
    let mut cased = word.chars().filter(is_cased).peekable();
    if cased.peek().is_some() && cased.all(char::is_uppercase) {
        return word.to_owned();
    }
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.flat_map(char::to_lowercase)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_labels() {
        let check = |name: &str, expected: &str| assert_eq!(default_prefix(name), expected);
        check("question", "Question:");
        check("page_count", "Page Count:");
        check("camelCaseText", "Camel Case Text:");
        check("text2number", "Text 2 Number:");
        check("HTMLParser", "HTML Parser:");
        check("aBcDe", "A Bc De:");
        check("my_Name", "My  Name:");
        check("URL", "URL:");
        check("_", " :");
        check("q1", "Q 1:");
    }
}
