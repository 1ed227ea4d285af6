//! The default library: practices that prompt writers agree on.

use crate::Applies::{self, Always};
use crate::Sign::{
    ExtractedOutput, LabelOutput, LongInput, NumericOutput, ProseOutput, Reasoning, SeveralInputs,
    SeveralOutputs, StructuredOutput,
};
use crate::{Sign, Tip};

fn preferably(signs: &[Sign]) -> Applies {
    Applies::Preferably(signs.to_vec())
}

fn only(signs: &[Sign]) -> Applies {
    Applies::Only(signs.to_vec())
}

/// The practices, the general ones first. Weights below 1 are for those that help now and then.
pub(crate) fn practices() -> Vec<Tip> {
    [
        (
            "clear_language",
            1.0,
            Always,
            "Use clear, specific language: name the task, what is given and what is wanted in plain words that \
             can be read in only one way.",
        ),
        (
            "output_format",
            1.0,
            Always,
            "State the exact form of the answer: what it contains, in which order and at what length, and that \
             nothing else belongs to it.",
        ),
        (
            "edge_cases",
            1.0,
            Always,
            "State the edge cases and what to do in each: empty or garbled input, several possible answers, or \
             none at all.",
        ),
        (
            "conciseness",
            1.0,
            Always,
            "Keep the instruction short: a few plain sentences, each of which changes the answer; leave out \
             politeness, repetition and what goes without saying.",
        ),
        (
            "constraints_first",
            0.75,
            Always,
            "Put the constraints that must always hold at the start, in firm and plain words, before any \
             background.",
        ),
        (
            "positive_phrasing",
            0.75,
            Always,
            "Say what to do rather than what to avoid; where something is forbidden, name what to do instead.",
        ),
        (
            "demo_pattern",
            1.0,
            Always,
            "Find the pattern that the examples share, state it as a rule, and ask for answers in the same form \
             as theirs.",
        ),
        (
            "role",
            0.75,
            preferably(&[ProseOutput]),
            "Where expertise or tone matters, open with a role that fits the task, such as \"You are an \
             experienced support clerk\", and let it guide the answer.",
        ),
        (
            "high_stakes",
            0.5,
            Always,
            "Say why a right answer matters: name a concrete situation in which people rely on it and a mistake \
             would be costly.",
        ),
        (
            "creativity",
            0.5,
            preferably(&[ProseOutput]),
            "Be creative: take an angle on the task that the instructions so far have not tried, and put it in \
             words of your own.",
        ),
        (
            "chain_of_thought",
            1.0,
            only(&[Reasoning, SeveralInputs, NumericOutput]),
            "Where the task is complex, ask for step-by-step reasoning, and for the answer only once the \
             reasoning has come to its end.",
        ),
        (
            "step_decomposition",
            0.75,
            preferably(&[Reasoning, SeveralInputs, SeveralOutputs]),
            "Break the task into a short list of numbered steps in the order in which they are to be done, each \
             building on the one before.",
        ),
        (
            "self_check",
            0.5,
            preferably(&[Reasoning, NumericOutput, StructuredOutput]),
            "Ask for a check of the answer against every requirement before it is given, and for the correction \
             of whatever does not hold.",
        ),
        (
            "uncertainty",
            0.75,
            preferably(&[LabelOutput, LongInput]),
            "Say what to answer when the input does not settle the question: which choice to fall back on, so \
             that there is always one definite answer.",
        ),
        (
            "grounding",
            1.0,
            only(&[LongInput, ExtractedOutput]),
            "Let the answer rest on the given input only: no outside knowledge, and no guesses at what the text \
             does not say.",
        ),
        (
            "verbatim_extraction",
            1.0,
            only(&[ExtractedOutput]),
            "Where the answer stands in the input, ask for it word for word and as the shortest span that \
             answers, with spelling and case unchanged.",
        ),
        (
            "label_vocabulary",
            1.0,
            only(&[LabelOutput]),
            "List the allowed labels exactly as they are to be written, and ask for one of them verbatim, \
             without other words or punctuation.",
        ),
        (
            "decision_criteria",
            1.0,
            only(&[LabelOutput]),
            "For labels that are easily confused, give the criterion that decides between them, in the form \"A \
             when …, B when …\".",
        ),
        (
            "number_format",
            1.0,
            only(&[NumericOutput]),
            "For numbers, state the unit, the rounding and the notation, and ask for the bare number without \
             words, symbols or thousands separators.",
        ),
        (
            "structured_output",
            1.0,
            only(&[StructuredOutput]),
            "Where the output is a list or an object, name its keys or items, the type of each value, and what \
             stands where a value is absent; ask for valid JSON.",
        ),
        (
            "audience",
            0.75,
            only(&[ProseOutput]),
            "Say who will read the answer and what for, and fit vocabulary, tone and detail to that reader.",
        ),
    ]
    .into_iter()
    .map(|(key, weight, applies, text)| Tip::practice(key, weight, applies, text))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_practice_keeps_the_rules_for_tips() {
        for tip in practices() {
            let checked = Tip::new(tip.key(), tip.text())
                .and_then(|checked| checked.with_applies(tip.applies().clone()))
                .and_then(|checked| checked.with_weight(tip.weight()));
            assert_eq!(checked.as_ref(), Ok(&tip));
            assert!(tip.weight() > 0.0, "{}", tip.key());
            assert!(tip.text().ends_with('.') && !tip.text().contains("  "), "{}", tip.text());
        }
    }

    #[test]
    fn the_practices_every_user_expects_are_there() {
        let practices = practices();
        for key in
            ["clear_language", "chain_of_thought", "output_format", "role", "edge_cases", "structured_output"]
        {
            assert!(practices.iter().any(|tip| tip.key() == key), "{key}");
        }
    }
}
