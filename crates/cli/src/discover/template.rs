//! What several texts have in common: fixed stretches, with places between them.
//!
//! A program fills a prompt in for each row. Here the prompt is found again: `Answer the question: What is tea?` and
//! `Answer the question: Who was Ada?` have `Answer the question: {question}` in common where those are what the rows have
//! as `question`.

use promptopt_gateway::Component;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// So many tokens of two texts are compared at most; what lies between their common ends is one place otherwise.
const MAX_TOKENS: usize = 8_000;
/// The fewest words in the fixed stretches of a text that is worth a name, and of one with places nobody knows.
const FEWEST_WORDS: usize = 3;
const FEWEST_WORDS_WITH_GAPS: usize = 4;

/// A text that a program sent, and what was known of the row when it did.
#[derive(Debug, Clone)]
pub(crate) struct Sample<'s> {
    pub(crate) text: &'s str,
    /// Name -> value.
    pub(crate) known: &'s [(String, String)],
}

/// The text behind some that were sent: what they have in common, with `{name}` where a value that is known stands in each
/// of them, and another name where they differ. The gateway finds it in each of them. `None` where they have too little in
/// common.
pub(crate) fn common(samples: &[Sample<'_>]) -> Option<String> {
    let (first, others) = samples.split_first()?;
    let text = first.text.trim();
    if !others.is_empty() && others.iter().all(|other| other.text.trim() == text) {
        return Some(text.to_owned());
    }
    let names = names(samples);
    let mut tokens = tokens(first, &names);
    for other in others {
        tokens = merged(&tokens, &self::tokens(other, &names));
    }
    let mut pieces = cleaned(pieces(&tokens));
    loop {
        let gaps = pieces.contains(&Piece::Gap);
        let fewest = if gaps { FEWEST_WORDS_WITH_GAPS } else { FEWEST_WORDS };
        if pieces.iter().map(Piece::words).sum::<usize>() < fewest {
            return None;
        }
        let named = named(&pieces);
        if is_found(&named, &pieces, samples) {
            return Some(named.concat());
        }
        pieces = cleaned(without_weakest(pieces)?);
    }
}

/// How many words a text has.
pub(crate) fn words(text: &str) -> usize {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| word.chars().any(char::is_alphabetic)).count()
}

