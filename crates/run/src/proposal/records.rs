//! What a model copies of the records and the notation in a request.

use super::Judge;
use super::words::words;

/// How types are written in a signature.
const TYPES: [&str; 8] = ["str", "int", "float", "bool", "list", "dict", "enum", "literal"];

impl Judge {
    /// The text without the record of a rollout behind it, such as `expected city: Lima` or `Score: 0.5`.
    pub(super) fn without_records(&self, text: &str) -> String {
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            // Every record has a score. Without one such a line is a rule, such as `Expected answer: one word`.
            let behind = text.get(at..).unwrap_or_default();
            if self.is_of_record(line) && behind.lines().any(|line| self.is_score(line)) {
                break;
            }
            at += line.len();
        }
        let text = text.get(..at).map_or(text, str::trim_end);
        let behind = |mark: &str| text.rfind(mark).and_then(|at| Some((text.get(..at)?, text.get(at..)?)));
        match behind(" Score:").or_else(|| behind(" score:")) {
            Some((before, record)) if self.is_score(record) => before.trim_end().to_owned(),
            _ => text.to_owned(),
        }
    }

    /// Whether a record begins with a line: what was answered or expected, or a score.
    fn is_of_record(&self, line: &str) -> bool {
        let Some((name, _)) = line.split_once(':') else { return false };
        let name = name.trim().to_lowercase();
        if self.fields.iter().any(|field| field.name.to_lowercase() == name) {
            return false;
        }
        let of_output = |verb: &str| {
            let output = name.strip_prefix(verb).map(str::trim);
            output.is_some_and(|name| self.outputs.iter().any(|output| output.name.to_lowercase() == name))
        };
        self.is_score(line) || ["answered ", "written ", "expected "].into_iter().any(of_output)
    }

    /// Whether a line is a score, and no field of the task is called so.
    fn is_score(&self, line: &str) -> bool {
        let Some((name, value)) = line.split_once(':') else { return false };
        name.trim().eq_ignore_ascii_case("score")
            && value.trim().parse::<f64>().is_ok()
            && !self.fields.iter().any(|field| field.name.eq_ignore_ascii_case("score"))
    }

    /// Whether a text is in the notation of signatures, such as `ticket: str -> department: str`.
    pub(super) fn is_signature(&self, text: &str) -> bool {
        text.lines().any(|line| {
            let Some((before, behind)) = line.split_once("->") else { return false };
            let kind = before.rsplit_once(':').and_then(|(_, kind)| words(kind).into_iter().next());
            let name = words(behind).into_iter().next().unwrap_or_default();
            kind.is_some_and(|kind| TYPES.contains(&kind.as_str()))
                && self.outputs.iter().any(|output| words(&output.name).first() == Some(&name))
        })
    }

    /// Whether a text speaks of the records of a request, or of the score of one, where the task knows no such thing.
    pub(super) fn speaks_of_records(&self, text: &str) -> bool {
        let spoken = words(text);
        let says = |of: &[&str]| spoken.windows(of.len()).any(|run| run == of);
        let knows = |stem: &str| self.vocabulary.contains(stem);
        let scored = ["is", "was", "of"].iter().any(|verb| {
            spoken.windows(3).any(|run| {
                matches!(run, [score, is, number] if score == "score" && is == verb && number.parse::<f64>().is_ok())
            })
        });
        let of_records =
            [&["the", "records"][..], &["records", "do"], &["records", "did"], &["records", "provided"]];
        !knows("recor") && of_records.into_iter().any(says)
            || !knows("score") && scored
            || spoken.starts_with(&["the", "task", "asks"].map(str::to_owned))
            || !knows("wrong") && says(&["what", "went", "wrong"])
    }
}
