//! Words for messages: lists, what was expected, and the name that was probably meant.

pub(crate) use promptopt_core::data::excerpt as shorten;
use promptopt_core::signature::FieldType;

/// How many names a message lists.
const SHOWN_NAMES: usize = 20;

/// What a value of a type is, in words.
pub(crate) fn describe(kind: &FieldType) -> String {
    match kind {
        FieldType::String => "a text".to_owned(),
        FieldType::Integer => "a whole number".to_owned(),
        FieldType::Float => "a number".to_owned(),
        FieldType::Bool => "true or false".to_owned(),
        FieldType::Enum(literals) => format!("one of {}", list(literals.iter().map(String::as_str))),
        FieldType::List(item) => format!("a JSON list in which each item is {}", describe(item)),
        FieldType::Object(_) => "a JSON object".to_owned(),
        FieldType::Optional(item) => format!("{}, or nothing", describe(item)),
        FieldType::Union(kinds) => kinds.iter().map(describe).collect::<Vec<_>>().join(" or "),
        FieldType::Date => "a day such as 2026-11-27".to_owned(),
        FieldType::DateTime => "a time such as 2026-11-27T10:30:00".to_owned(),
        FieldType::Image => "an image (an address, base64 or a path)".to_owned(),
        FieldType::File => "a file (base64, a path, or an object with `file_data` or `file_id`)".to_owned(),
        FieldType::History => {
            "a history (a list of objects with `role` and `content`, or with the fields of the program)"
                .to_owned()
        }
        other => format!("of type {other}"),
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
