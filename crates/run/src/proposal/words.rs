//! Words of texts: what two texts have in common, and in which script and language they are.

use std::collections::HashSet;

/// A script that at least one letter in this many of a task is of belongs to the task.
const MIN_SCRIPT: usize = 20;
/// A text in a script may quote some of another: no more than one letter in so many.
const MIXED: usize = 6;

/// The words of a text in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Its runs of so many words.
pub(super) fn shingles(text: &str, size: usize) -> Vec<String> {
    words(text).windows(size).map(|window| window.join(" ")).collect()
}

/// The share of three-word runs that were there before.
pub(super) fn repetition(text: &str) -> f64 {
    let runs = shingles(text, 3);
    let distinct: HashSet<_> = runs.iter().collect();
    if runs.len() < 12 { 0.0 } else { 1.0 - distinct.len() as f64 / runs.len() as f64 }
}

/// Words that carry meaning, cut to their first letters so that inflections agree.
pub(crate) fn stems(text: &str) -> impl Iterator<Item = String> {
    const COMMON: [&str; 24] = [
        "this", "that", "with", "from", "your", "have", "will", "must", "given", "field", "fields", "should",
        "which", "when", "what", "then", "there", "their", "they", "into", "each", "produce", "text", "use",
    ];
    words(text).into_iter().flat_map(|word| {
        let letters: Vec<char> = word.chars().collect();
        // Scripts without spaces give whole sentences as one word, so pairs of letters count there.
        if letters.iter().any(|letter| (*letter as u32) >= 0x2E80) {
            return letters.windows(2).map(|pair| pair.iter().collect()).collect::<Vec<String>>();
        }
        let carries = letters.len() >= 4 && !COMMON.contains(&word.as_str());
        carries.then(|| letters.iter().take(5).collect()).into_iter().collect()
    })
}

/// Whether a text is in English, by its function words.
pub(super) fn is_english(text: &str) -> bool {
    const FUNCTION: [&str; 20] = [
        "the", "and", "to", "that", "your", "you", "for", "with", "this", "from", "should", "it", "its",
        "each", "by", "are", "as", "a", "of", "if",
    ];
    let words = words(text);
    let found = words.iter().filter(|word| FUNCTION.contains(&word.as_str()));
    let kinds: HashSet<_> = found.clone().collect();
    kinds.len() >= 2 && found.count() * 7 >= words.len()
}

/// How many letters are of the Latin script.
#[derive(Debug, Clone, Default)]
pub(super) struct Letters {
    latin: usize,
    other: usize,
}

impl Letters {
    pub(super) fn count(&mut self, text: &str) {
        for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
            // Latin letters with their extensions end at U+024F.
            if (letter as u32) < 0x250 { self.latin += 1 } else { self.other += 1 }
        }
    }

    pub(super) fn of(text: &str) -> Self {
        let mut letters = Self::default();
        letters.count(text);
        letters
    }

    /// Whether a text with these letters is in scripts of the task. An English instruction for Japanese data may be
    /// answered in either.
    pub(super) fn admit(&self, text: &Self) -> bool {
        let (all, letters) = (self.latin + self.other, text.latin + text.other);
        let admits = |mine: usize, its: usize| its * MIXED <= letters || mine * MIN_SCRIPT >= all;
        admits(self.latin, text.latin) && admits(self.other, text.other)
    }
}
