//! Whoever is told the pieces of an answer, on the side of the client.

use promptopt_core::lm::{AnswerPieces, Tell};

/// Makes pieces of an answer of what an attempt brings. Attempts follow each other only while nothing was told.
pub(crate) struct Hearer<'t> {
    pieces: AnswerPieces,
    tell: Tell<'t>,
}

impl<'t> Hearer<'t> {
    pub(crate) fn new(tell: Tell<'t>) -> Self {
        Self { pieces: AnswerPieces::default(), tell }
    }

    /// A further attempt begins.
    pub(crate) fn begin(&mut self) {
        if !self.has_told() {
            self.pieces = AnswerPieces::default();
        }
    }

    /// More of the reply, thinking and all.
    pub(crate) fn hear(&mut self, piece: &str) {
        self.pieces.add(piece, self.tell);
    }

    /// The answer, once the reply is read.
    pub(crate) fn finish(&mut self, answer: &str) {
        self.pieces.finish(answer, self.tell);
    }

    /// Whether anything was told.
    pub(crate) fn has_told(&self) -> bool {
        self.pieces.has_told()
    }
}
