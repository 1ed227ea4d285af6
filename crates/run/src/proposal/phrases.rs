//! Phrases that models put around an instruction.

/// The nouns that a model calls its proposal by, as their beginnings, in a few languages.
#[rustfmt::skip]
pub(super) const NOUNS: [&str; 20] = [
    "instruc", "prompt", "version", "rewrite", "proposal", "suggestion", "revision", "advice", "rule",
    "consigne", "anweisung", "anleitung", "instruk", "instruç", "istruzi", "инструкц", "指令", "指示", "提示",
    "プロンプト",
];

/// Words that stand before such a noun, and nothing else does in a heading.
#[rustfmt::skip]
pub(super) const QUALIFIERS: [&str; 48] = [
    "the", "my", "a", "an", "your", "our", "new", "improved", "refined", "better", "final", "revised",
    "updated", "proposed", "optimized", "optimised", "rewritten", "suggested", "recommended", "enhanced",
    "here", "is", "s", "are", "following", "below", "this", "sure", "certainly", "okay", "ok", "absolutely",
    "present", "current", "of", "course", "best", "system", "whole", "complete", "full", "neue", "verbesserte",
    "nouvelle", "améliorée", "nueva", "mejorada", "output",
];

/// How a sentence begins that hands something over.
#[rustfmt::skip]
pub(super) const OPENERS: [&str; 26] = [
    "here is", "here's", "here’s", "here are", "below is", "the following is", "i would", "i'd", "i’d",
    "i suggest", "i propose", "i recommend", "i have", "i've", "i’ve", "this is", "voici", "hier ist", "aquí",
    "aqui", "ecco", "вот", "以下", "这是", "改善", "改进",
];

/// Courtesies that a model begins with.
#[rustfmt::skip]
pub(super) const COURTESIES: [&str; 14] = [
    "sure", "certainly", "absolutely", "of course", "okay", "ok", "no problem", "got it", "great", "understood",
    "happy to help", "thank you", "thanks", "alright",
];

/// How a line begins that speaks to whoever asked, and no longer to whom the instruction is for.
#[rustfmt::skip]
pub(super) const FAREWELLS: [&str; 13] = [
    "let me know", "please let me know", "i hope this", "i hope that", "hope this helps", "hope that helps",
    "feel free to adjust", "feel free to modify", "feel free to ask", "feel free to let", "feel free to change",
    "would you like me to", "is there anything else",
];

/// How a paragraph begins that speaks of the instruction,
#[rustfmt::skip]
pub(super) const COMMENTS: [&str; 30] = [
    "this instruction", "this version", "this prompt", "this revised", "this improved", "this updated",
    "this new", "this rewritten", "the new instruction", "the revised instruction", "the improved instruction",
    "the updated instruction", "these changes", "explanation", "rationale", "why this", "key changes",
    "key improvements", "changes made", "changes from", "what changed", "what i changed", "i made", "i added",
    "i kept", "i changed", "i have added", "i've added", "note that this", "note: this",
];

/// and what it says of it.
#[rustfmt::skip]
pub(super) const REMARKS: [&str; 24] = [
    " improve", " designed", " should help", " will help", " helps", " provides", " adds", " added", " ensures",
    " makes", " clarif", " guides", " emphas", " aims", " now ", " gives", " includes", " focus", " builds",
    " encourag", " works", " changed", " changes", " kept",
];

/// Where a model's turn ends; what it writes behind it was not asked for.
#[rustfmt::skip]
pub(super) const ENDS: [&str; 9] = [
    "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>",
    "</s>", "[[ ## completed ## ]]",
];

/// Where it begins.
#[rustfmt::skip]
pub(super) const BEGINNINGS: [&str; 6] = [
    "<s>", "<|im_start|>assistant", "<start_of_turn>model", "<|assistant|>",
    "<|start_header_id|>assistant<|end_header_id|>", "<|begin_of_text|>",
];
