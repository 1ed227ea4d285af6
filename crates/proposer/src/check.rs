//! Checks that a proposed instruction can serve at all.

use std::collections::HashSet;

use promptopt_core::signature::Signature;

use promptopt_run::proposal::{self, Flaw, MAX_CHARS, normalized};

/// A run of words this long that also stands in the request is no coincidence.
const SHINGLE: usize = 6;
/// An instruction of which more than this share stands in the request is an echo of it.
const MAX_ECHO: f64 = 0.4;
/// A text of which more than this share of three-word runs are repetitions repeats itself.
const MAX_REPETITION: f64 = 0.5;

/// Knows the words of a task and of the request, and tells what cannot serve as an instruction.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    request: HashSet<String>,
    vocabulary: HashSet<String>,
    letters: Letters,
}

impl Checker {
    /// A checker for instructions of a predictor. `request` are the fixed texts of the request
    /// (not the data in it); `material` is what an instruction may speak of: basic instruction,
    /// descriptions, values of examples.
    pub fn new<'a>(
        signature: &'a Signature,
        request: impl IntoIterator<Item = &'a str>,
        material: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut checker = Self::default();
        for text in request {
            checker.request.extend(shingles(text, SHINGLE));
        }
        let fields = signature.fields().flat_map(|field| [field.name.as_str(), field.description.as_str()]);
        for text in fields.chain([signature.instructions()]).chain(material) {
            checker.letters.count(text);
            checker.vocabulary.extend(stems(text));
        }
        checker
    }

    /// The flaw of an instruction, if it has one.
    pub fn flaw(&self, instruction: &str) -> Option<Flaw> {
        let text = instruction.trim();
        if let Some(flaw) = proposal::flaw(text, MAX_CHARS) {
            return Some(flaw);
        }
        if repetition(text) > MAX_REPETITION {
            return Some(Flaw::Repetitive);
        }
        let runs = shingles(text, SHINGLE);
        let echoed = runs.iter().filter(|run| self.request.contains(*run)).count();
        if echoed as f64 > MAX_ECHO * runs.len() as f64 {
            return Some(Flaw::Echo);
        }
        let mut letters = Letters::default();
        letters.count(text);
        if !self.letters.admit(&letters) {
            return Some(Flaw::OtherScript);
        }
        if !stems(text).any(|stem| self.vocabulary.contains(&stem)) {
            return Some(Flaw::Unrelated);
        }
        None
    }
}

/// How many letters are of the Latin script.
#[derive(Debug, Clone, Default)]
struct Letters {
    latin: usize,
    other: usize,
}

impl Letters {
    fn count(&mut self, text: &str) {
        for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
            // Latin letters with their extensions end at U+024F.
            if (letter as u32) < 0x250 { self.latin += 1 } else { self.other += 1 }
        }
    }

    fn is_latin(&self) -> bool {
        self.latin >= self.other
    }

    /// Whether a text with these letters is in a script of the task. An English instruction for
    /// Japanese data may be answered in either.
    fn admit(&self, text: &Self) -> bool {
        let (mine, all) = if text.is_latin() { (self.latin, self) } else { (self.other, self) };
        mine * MIN_SCRIPT >= all.latin + all.other
    }
}

fn words(text: &str) -> Vec<String> {
    normalized(text)
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn shingles(text: &str, size: usize) -> Vec<String> {
    words(text).windows(size).map(|window| window.join(" ")).collect()
}

/// The share of three-word runs that were there before.
fn repetition(text: &str) -> f64 {
    let runs = shingles(text, 3);
    let distinct: HashSet<_> = runs.iter().collect();
    if runs.len() < 12 { 0.0 } else { 1.0 - distinct.len() as f64 / runs.len() as f64 }
}

/// A script that at least one letter in this many of a task is of belongs to the task.
const MIN_SCRIPT: usize = 20;

/// Words that carry meaning, cut to their first letters so that inflections agree.
fn stems(text: &str) -> impl Iterator<Item = String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instruction: &str, expected: Option<Flaw>) {
        let signature = Signature::parse("ticket -> department: enum[billing, sales]").unwrap();
        let request =
            "Use the information below to learn about a task that we are trying to solve with a model.";
        let checker = Checker::new(&signature, [request], ["Route every support ticket.", "invoice"]);
        assert_eq!(checker.flaw(instruction), expected, "{instruction}");
    }

    #[test]
    fn what_cannot_serve_is_told() {
        check("Send each ticket to the department that can answer it.", None);
        check("Tickets about invoices go to billing.", None);
        check("  \n ", Some(Flaw::Empty));
        check("…!?", Some(Flaw::Empty));
        check(&"ticket word ".repeat(1000), Some(Flaw::TooLong));
        check(&"The ticket is good. ".repeat(20), Some(Flaw::Repetitive));
        check(
            "Use the information below to learn about a task that we are trying to solve.",
            Some(Flaw::Echo),
        );
        check("[[ ## ticket ## ]] route it to the department", Some(Flaw::Markers));
        check("Определи отдел по тексту обращения клиента", Some(Flaw::OtherScript));
        check("Paint a watercolour of mountains.", Some(Flaw::Unrelated));
    }

    #[test]
    fn tasks_in_other_scripts_are_served_in_theirs_and_in_that_of_their_instruction() {
        let signature = Signature::parse("ticket -> department").unwrap();
        let checker = Checker::new(
            &signature,
            [],
            ["Route the ticket.", "請求書が二重に届きました。返金をお願いします。"],
        );
        assert_eq!(checker.flaw("Send each ticket to its department."), None);
        assert_eq!(checker.flaw("請求書の問い合わせは経理に送る。"), None);
        assert_eq!(checker.flaw("山の絵を描く。"), Some(Flaw::Unrelated));
    }
}
