//! What the prompt model replies: cleaned, and checked for what cannot serve.

use std::collections::BTreeSet;

/// The most characters of an instruction.
const MAX_CHARS: usize = 6000;

/// Why a reply is no new instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// There is no text.
    Empty,
    /// It is longer than any instruction has reason to be.
    Runaway,
    /// It holds field markers of the chat format.
    Markers,
    /// It was tried before.
    Duplicate,
}

impl Flaw {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Runaway => "too long",
            Self::Markers => "holds markers of the chat format",
            Self::Duplicate => "exists already",
        }
    }
}

/// The instructions that exist for a predictor; two that differ only in white space are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tried(BTreeSet<String>);

impl Tried {
    /// Takes an instruction up, unless it has a flaw.
    pub(crate) fn admit(&mut self, instruction: &str) -> Result<(), Flaw> {
        match flaw(instruction) {
            Some(flaw) => Err(flaw),
            None if self.0.insert(normalized(instruction)) => Ok(()),
            None => Err(Flaw::Duplicate),
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }

    /// Takes an instruction up whatever it is.
    pub(crate) fn note(&mut self, instruction: &str) {
        self.0.insert(normalized(instruction));
    }
}

fn flaw(text: &str) -> Option<Flaw> {
    if !text.chars().any(char::is_alphanumeric) {
        Some(Flaw::Empty)
    } else if text.chars().count() > MAX_CHARS {
        Some(Flaw::Runaway)
    } else if text.contains("[[ ##") || text.contains("## ]]") {
        Some(Flaw::Markers)
    } else {
        None
    }
}

fn normalized(instruction: &str) -> String {
    instruction.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text without the label, the quotes or the fence that models put around it.
pub(crate) fn cleaned(reply: &str) -> String {
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
    fn what_cannot_serve_is_told() {
        let mut tried = Tried::default();
        tried.note("Answer the question.");
        let mut check = |text: &str, expected| assert_eq!(tried.admit(text), expected, "{text}");
        check("Answer in a word.", Ok(()));
        check("Answer  in\na word.", Err(Flaw::Duplicate));
        check(" Answer the question.\n", Err(Flaw::Duplicate));
        check("answer the question.", Ok(()));
        check(" \n", Err(Flaw::Empty));
        check("?!", Err(Flaw::Empty));
        check(&"word ".repeat(2000), Err(Flaw::Runaway));
        check("[[ ## answer ## ]] yes", Err(Flaw::Markers));
    }
}
