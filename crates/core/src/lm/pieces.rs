//! A reply piece by piece: what a model says as it says it, without what it thinks aloud.

use super::thinking::{answer_so_far, may_hold_thinking, notation_begins};

/// A piece of an answer that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece<'a> {
    /// More of the answer, behind all pieces so far.
    Text(&'a str),
    /// What was told so far is no part of the answer; it begins anew.
    Restart,
}

/// Whoever is told the pieces of an answer as they come.
pub type Tell<'t> = &'t mut (dyn for<'p> FnMut(Piece<'p>) + Send);

/// Makes the pieces of an answer of the pieces of a reply, for models that stream. What the model thinks aloud is left out,
/// also where a tag is cut between two pieces.
///
/// The texts behind the last [`Piece::Restart`] are the answer when all is done. A restart is rare: it takes a model whose
/// chat template has eaten the tag that opens its thinking, so that only the closing one tells.
///
/// ```
/// use promptopt_core::lm::{AnswerPieces, Piece};
///
/// let mut pieces = AnswerPieces::default();
/// let mut told = String::new();
/// let mut tell = |piece: Piece<'_>| if let Piece::Text(text) = piece { told.push_str(text) };
/// for piece in ["<thi", "nk>Is it 3?</th", "ink>", "It is", " 4."] {
///     pieces.add(piece, &mut tell);
/// }
/// pieces.finish("It is 4.", &mut tell);
/// assert_eq!(told, "It is 4.");
/// ```
#[derive(Debug, Default)]
pub struct AnswerPieces {
    /// All that came.
    reply: String,
    /// Of it, or of the answer in it, what was told.
    told: String,
    /// Whether a notation of thinking may be in it, which takes a look at the whole.
    may_think: bool,
    /// How long the reply was at that look.
    looked_at: usize,
}

/// By which share the reply has to grow before the whole is looked at again, so that the work stays in proportion to it.
const GROWTH: usize = 32;

impl AnswerPieces {
    /// Adds a piece of the reply, and tells what is to be told by now.
    pub fn add(&mut self, piece: &str, tell: Tell<'_>) {
        let before = self.reply.len();
        self.reply.push_str(piece);
        // In one JSON value, a notation is a part of a value.
        let is_json = self.reply.trim_start().starts_with('{');
        self.may_think |= !is_json && may_hold_thinking(&self.reply, before);
        if !self.may_think {
            if self.told.is_empty() && self.reply.trim().is_empty() {
                return;
            }
            let end = if is_json { self.reply.len() } else { notation_begins(&self.reply) };
            let Some(new) = self.reply.get(self.told.len()..end) else { return };
            if !new.is_empty() {
                self.told.push_str(new);
                tell(Piece::Text(new));
            }
            return;
        }
        if self.reply.len() < self.looked_at + self.looked_at / GROWTH {
            return;
        }
        self.looked_at = self.reply.len();
        let settled = self.reply.get(..notation_begins(&self.reply)).unwrap_or_default();
        let answer = answer_so_far(settled);
        if answer.trim().is_empty() && self.told.is_empty() {
            return;
        }
        if answer.len() >= self.told.trim_end().len() || !self.told.starts_with(&answer) {
            self.tell_up_to(&answer, tell);
        } else {
            // What was told turns out to be thinking.
            self.told.clear();
            tell(Piece::Restart);
            self.tell_up_to(&answer, tell);
        }
    }

    /// Tells what is missing of the answer, which is known now.
    pub fn finish(&mut self, answer: &str, tell: Tell<'_>) {
        if self.told.strip_prefix(answer).is_some_and(|rest| !rest.is_empty()) {
            self.told.clear();
            tell(Piece::Restart);
        }
        self.tell_up_to(answer, tell);
    }

    /// Whether anything was told.
    pub fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    fn tell_up_to(&mut self, answer: &str, tell: Tell<'_>) {
        if self.told.starts_with(answer) {
            return;
        }
        if !answer.starts_with(&self.told) {
            self.told.clear();
            tell(Piece::Restart);
        }
        let new = answer.get(self.told.len()..).unwrap_or_default();
        if !new.is_empty() {
            tell(Piece::Text(new));
            self.told.push_str(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lm::Completion;

    /// The text behind the last restart, how often there was one, and all that was ever told.
    fn told(pieces: &[&str]) -> (String, usize, String) {
        let (mut text, mut restarts, mut ever) = (String::new(), 0, String::new());
        let mut tell = |piece: Piece<'_>| match piece {
            Piece::Text(more) => {
                text.push_str(more);
                ever.push_str(more);
            }
            Piece::Restart => {
                text.clear();
                restarts += 1;
            }
        };
        let mut answer = AnswerPieces::default();
        pieces.iter().for_each(|piece| answer.add(piece, &mut tell));
        let whole = Completion::new(pieces.concat()).read().text;
        answer.finish(&whole, &mut tell);
        assert_eq!(text, whole, "{pieces:?}");
        (text, restarts, ever)
    }

    /// Cuts a text into pieces of about so many letters.
    fn cut(text: &str, sizes: &[usize]) -> Vec<String> {
        let (mut letters, mut sizes) = (text.chars().peekable(), sizes.iter().cycle());
        let mut pieces = Vec::new();
        while letters.peek().is_some() {
            pieces.push(letters.by_ref().take(*sizes.next().unwrap_or(&1)).collect());
        }
        pieces
    }

    #[test]
    fn plain_text_is_told_as_it_comes() {
        let mut heard = Vec::new();
        let mut tell = |piece: Piece<'_>| heard.push(format!("{piece:?}"));
        let mut pieces = AnswerPieces::default();
        for piece in ["Yes", ", a <", " b and", " c"] {
            pieces.add(piece, &mut tell);
        }
        assert_eq!(heard[..2], ["Text(\"Yes\")", "Text(\", a \")"]);
        assert!(heard[2..].concat().contains("b and"), "{heard:?}");
    }

    #[test]
    fn what_opens_late_begins_anew() {
        let (text, restarts, _) = told(&["I think it is", " 3, or 4.", "</think>", "\n\nIt is", " 4."]);
        assert_eq!((text.as_str(), restarts), ("It is 4.", 1));
    }

    proptest! {
        #[test]
        fn thinking_is_never_told_however_the_reply_is_cut(
            notation in prop::sample::select(vec![
                ("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"), ("<thinking>", "</thinking>"),
                ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
            ]),
            thought in "[a-z \n]{0,30}",
            answer in "[A-Z0-9][A-Z .,<\\[\n]{0,40}",
            sizes in prop::collection::vec(1_usize..7, 1..6),
        ) {
            let reply = format!("{}{thought}{}\n\n{answer}", notation.0, notation.1);
            let pieces = cut(&reply, &sizes);
            let (_, restarts, ever) = told(&pieces.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(restarts, 0);
            prop_assert!(!ever.contains(|letter: char| letter.is_ascii_lowercase()), "{}", ever);
        }

        #[test]
        fn any_reply_comes_to_its_answer(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>", "analysis", "<|message|>", "final", "a", " ", "\n",
                "`", "\"", "{", "}", "<", "[", "é", "<|end|>", "</s>", "assistantfinal", "[[ ## a ## ]]",
            ]), 0..24),
            sizes in prop::collection::vec(1_usize..9, 1..6),
        ) {
            let pieces = cut(&parts.concat(), &sizes);
            told(&pieces.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
