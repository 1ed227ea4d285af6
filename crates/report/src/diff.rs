//! Word differences of two texts.

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// A piece of a text: kept from the other, or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) changed: bool,
}

/// Two texts in pieces, and whether they have enough in common for marks to mean anything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WordDiff {
    pub(crate) before: Vec<Piece>,
    pub(crate) after: Vec<Piece>,
    /// Words of the text before that are gone, and words of the text after that are new.
    pub(crate) removed: usize,
    pub(crate) added: usize,
    /// Too little is kept for marks to tell anything.
    pub(crate) rewritten: bool,
}

/// Fewer words than this between two replacements belong to them: they are there by chance.
const ISLAND: usize = 3;
/// Texts whose numbers of pieces have a larger product are not compared: in the worst case it takes that
/// many steps, and a text of this length that changed is read anew anyway.
const MAX_WORK: usize = 16_000_000;
/// Where less than one word in so many is kept of the shorter text, the longer one is a new text.
const REWRITTEN: usize = 3;

impl WordDiff {
    /// Compares word by word.
    pub(crate) fn of(before: &str, after: &str) -> Self {
        let (old, new) = (words(before), words(after));
        let ops = match old.len().saturating_mul(new.len()) {
            small if small <= MAX_WORK => capture_diff_slices(Algorithm::Patience, &old, &new),
            _ => vec![DiffOp::Replace { old_index: 0, old_len: old.len(), new_index: 0, new_len: new.len() }],
        };
        let ops = without_islands(ops, &old);
        let mut diff = Self { before: Vec::new(), after: Vec::new(), removed: 0, added: 0, rewritten: false };
        for op in ops {
            let changed = !matches!(op, DiffOp::Equal { .. });
            let gone = old.get(op.old_range()).unwrap_or_default();
            let come = new.get(op.new_range()).unwrap_or_default();
            push(&mut diff.before, gone, changed);
            push(&mut diff.after, come, changed);
            if changed {
                diff.removed += count(gone);
                diff.added += count(come);
            }
        }
        let kept = count(&new).saturating_sub(diff.added);
        diff.rewritten = kept * REWRITTEN < count(&old).min(count(&new));
        diff
    }
}

/// Words and what stands between them, so that the pieces put together are the text.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = class(first);
        // Punctuation stands alone, so that a comma does not make another word of the one before it.
        let end = match class {
            Class::Mark => first.len_utf8(),
            _ => rest.find(|c: char| self::class(c) != class).unwrap_or(rest.len()),
        };
        let (word, next) = rest.split_at(end);
        words.push(word);
        rest = next;
    }
    words
}

#[derive(PartialEq, Clone, Copy)]
enum Class {
    Word,
    Space,
    Mark,
}

fn class(c: char) -> Class {
    match c {
        c if c.is_alphanumeric() || c == '_' || c == '\'' => Class::Word,
        c if c.is_whitespace() => Class::Space,
        _ => Class::Mark,
    }
}

fn count(words: &[&str]) -> usize {
    words.iter().filter(|word| word.starts_with(char::is_alphanumeric)).count()
}

/// Short common stretches between two replacements become part of the change.
fn without_islands(ops: Vec<DiffOp>, old: &[&str]) -> Vec<DiffOp> {
    let replaced = |op: Option<&DiffOp>| matches!(op, Some(DiffOp::Replace { .. }));
    let is_island = |index: usize| {
        let between = index > 0 && replaced(ops.get(index - 1)) && replaced(ops.get(index + 1));
        let equal = ops.get(index).filter(|op| matches!(op, DiffOp::Equal { .. }));
        between && equal.is_some_and(|op| count(old.get(op.old_range()).unwrap_or_default()) < ISLAND)
    };
    let as_change = |(index, op): (usize, &DiffOp)| match *op {
        DiffOp::Equal { old_index, new_index, len } if is_island(index) => {
            DiffOp::Replace { old_index, old_len: len, new_index, new_len: len }
        }
        op => op,
    };
    ops.iter().enumerate().map(as_change).collect()
}

fn push(pieces: &mut Vec<Piece>, words: &[&str], changed: bool) {
    if words.is_empty() {
        return;
    }
    match pieces.last_mut() {
        Some(last) if last.changed == changed => last.text.extend(words.iter().copied()),
        _ => pieces.push(Piece { text: words.concat(), changed }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(pieces: &[Piece]) -> String {
        let mark = |piece: &Piece| {
            if piece.changed { format!("[{}]", piece.text) } else { piece.text.clone() }
        };
        pieces.iter().map(mark).collect()
    }

    fn check(before: &str, after: &str, expected_before: &str, expected_after: &str) {
        let diff = WordDiff::of(before, after);
        assert_eq!(marked(&diff.before), expected_before);
        assert_eq!(marked(&diff.after), expected_after);
    }

    #[test]
    fn words_are_marked() {
        check("same", "same", "same", "same");
        check("", "new text", "", "[new text]");
        check(
            "Answer the question.",
            "Answer the hard question.",
            "Answer the question.",
            "Answer the [hard ]question.",
        );
    }

    #[test]
    fn common_words_by_chance_are_not_kept_apart() {
        check("red a green", "blue a white", "[red a green]", "[blue a white]");
        let diff = WordDiff::of("Route the ticket, now.", "Route the urgent ticket; today.");
        assert_eq!((diff.removed, diff.added), (1, 2));
    }

    #[test]
    fn very_long_texts_are_not_compared() {
        let diff = WordDiff::of(&"<>".repeat(10_000), &"<a>".repeat(6_000));
        assert!(diff.before.iter().chain(&diff.after).all(|piece| piece.changed));
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_texts(before in ".{0,80}", after in ".{0,80}") {
            let diff = WordDiff::of(&before, &after);
            let together = |pieces: &[Piece]| pieces.iter().map(|piece| piece.text.as_str()).collect::<String>();
            prop_assert_eq!(together(&diff.before), before);
            prop_assert_eq!(together(&diff.after), after);
        }

        #[test]
        fn equal_texts_have_no_marks(text in ".{0,80}") {
            let diff = WordDiff::of(&text, &text);
            prop_assert!(diff.before.iter().chain(&diff.after).all(|piece| !piece.changed));
        }
    }
}
