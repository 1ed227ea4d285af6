//! What comes back when an instruction is asked for: cleaned, and checked for what cannot be one. The same for every
//! optimizer.

use std::collections::BTreeSet;

/// The most characters of an instruction, where nothing else is said.
pub const MAX_CHARS: usize = 6000;

/// Why a text cannot be a new instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// There is no text.
    Empty,
    /// It is longer than any instruction has reason to be.
    TooLong,
    /// It holds field markers of the chat format.
    Markers,
    /// There is no text between fences, where it was asked for between fences.
    NoFence,
    /// The fence is not closed.
    OpenFence,
    /// It says the same words over and over.
    Repetitive,
    /// It repeats the request it was written for.
    Echo,
    /// It shares no word with the fields, the data or the basic instruction.
    Unrelated,
    /// It is in another script than the task.
    OtherScript,
    /// It exists already.
    Duplicate,
}

impl Flaw {
    /// The flaw in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too long",
            Self::Markers => "holds markers of the chat format",
            Self::NoFence => "no instruction between fences",
            Self::OpenFence => "the fence is not closed",
            Self::Repetitive => "repeats itself",
            Self::Echo => "an echo of the request",
            Self::Unrelated => "not about this task",
            Self::OtherScript => "in another script than the task",
            Self::Duplicate => "exists already",
        }
    }
}

/// The flaw that a text has whatever it is for, if it has one.
pub fn flaw(text: &str, max_chars: usize) -> Option<Flaw> {
    if !text.chars().any(char::is_alphanumeric) {
        Some(Flaw::Empty)
    } else if text.chars().count() > max_chars {
        Some(Flaw::TooLong)
    } else if text.contains("[[ ##") || text.contains("## ]]") {
        Some(Flaw::Markers)
    } else {
        None
    }
}

/// The instructions that exist for a predictor. Two that differ only in white space and case are one.
#[derive(Debug, Clone, Default)]
pub struct Known(BTreeSet<String>);

impl Known {
    /// Takes an instruction up, unless it has a flaw.
    ///
    /// # Errors
    ///
    /// The flaw that it has.
    pub fn admit(&mut self, instruction: &str) -> Result<(), Flaw> {
        match flaw(instruction, MAX_CHARS) {
            Some(flaw) => Err(flaw),
            None if self.note(instruction) => Ok(()),
            None => Err(Flaw::Duplicate),
        }
    }

    /// Takes an instruction up whatever it is, and says whether it is new.
    pub fn note(&mut self, instruction: &str) -> bool {
        self.0.insert(normalized(instruction))
    }

