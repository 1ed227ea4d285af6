//! Words that no file of the repository has: how it was made, where packages come from, and paths
//! of one machine.
//!
//! Each is written with a `|` inside, so that this file does not have it either.

use super::{files::TextFile, finding::Finding};

/// Words that are not to be there, and why.
struct Rule {
    reason: &'static str,
    edge: Edge,
    words: &'static [&'static str],
}

/// What must stand at the edges of a word for it to count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// No letter, digit or underscore on either side.
    Word,
    /// Any subdomain before, the end of the name behind.
    Host,
    /// The beginning of a path before, anything behind.
    Path,
}

#[rustfmt::skip]
const RULES: &[Rule] = &[
    Rule {
        reason: "a file does not say how it was made",
        edge: Edge::Word,
        words: &[
            "as an| ai", "ai|-generated", "ai| generated", "generated| by ai", "generated| by a language model",
            "language model| generated", "written| by ai", "ai| assistant", "coding| agent", "coding| assistant",
            "sub|agent", "sub-|agent", "co-authored|-by", "chat|gpt", "clau|de", "cod|ex", "copi|lot", "dev|in",
            "wind|surf",
        ],
    },
    // Registries are named by their package managers' configuration alone.
    Rule {
        reason: "a registry's host",
        edge: Edge::Host,
        words: &[
            "crates|.io", "py|pi.org", "python|hosted.org", "npm|js.com", "npm|js.org", "deb.deb|ian.org",
            "proxy.go|lang.org",
        ],
    },
    Rule {
        reason: "an absolute path of one machine",
        edge: Edge::Path,
        words: &["/ro|ot/", "/ho|me/", "/wo|rk/", "/use|rs/"],
    },
];

/// What may follow a word and make it another one: the index that lock files name, ids of models.
const CONTINUATIONS: &[(&str, &str)] = &[("crates|.io", "-index"), ("clau|de", "-")];

pub(crate) fn check(file: &TextFile) -> Vec<Finding> {
    let text = file.text.to_lowercase();
    let mut findings = Vec::new();
    for rule in RULES {
        for word in rule.words {
            for number in rule.edge.lines_with(&text, word) {
                let message = format!("`{}`: {}", word.replace('|', ""), rule.reason);
                findings.push(Finding::new(&file.path, number, message));
            }
        }
    }
    findings
}

impl Edge {
    /// The numbers of the lines that have a word.
    fn lines_with(self, text: &str, marked: &str) -> Vec<usize> {
        let word = marked.replace('|', "");
        let inner = |c: char| c.is_alphanumeric() || c == '_';
        let counts = |at: usize| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let rest = text.get(at + word.len()..).unwrap_or_default();
            let no_opening = match self {
                Self::Word => "",
                Self::Host => "-",
                Self::Path => ".-})>~",
            };
            before.is_none_or(|c| !inner(c) && !no_opening.contains(c))
                && (self == Self::Path || rest.chars().next().is_none_or(|c| !inner(c)))
                && !CONTINUATIONS.iter().any(|(known, next)| *known == marked && rest.starts_with(next))
        };
        let found = text.match_indices(&word).filter(|(at, _)| counts(*at));
        let mut lines: Vec<usize> =
            found.map(|(at, _)| text.get(..at).unwrap_or_default().matches('\n').count() + 1).collect();
        lines.dedup();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&TextFile { path: "a.md".into(), text: text.replace('|', "") }).len()
    }

    #[test]
    fn every_word_is_found_in_any_case() {
        for word in RULES.iter().flat_map(|rule| rule.words) {
            assert!(count(&format!("see {word} there")) > 0, "{word}");
            assert!(count(&format!("({})", word.to_uppercase())) > 0, "{word}");
        }
    }

    #[test]
    fn a_finding_has_the_line() {
        let file = TextFile { path: "a.md".into(), text: "one\ntwo wind|surf\n".replace('|', "") };
        assert_eq!(check(&file).first().map(|finding| finding.line), Some(2));
    }

    #[test]
    fn parts_of_other_words_are_not() {
        assert_eq!(count("dev|ine and bluedev|in"), 0);
        assert_eq!(count("target/wo|rk/file and ${HERE}/wo|rk/file"), 0);
        assert_eq!(count("file:///wo|rk/file"), 1);
    }

    #[test]
    fn hosts_count_with_any_subdomain_but_the_index_is_not_one() {
        assert_eq!(count("https://static.crates|.io/x"), 1);
        assert_eq!(count("https://github.com/rust-lang/crates|.io-index"), 0);
    }
}