/// The names of values that stand in each text and are not the same in all rows.
fn names<'s>(samples: &[Sample<'s>]) -> Vec<&'s str> {
    let Some((first, others)) = samples.split_first() else { return Vec::new() };
    let of = |sample: &Sample<'s>, name: &str| -> Option<&'s str> {
        let (_, value) = sample.known.iter().find(|(known, _)| known == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    };
    let stands = |sample: &Sample<'s>, name: &'s str| tokens(sample, &[name]).contains(&Token::Place(name));
    let names = first.known.iter().map(|(name, _)| name.as_str());
    let varies = |name: &&str| {
        let value = of(first, name);
        others.is_empty() && value.is_some_and(|value| value.chars().count() >= 3)
            || others.iter().any(|other| of(other, name) != value)
    };
    names.filter(varies).filter(|name| samples.iter().all(|sample| stands(sample, name))).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token<'s> {
    /// A word, white space, or another letter.
    Text(&'s str),
    /// A value that is known.
    Place(&'s str),
    /// Where texts differ.
    Gap,
}

/// A text in words, with places where the values of these names stand.
fn tokens<'s>(sample: &Sample<'s>, names: &[&'s str]) -> Vec<Token<'s>> {
    let known = sample.known.iter().filter(|(name, _)| names.contains(&name.as_str()));
    let mut values: Vec<(&str, &str)> = known
        .map(|(name, value)| (name.as_str(), value.trim()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    // A value that holds another one goes first.
    values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    let mut tokens = Vec::new();
    let mut rest = sample.text.trim();
    let mut before = None;
    while let Some(letter) = rest.chars().next() {
        let value =
            values.iter().find(|(_, value)| rest.starts_with(value) && stands_alone(rest, value, before));
        let (token, length) = match value {
            Some((name, value)) => (Token::Place(name), value.len()),
            None => {
                let length = length_of_word(rest, letter);
                (Token::Text(rest.get(..length).unwrap_or_default()), length)
            }
        };
        tokens.push(token);
        before = rest.get(..length).and_then(|text| text.chars().next_back());
        rest = rest.get(length..).unwrap_or_default();
    }
    tokens
}

/// Whether a value at the beginning of a text is no part of a longer word.
fn stands_alone(text: &str, value: &str, before: Option<char>) -> bool {
    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let behind = text.get(value.len()..).and_then(|rest| rest.chars().next());
    !(is_word(before) && is_word(value.chars().next())
        || is_word(behind) && is_word(value.chars().next_back()))
}

fn length_of_word(text: &str, first: char) -> usize {
    let kind = |letter: char| (letter.is_alphanumeric(), letter.is_whitespace());
    match kind(first) {
        (false, false) => first.len_utf8(),
        same => text.find(|letter| kind(letter) != same).unwrap_or(text.len()),
    }
}

/// What two texts have in common, in the order of both.
fn merged<'s>(one: &[Token<'s>], other: &[Token<'s>]) -> Vec<Token<'s>> {
    let ahead = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let (head, one) = one.split_at(ahead);
    let other = other.get(ahead..).unwrap_or_default();
    let behind = one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count();
    let (one, tail) = one.split_at(one.len() - behind);
    let other = other.get(..other.len() - behind).unwrap_or_default();
    let mut all = head.to_vec();
    if one.len() + other.len() > MAX_TOKENS {
        all.push(Token::Gap);
    } else {
        for step in capture_diff_slices(Algorithm::Myers, one, other) {
            match step {
                DiffOp::Equal { old_index, len, .. } => {
                    all.extend_from_slice(one.get(old_index..old_index + len).unwrap_or_default());
                }
                _ => all.push(Token::Gap),
            }
        }
    }
    all.extend_from_slice(tail);
    all
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Fixed(String),
    Place(String),
    Gap,
}

impl Piece {
    fn words(&self) -> usize {
        if let Self::Fixed(text) = self { words(text) } else { 0 }
    }

    /// Whether it says enough to stand beside a place nobody knows: other texts have a word or two in common by chance.
    fn is_strong(&self) -> bool {
        match self {
            Self::Fixed(text) => match words(text) {
                0 => false,
                1 | 2 => text.contains([':', '\n', '<', '>', '#']),
                _ => true,
            },
            _ => true,
        }
    }
}

fn pieces(tokens: &[Token<'_>]) -> Vec<Piece> {
    let piece = |token: &Token<'_>| match token {
        Token::Text(text) => Piece::Fixed((*text).to_owned()),
        Token::Place(name) => Piece::Place((*name).to_owned()),
        Token::Gap => Piece::Gap,
    };
    tokens.iter().map(piece).collect()
}

/// The pieces with each stretch in one, with something fixed between any two places, and without what is fixed by chance.
fn cleaned(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut pieces = joined(pieces);
    loop {
        let is_gap = |at: Option<usize>| at.and_then(|at| pieces.get(at)) == Some(&Piece::Gap);
        let weak = pieces.iter().enumerate().position(|(at, piece)| {
            !piece.is_strong() && (is_gap(at.checked_sub(1)) || is_gap(Some(at + 1)))
        });
        let Some(piece) = weak.and_then(|at| pieces.get_mut(at)) else { return pieces };
        *piece = Piece::Gap;
        pieces = joined(pieces);
    }
}

fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (all.last_mut(), piece) {
            (Some(Piece::Fixed(before)), Piece::Fixed(text)) => before.push_str(&text),
            (Some(before @ (Piece::Place(_) | Piece::Gap)), Piece::Place(_) | Piece::Gap) => {
                *before = Piece::Gap
            }
            (_, piece) => all.push(piece),
        }
    }
    all
}

/// The same with the shortest stretch between two places taken into them; `None` where there is none.
fn without_weakest(mut pieces: Vec<Piece>) -> Option<Vec<Piece>> {
    let inner = pieces.iter().enumerate().filter(|(at, _)| *at > 0 && at + 1 < pieces.len());
    let lengths = inner.filter_map(|(at, piece)| match piece {
        Piece::Fixed(text) => Some((text.len(), at)),
        _ => None,
    });
    let (_, at) = lengths.min()?;
    *pieces.get_mut(at)? = Piece::Gap;
    Some(pieces)
}

/// The pieces as they are written in a template: each place has a name.
fn named(pieces: &[Piece]) -> Vec<String> {
    let mut taken: Vec<String> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Place(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let mut written: Vec<String> = Vec::new();
    for piece in pieces {
        written.push(match piece {
            Piece::Fixed(text) => text.clone(),
            Piece::Place(name) => format!("{{{name}}}"),
            Piece::Gap => {
                let label = written.last().and_then(|before| label(before));
                let name = label.unwrap_or_else(|| "text".to_owned());
                let mut numbered = (2..).map(|number| format!("{name}{number}"));
                let name = if taken.contains(&name) {
                    numbered.find(|name| !taken.contains(name)).unwrap_or_default()
                } else {
                    name
                };
                taken.push(name.clone());
                format!("{{{name}}}")
            }
        });
    }
    written
}

/// What a text says is to follow: the last word before a colon, or the name of a tag.
fn label(before: &str) -> Option<String> {
    let before = before.trim_end();
    let before = before.strip_suffix(':').or(before.strip_suffix('>'))?.trim_end_matches(['*', '`', '"']);
    let word = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next()?;
    let is_name = word.starts_with(|letter: char| letter.is_ascii_alphabetic()) && word.len() <= 30;
    is_name.then(|| word.to_ascii_lowercase())
}

/// Whether the gateway finds a template in each text whole, with what is known in its places.
fn is_found(named: &[String], pieces: &[Piece], samples: &[Sample<'_>]) -> bool {
    let component = Component::new("text", &named.concat());
    let places: Vec<(&Piece, &String)> =
        pieces.iter().zip(named).filter(|(piece, _)| !matches!(piece, Piece::Fixed(_))).collect();
    let as_written = places.iter().map(|(_, written)| written.as_str());
    component.places().into_iter().eq(as_written)
        && samples.iter().all(|sample| {
            let text = sample.text.trim();
            let Some((range, values)) = component.find(text) else { return false };
            let is_whole = text.get(range).is_some_and(|found| found.len() == text.len());
            let is_known = |(piece, value): (&Piece, &&str)| match piece {
                Piece::Place(name) => {
                    let known = sample.known.iter().find(|(known, _)| known == name);
                    known.is_some_and(|(_, known)| known.trim() == value.trim())
                }
                _ => true,
            };
            is_whole && places.iter().map(|(piece, _)| *piece).zip(&values).all(is_known)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row<'t> = (&'t str, &'t [(&'t str, &'t str)]);

    fn check(rows: &[Row<'_>], expected: Option<&str>) {
        let known: Vec<Vec<(String, String)>> = rows
            .iter()
            .map(|(_, known)| known.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
            .collect();
        let samples: Vec<Sample<'_>> =
            rows.iter().zip(&known).map(|((text, _), known)| Sample { text, known }).collect();
        assert_eq!(common(&samples).as_deref(), expected, "{rows:?}");
    }

    #[test]
    fn inputs_become_places() {
        check(
            &[
                ("Answer the question: What is tea?", &[("question", "What is tea?")]),
                ("Answer the question: Who was Ada?\n", &[("question", "Who was Ada?")]),
            ],
            Some("Answer the question: {question}"),
        );
        check(
            &[("Answer the question: What is tea?", &[("question", "What is tea?")])],
            Some("Answer the question: {question}"),
        );
        // One value holds the other, and one is a part of a word of the prompt.
        check(
            &[
                ("The teacher of tea in tea time asks.", &[("a", "tea"), ("b", "tea time")]),
                ("The teacher of ink in ink pot asks.", &[("a", "ink"), ("b", "ink pot")]),
            ],
            Some("The teacher of {a} in {b} asks."),
        );
    }

    #[test]
    fn what_stays_the_same_is_whole() {
        check(
            &[("You are a clerk.", &[("who", "clerk")]), ("You are a clerk.", &[("who", "tea")])],
            Some("You are a clerk."),
        );
        // A value that never changes is a part of the prompt.
        check(
            &[
                ("Say it in English now: tea", &[("lang", "English"), ("q", "tea")]),
                ("Say it in English now: ink", &[("lang", "English"), ("q", "ink")]),
            ],
            Some("Say it in English now: {q}"),
        );
    }

    #[test]
    fn what_differs_has_a_name_by_what_stands_before_it() {
        check(
            &[
                ("Use the passages.\n\nContext: tea is a drink\n\nQuestion: tea?", &[("question", "tea?")]),
                (
                    "Use the passages.\n\nContext: ink is black and old\n\nQuestion: ink?",
                    &[("question", "ink?")],
                ),
            ],
            Some("Use the passages.\n\nContext: {context}\n\nQuestion: {question}"),
        );
        check(
            &[
                ("Read all of this first <doc>a b</doc> then reply", &[]),
                ("Read all of this first <doc>c</doc> then reply", &[]),
            ],
            Some("Read all of this first <doc>{doc}</doc> then reply"),
        );
        check(
            &[
                ("It is Monday. You are the clerk of a tea house.", &[]),
                ("It is Sunday. You are the clerk of a tea house.", &[]),
            ],
            Some("{text}. You are the clerk of a tea house."),
        );
    }

    #[test]
    fn what_is_alike_by_chance_is_nothing() {
        check(&[("What is the time?", &[]), ("Who is at the door?", &[])], None);
        check(&[("Question: tea", &[("q", "tea")]), ("Question: ink", &[("q", "ink")])], None);
        check(&[("", &[]), ("a", &[])], None);
        check(&[], None);
    }

    #[test]
    fn places_that_nothing_keeps_apart_are_one() {
        // The first line feed stands within the context, so the gateway could not tell the two apart.
        check(
            &[
                ("Read the text and answer it: a\nb\nWhy?", &[("context", "a\nb"), ("question", "Why?")]),
                (
                    "Read the text and answer it: c\nd\ne\nHow?",
                    &[("context", "c\nd\ne"), ("question", "How?")],
                ),
            ],
            Some("Read the text and answer it: {it}"),
        );
    }

    #[test]
    fn long_texts_take_no_time() {
        let text = |seed: usize| {
            (0..40_000).map(|n| format!("w{} ", (n * 7919 + seed * 31) % 1009)).collect::<String>()
        };
        let [one, other] =
            [1, 2].map(|seed| format!("Read this long report: {} Now sum it up for me.", text(seed).trim()));
        check(&[(&one, &[]), (&other, &[])], Some("Read this long report: {report} Now sum it up for me."));
    }

    proptest! {
        #[test]
        fn what_is_found_stands_in_each_text(
            texts in prop::collection::vec("[ab:{}\n é]{0,24}", 1..4),
            value in "[ab é]{0,3}",
        ) {
            let known = [("v".to_owned(), value)];
            let samples: Vec<Sample<'_>> = texts.iter().map(|text| Sample { text, known: &known }).collect();
            if let Some(text) = common(&samples) {
                let component = Component::new("c", &text);
                for sample in &samples {
                    prop_assert!(sample.text.trim().is_empty() || component.find(sample.text.trim()).is_some(), "{text:?}");
                }
            }
        }

        #[test]
        fn a_template_that_was_filled_in_is_found_again(
            fixed in prop::collection::vec("[a-f]{2,5} [a-f]{2,5} [a-f]{2,5}", 3),
            values in prop::collection::vec(("[k-o]{3,6}[0-9]", "[p-t]{3,6}[0-9]"), 2..5),
        ) {
            let distinct = |pick: fn(&(String, String)) -> &String| {
                values.iter().any(|value| pick(value) != pick(&values[0]))
            };
            prop_assume!(distinct(|pair| &pair.0) && distinct(|pair| &pair.1));
            let fill = |a: &str, b: &str| format!("{}: {a}. {} {b} {}", fixed[0], fixed[1], fixed[2]);
            let texts: Vec<String> = values.iter().map(|(a, b)| fill(a, b)).collect();
            let known: Vec<Vec<(String, String)>> =
                values.iter().map(|(a, b)| vec![("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())]).collect();
            let samples: Vec<Sample<'_>> =
                texts.iter().zip(&known).map(|(text, known)| Sample { text, known }).collect();
            prop_assert_eq!(common(&samples), Some(fill("{a}", "{b}")));
        }
    }
}
