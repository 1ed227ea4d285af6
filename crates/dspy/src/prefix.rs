//! The label DSPy gives a field by default.

/// The default prefix of a field: its name as words in title case, and a colon.
pub(crate) fn default_prefix(name: &str) -> String {
    let name = before_capitalized_words(name);
    let name = split_between(&name, |left| left.is_ascii_lowercase() || is_digit(left), is_capital);
    let name = split_between(&name, |left| left.is_ascii_alphabetic(), is_digit);
    let name = split_between(&name, is_digit, |right| right.is_ascii_alphabetic());
    let words: Vec<String> = name.split('_').map(title_case).collect();
    words.join(" ") + ":"
}

fn is_capital(letter: char) -> bool {
    letter.is_ascii_uppercase()
}

fn is_digit(letter: char) -> bool {
    letter.is_ascii_digit()
}

/// Puts `_` before every capital that small letters follow, except at the start.
fn before_capitalized_words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut result = String::new();
    let mut rest = letters.as_slice();
    while let [first, tail @ ..] = rest {
        result.push(*first);
        rest = tail;
        if let [capital, small, ..] = tail
            && is_capital(*capital)
            && small.is_ascii_lowercase()
        {
            let word = 1 + tail.iter().skip(1).take_while(|letter| letter.is_ascii_lowercase()).count();
            result.push('_');
            result.extend(tail.iter().take(word));
            rest = tail.get(word..).unwrap_or_default();
        }
    }
    result
}

/// Puts `_` between neighbours; a letter is part of one pair only, as with a regular expression.
fn split_between(name: &str, left: impl Fn(char) -> bool, right: impl Fn(char) -> bool) -> String {
    let mut result = String::new();
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        result.push(letter);
        if left(letter)
            && let Some(next) = letters.next_if(|next| right(*next))
        {
            result.push('_');
            result.push(next);
        }
    }
    result
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