    /// All of them, in lower case and with single spaces.
    pub fn all(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Known {
    fn from_iter<I: IntoIterator<Item = S>>(instructions: I) -> Self {
        Self(instructions.into_iter().map(|instruction| normalized(instruction.as_ref())).collect())
    }
}

/// An instruction without differences of white space and case: two that agree in this are one.
pub fn normalized(instruction: &str) -> String {
    instruction.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The instruction in a reply that was to stand between fences: the text between the first and the last fence of three
/// backticks, without a language tag.
///
/// # Errors
///
/// Why the reply cannot be used. It is never taken as it is.
pub fn fenced(reply: &str, max_chars: usize) -> Result<String, Flaw> {
    const FENCE: &str = "```";
    let (_, after) = reply.split_once(FENCE).ok_or(Flaw::NoFence)?;
    let (inner, _) = after.rsplit_once(FENCE).ok_or(Flaw::OpenFence)?;
    // A single word behind the opening fence is a language tag.
    let is_tag = |line: &str| {
        !line.is_empty()
            && line.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-_.#".contains(letter))
    };
    let text = match inner.split_once('\n') {
        Some((first, rest)) if is_tag(first.trim_end()) => rest,
        _ => inner,
    };
    let text = text.trim();
    flaw(text, max_chars).map_or_else(|| Ok(text.to_owned()), Err)
}

/// The text without the label, the quotes or the fence that models put around it.
pub fn cleaned(reply: &str) -> String {
    let mut text = reply.trim();
    loop {
        let inner = without_label(text).or_else(|| without_fence(text)).or_else(|| without_quotes(text));
        match inner {
            Some(inner) => text = inner.trim(),
            None => return text.to_owned(),
        }
    }
}

/// Without a label of one to three words of which the last is "instruction", such as `**New
/// instruction:**`.
fn without_label(text: &str) -> Option<&str> {
    let (label, rest) = text.split_once(':')?;
    let is_label = {
        let words: Vec<String> = label
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let known =
            ["the", "my", "a", "proposed", "new", "improved", "refined", "better", "final", "revised"];
        words.split_last().is_some_and(|(last, before)| {
            last == "instruction" && before.iter().all(|word| known.contains(&word.as_str()))
        })
    };
    // What was opened in front of the label is closed behind it.
    is_label.then(|| if label.contains('*') { rest.trim_start_matches('*') } else { rest })
}

fn without_fence(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("```")?.strip_suffix("```")?;
    if inner.contains("```") {
        return None;
    }
    // The first line of a fence may name a language.
    Some(match inner.split_once('\n') {
        Some((language, rest)) if !language.trim().contains(' ') => rest,
        _ => inner,
    })
}

fn without_quotes(text: &str) -> Option<&str> {
    [('"', '"'), ('\u{201c}', '\u{201d}'), ('\u{ab}', '\u{bb}')].into_iter().find_map(|(open, close)| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        // Two quoted parts are no quoted whole.
        (!inner.contains(open) && !inner.contains(close)).then_some(inner)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_models_put_around_an_instruction_is_taken_off() {
        let check = |reply, expected| assert_eq!(cleaned(reply), expected, "{reply}");
        check("  Answer in a word. \n", "Answer in a word.");
        check("Instruction: Answer in a word.", "Answer in a word.");
        check("**Proposed instruction:**\nAnswer.", "Answer.");
        check("New Instruction: \"Answer in a word.\"", "Answer in a word.");
        check("```\nAnswer.\n```", "Answer.");
        check("```text\nAnswer now.\n```", "Answer now.");
        check("```Answer now.```", "Answer now.");
        check("\u{201c}Answer.\u{201d}", "Answer.");
        check("Do this: answer.", "Do this: answer.");
        check("\"yes\" or \"no\"", "\"yes\" or \"no\"");
        check("", "");
        check("\"", "\"");
        check("```", "```");
        check("Follow this instruction: answer.", "Follow this instruction: answer.");
    }

    #[test]
    fn what_cannot_be_an_instruction_is_told() {
        let mut known = Known::from_iter(["Answer the question."]);
        let mut check = |text: &str, expected| assert_eq!(known.admit(text), expected, "{text}");
        check("Answer in a word.", Ok(()));
        check("Answer  in\na word.", Err(Flaw::Duplicate));
        check(" Answer the question.\n", Err(Flaw::Duplicate));
        check("answer the question.", Err(Flaw::Duplicate));
        check("answer the questions.", Ok(()));
        check(" \n", Err(Flaw::Empty));
        check("?!", Err(Flaw::Empty));
        check(&"word ".repeat(2000), Err(Flaw::TooLong));
        check("[[ ## answer ## ]] yes", Err(Flaw::Markers));
    }

    fn check(reply: &str, expected: Result<&str, Flaw>) {
        assert_eq!(fenced(reply, 20_000).as_deref(), expected.as_ref().map(|text| *text), "{reply:?}");
    }

    #[test]
    fn replies_are_read_between_the_outer_fences() {
        check("Here:\n```\nAnswer briefly.\n```\nDone.", Ok("Answer briefly."));
        check("```markdown\nAnswer.\n\nBe exact.\n```", Ok("Answer.\n\nBe exact."));
        check("```Answer briefly.```", Ok("Answer briefly."));
        check("```text\nUse\n```json\n{}\n```\nas form.\n```", Ok("Use\n```json\n{}\n```\nas form."));
        check("Answer briefly.", Err(Flaw::NoFence));
        check("```\nAnswer briefly.", Err(Flaw::OpenFence));
        check("``````", Err(Flaw::Empty));
        check("```\n \n```", Err(Flaw::Empty));
        check("```text\n```", Err(Flaw::Empty));
        check("", Err(Flaw::NoFence));
        check(&format!("```\n{}\n```", "long ".repeat(5000)), Err(Flaw::TooLong));
    }

    proptest! {
        #[test]
        fn no_reply_is_a_panic_and_none_keeps_a_fence_at_its_ends(reply in "[`a\n ]{0,40}") {
            if let Ok(text) = fenced(&reply, 20_000) {
                prop_assert!(text.contains('a') && text == text.trim());
            }
        }
    }
}
