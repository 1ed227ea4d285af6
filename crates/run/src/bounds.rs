//! What every new instruction must keep to, whoever writes it: a length, and texts that stay.

use promptopt_core::data::shorten;
use promptopt_core::program::TextRules;
use promptopt_core::prompt::{Prompt, PromptCandidate, Prompts};

use crate::proposal::Flaw;
use crate::{Error, Run, RunOptions};

/// So many characters of a text are named in an error.
const NAMED: usize = 60;

/// What the new instructions of a predictor must keep to: the options `max_length` and `keep`, and the predictor's own
/// [`TextRules`]. A [`Run`] gives it ([`Run::bounds`]).
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    max_length: Option<usize>,
    /// What is put behind an instruction that leaves it out.
    keep: Vec<String>,
    /// What nobody but the writer can put in its place.
    required: Vec<String>,
}

impl Bounds {
    /// What the instructions in place of this one must keep to: of the texts to keep, those that stand in it.
    pub(crate) fn of(options: &RunOptions, original: &str) -> Self {
        let keep = options.keep.iter().filter(|text| original.contains(text.as_str()));
        Self { max_length: options.max_length, keep: keep.cloned().collect(), required: Vec::new() }
    }

    fn with_rules(mut self, rules: TextRules) -> Self {
        self.max_length = self.max_length.into_iter().chain(rules.max_length).min();
        self.required = rules.keep;
        self
    }

    /// The instruction with the texts that it must contain, behind it where it does not.
    ///
    /// # Errors
    ///
    /// [`Flaw::TooLong`] when it is too long then, and [`Flaw::Incomplete`] when it leaves out what the predictor's own rules
    /// want in it.
    pub fn mend(&self, instruction: &str) -> Result<String, Flaw> {
        if self.required.iter().any(|text| !instruction.contains(text.as_str())) {
            return Err(Flaw::Incomplete);
        }
        let mut mended = instruction.to_owned();
        for text in &self.keep {
            if !mended.contains(text) {
                mended = format!("{}\n\n{text}", mended.trim_end());
            }
        }
        match self.max_length {
            Some(most) if mended.chars().count() > most => Err(Flaw::TooLong),
            _ => Ok(mended),
        }
    }

    /// Whether an instruction keeps to all of it.
    pub fn admits(&self, instruction: &str) -> bool {
        self.mend(instruction).is_ok_and(|mended| mended == instruction)
    }
}

impl Run<'_> {
    /// What new instructions of a predictor must keep to.
    pub fn bounds(&self, predictor: &str) -> Bounds {
        let original = self.board().candidates().first().and_then(|original| original.instruction(predictor));
        let predictors = self.program().predictors();
        let rules = predictors.iter().find(|one| one.path() == predictor).map(|one| one.rules());
        Bounds::of(self.options(), original.unwrap_or_default()).with_rules(rules.unwrap_or_default())
    }

    /// Whether a candidate may be installed: every instruction that is not the original one keeps to the bounds.
    pub(crate) fn may_install(&self, candidate: usize) -> bool {
        let known = |at: usize| self.board().candidates().get(at);
        let (Some(original), Some(new)) = (known(0), known(candidate)) else { return false };
        new.prompts.iter().all(|(path, prompt)| {
            original.instruction(path) == Some(prompt.instruction.as_str())
                || self.bounds(path).admits(&prompt.instruction)
        })
    }

    /// A candidate with the texts that its new instructions must contain.
    pub(crate) fn mended(&self, mut candidate: PromptCandidate) -> PromptCandidate {
        if self.options().keep.is_empty() || self.board().candidates().is_empty() {
            return candidate;
        }
        let mend = |(path, prompt): (&str, &Prompt)| {
            let mut prompt = prompt.clone();
            let bounds = Bounds { max_length: None, required: Vec::new(), ..self.bounds(path) };
            if let Ok(mended) = bounds.mend(&prompt.instruction) {
                prompt.instruction = mended;
            }
            (path.to_owned(), prompt)
        };
        candidate.prompts = candidate.prompts.iter().map(mend).collect();
        candidate
    }
}

/// Checks that the bounds can be kept to by instructions in place of these, and says of which that is not so today.
///
/// # Errors
///
/// [`Error::Option`] for a text to keep that no instruction contains, or texts that are longer than an instruction may
/// be.
pub(crate) fn check(options: &RunOptions, original: &Prompts) -> Result<Vec<String>, Error> {
    for text in &options.keep {
        if !original.iter().any(|(_, prompt)| prompt.instruction.contains(text.as_str())) {
            let text = shorten(text, NAMED);
            let reason = format!(
                "no instruction of the program contains {text:?} word by word; put it into one first"
            );
            return Err(Error::option("keep", reason));
        }
    }
    let Some(most) = options.max_length else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    for (path, prompt) in original.iter() {
        let kept = Bounds::of(options, &prompt.instruction).keep.join("\n\n");
        if kept.chars().count() > most {
            let reason =
                format!("is {most}, but the texts to `keep` in the instruction of `{path}` are longer");
            return Err(Error::option("max_length", reason));
        }
        let length = prompt.instruction.chars().count();
        if length > most {
            notes.push(format!(
                "the program's own instruction of `{path}` has {length} characters, more than `max_length` = {most}: it \
                 stays only where nothing else does better"
            ));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(max_length: Option<usize>, keep: &[&str]) -> RunOptions {
        let keep = keep.iter().map(|text| (*text).to_owned()).collect();
        RunOptions::builder().maybe_max_length(max_length).keep(keep).build()
    }

    #[test]
    fn an_instruction_gets_the_texts_that_the_original_has() {
        let bounds = Bounds::of(&options(Some(40), &["Answer in JSON.", "Other."]), "Sort. Answer in JSON.");
        assert_eq!(bounds.mend("Route it.\n"), Ok("Route it.\n\nAnswer in JSON.".to_owned()));
        assert_eq!(bounds.mend("Answer in JSON. Do."), Ok("Answer in JSON. Do.".to_owned()));
        assert_eq!(bounds.mend(&"long ".repeat(6)), Err(Flaw::TooLong));
        assert!(bounds.admits("Answer in JSON.") && !bounds.admits("Answer in XML."));
    }

    #[test]
    fn what_the_rules_of_a_text_want_is_not_put_behind_it() {
        let rules = TextRules::new().with_max_length(20).with_keep(["{user}"]);
        let bounds = Bounds::of(&options(Some(30), &[]), "").with_rules(rules);
        assert_eq!(bounds.mend("Tell {user}."), Ok("Tell {user}.".to_owned()));
        assert_eq!(bounds.mend("Tell them."), Err(Flaw::Incomplete));
        assert_eq!(bounds.mend("Tell {user} all of it."), Err(Flaw::TooLong));
    }

    #[test]
    fn bounds_that_cannot_be_kept_to_are_refused() {
        let original: Prompts = [("answer", Prompt::new("Sort the ticket. Be brief."))].into_iter().collect();
        let said = |max_length, keep: &[&str]| {
            check(&options(max_length, keep), &original).map_err(|error| error.to_string())
        };
        assert_eq!(said(None, &["Be brief."]), Ok(Vec::new()));
        assert!(said(None, &["Be kind."]).unwrap_err().contains("\"Be kind.\""));
        assert!(said(Some(5), &["Be brief."]).unwrap_err().contains("`answer`"));
        let notes = said(Some(10), &["Be brief."]).unwrap();
        assert!(notes[0].contains("26 characters") && notes[0].contains("`max_length` = 10"), "{notes:?}");
    }
}
